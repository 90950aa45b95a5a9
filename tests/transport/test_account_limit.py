"""Full accounts, in the words of many servers."""

from __future__ import annotations

import pytest

from luma_async.transport.account_limit import mentions_job_limit


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("too_many_jobs", "too many jobs at once"),
        (None, "Too many concurrent jobs"),
        (None, "You have too many running generations. Wait for one to finish."),
        (None, "Maximum number of concurrent tasks reached (2)"),
        (None, "you already have 3 jobs in progress"),
        (None, "Concurrency limit exceeded for this account"),
        ("rate_limit_error", "Too many videos at the same time"),
        ("concurrent_limit_exceeded", ""),
        (None, "Too many concurrent jobs, try again in 20 s"),
        (None, "Too many running videos. Try again in 2 hours."),
        ("too_many_concurrent_generations", "try again later"),
        (None, "并发任务数已达上限"),
        (None, "同时进行的任务已达上限"),
        (None, "任务过多 请稍后再试"),
        (None, "Zu viele gleichzeitige Aufträge"),
        (None, "Es sind zu viele Jobs aktiv"),
    ],
)
def test_too_many_jobs_at_once_make_a_full_account(code: str | None, message: str) -> None:
    """An end of a job makes room in it."""
    assert mentions_job_limit(code, message)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("429", "too many requests"),
        ("rate_limit", "Rate limit reached, try again in 20 s"),
        (None, "Too many concurrent requests"),
        (None, "Too many generations per minute"),
        (None, "Limit of 20 video generations per day reached"),
        (None, "You have reached your daily limit of running jobs"),
        (None, "Too many generations today"),
        (None, "Too many generations in 24 hours"),
        (None, "Too many jobs submitted in the last 60s"),
        (None, "Too many tasks within 10 minutes"),
        (None, "Your account has no active video package"),
        ("rate_limit_exceeded", "Requests per minute (RPM): 10"),
        (None, "请求过于频繁, 每分钟最多 10 个任务"),
        (None, "Zu viele Anfragen, höchstens 10 Aufträge pro Minute"),
        (None, ""),
        (None, "<html>429</html>"),
    ],
)
def test_too_many_requests_do_not(code: str | None, message: str) -> None:
    """Only time makes room for those."""
    assert not mentions_job_limit(code, message)
