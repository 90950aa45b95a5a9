"""The registry of callbacks knows the latest submissions, and when callbacks can be relied on."""

from __future__ import annotations

import pytest

from luma_async import Generation, State
from luma_async.tasks.hints import (
    LATE,
    MISSES,
    MOST_KEPT,
    NET_FACTOR,
    EarlyCallback,
    Hints,
    Hook,
)

ID = "6f1f9a0e-54f2-4c1e-9b7f-0d7d5c1f5a11"
RUNNING = Generation(id="job-1", state=State.PROCESSING)
COMPLETED = Generation(id="job-1", state=State.COMPLETED)


def test_callbacks_that_never_come_are_not_relied_on() -> None:
    """Nor are they before the first one has come. Each one makes up for those before."""
    hints = Hints()

    def end(moment: float, *, has_ended: bool = True, is_expected: bool = True) -> bool:
        hook = Hook(f"request-{moment}", is_expected=is_expected)
        return hints.ended(hook, "job", moment, has_ended=has_ended)

    assert hints.net_factor == 1.0
    hints.expect(ID)
    hints.heard(ID, RUNNING)
    assert hints.net_factor == NET_FACTOR
    for moment in (0.0, 0.1, 0.2, 0.3, LATE / 2):  # a look was faster than the callbacks
        assert not end(moment)
    for moment in (LATE, 2 * LATE):  # forgotten, and submitted elsewhere: these count for nothing
        assert not end(moment, has_ended=False)
        assert not end(moment, is_expected=False)
    assert hints.net_factor == NET_FACTOR
    assert end(LATE)
    assert hints.net_factor == 1.0
    assert not end(2 * LATE)  # it was said once

    hints.heard("request-0.0", COMPLETED)  # late
    assert hints.net_factor == NET_FACTOR
    for moment in range(MISSES - 1):
        assert not end(100.0 + moment * LATE)
    assert end(200.0)


def test_an_early_callback_is_told_with_the_job() -> None:
    """That it reported the end is not forgotten if another one follows."""
    hints = Hints()
    hints.expect(ID)

    assert hints.heard(ID, COMPLETED) is None
    assert hints.heard(ID, RUNNING) is None
    assert hints.accepted(ID, "job-1") == EarlyCallback("job-1", says_ended=True)
    assert hints.heard(ID, RUNNING) == "job-1"


def test_a_submission_that_is_sent_again_is_expected_again() -> None:
    """It was uncertain before, and is not any more. A callback that has come is kept."""
    hints = Hints()
    hints.expect(ID)
    hints.uncertain(ID, "row 17")
    hints.expect(ID)
    assert not hints.may_be_elsewhere(ID)

    hints.heard(ID, COMPLETED)
    hints.heard(ID, None)
    hints.expect(ID)
    assert hints.accepted(ID, "job-1") == EarlyCallback("job-1", says_ended=True)

    hints.forget_watched()
    assert not hints.knows(ID)


@pytest.mark.parametrize("is_early", [True, False])
@pytest.mark.parametrize("key", ["row 17", None])
def test_a_callback_for_an_uncertain_submission_is_logged(
    caplog: pytest.LogCaptureFixture, key: str | None, is_early: bool
) -> None:
    """It shows that the server has the job, with its id, and how to settle it: nothing else."""
    hints = Hints()
    hints.expect(ID)
    if is_early:
        hints.heard(ID, COMPLETED)
    hints.uncertain(ID, key)
    if not is_early:
        assert hints.heard(ID, COMPLETED) is None

    assert ID in caplog.text
    settle = "luma-async settle 'row 17' --id job-1"
    assert ("LumaClient.watch()" if key is None else settle) in caplog.text
    assert "'job-1'" in caplog.text
    assert hints.knows(ID)
    caplog.clear()
    hints.heard(ID, COMPLETED)  # repeated, or for another state
    assert caplog.text == ""


def test_a_job_that_is_not_watched_here_may_be_watched_elsewhere() -> None:
    """If it was given up or is uncertain, and not if it has ended or is watched again."""
    hints = Hints()
    for name, has_ended in (("ended", True), ("given up", False), ("watched", False)):
        hints.accepted(name, "job")
        hints.ended(Hook(name, is_expected=True), "job", 0.0, has_ended=has_ended)
    hints.accepted("watched", "job")
    hints.expect("uncertain")
    hints.uncertain("uncertain", "row 17")

    names = ("ended", "given up", "watched", "uncertain")
    assert [name for name in names if hints.may_be_elsewhere(name)] == ["given up", "uncertain"]


def test_memory_of_callbacks_is_bounded() -> None:
    """A million jobs leave the latest 10,000 behind; so do uncertain submissions."""
    hints = Hints()
    for number in range(MOST_KEPT + 100):
        hints.expect(f"ended-{number}")
        hints.accepted(f"ended-{number}", "job")
        hints.ended(Hook(f"ended-{number}", is_expected=True), "job", 0.0, has_ended=True)
        hints.expect(f"uncertain-{number}")
        hints.uncertain(f"uncertain-{number}", None)
        hints.expect(f"rejected-{number}")
        hints.withdraw(f"rejected-{number}")

    known = [kind for kind in ("ended-99", "uncertain-99", "rejected-9999") if hints.knows(kind)]
    assert known == []
    assert hints.knows("ended-100")
    assert hints.knows("uncertain-100")
    kept = sum(len(part) for part in vars(hints).values() if isinstance(part, dict))
    assert kept == 2 * MOST_KEPT
