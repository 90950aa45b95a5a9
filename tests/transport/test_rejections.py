"""The allow-list of rejections: how often a refused submission is sent, and its error."""
# ruff: noqa: RUF001  Chinese has commas and brackets of its own

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luma_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    GatewayDialect,
    InsufficientCreditsError,
    LumaError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    SubmissionUncertainError,
    VideoTask,
)
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import connect

UNCERTAIN = SubmissionUncertainError
TRIES = 2


class Said(NamedTuple):
    """One refusal of a submission: the server's answer, how often it is asked, and the error."""

    status: int
    body: Any
    sent: int
    error: type[LumaError]
    headers: tuple[tuple[str, str], ...] = ()


def openai(message: str, code: Any = None, kind: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": "", "code": code}}


def task(message: str, code: Any = "fail") -> dict[str, Any]:
    return {"code": code, "message": message, "data": None}


PAGE = "<html><head><title>{}</title></head><body></body></html>"
RETRY_AFTER = (("Retry-After", "0"),)

UUID_OF_A_REQUEST = "0f1e2d3c-1111-4222-8333-444455556666"

CERTAIN: dict[str, Said] = {
    "400": Said(400, openai("prompt is too long"), 1, BadRequestError),
    "400 in Chinese": Said(400, task("提示词包含敏感词", "invalid_request"), 1, BadRequestError),
    "400 in German": Said(400, openai("Der Prompt ist zu kurz."), 1, BadRequestError),
    "400 page": Said(400, PAGE.format("400 Bad Request"), 1, BadRequestError),
    "400 by an upstream's own code": Said(
        400, task("ratio: not supported", "fail_to_fetch_task"), 1, BadRequestError
    ),
    "400 empty": Said(400, "", 1, BadRequestError),
    "401": Said(401, openai("invalid token", "invalid_api_key"), 1, AuthenticationError),
    "401 in Chinese": Said(401, openai("无效的令牌"), 1, AuthenticationError),
    "401 page": Said(401, PAGE.format("Unauthorized"), 1, AuthenticationError),
    "402": Said(402, "", 1, InsufficientCreditsError),
    "402 detail": Said(402, {"detail": "Payment required"}, 1, InsufficientCreditsError),
    "403": Said(403, {"detail": "not allowed"}, 1, PermissionDeniedError),
    "403 no quota": Said(403, task("no", "quota_not_enough"), 1, InsufficientCreditsError),
    "403 by an upstream that has none": Said(
        403,
        task(json.dumps(task("预扣费额度失败", "insufficient_user_quota")), "fail_to_fetch_task"),
        1,
        InsufficientCreditsError,
    ),
    "404 page": Said(404, PAGE.format("404 Not Found"), 1, NotFoundError),
    "405": Said(405, openai("method not allowed"), 1, BadRequestError),
    "413": Said(413, PAGE.format("413 Request Entity Too Large"), 1, BadRequestError),
    "422": Said(422, {"detail": [{"loc": ["a"], "msg": "no"}]}, 1, BadRequestError),
    "422 reason": Said(422, {"detail": {"reason": "no", "code": 1}}, 1, BadRequestError),
    "429": Said(429, openai("too many requests"), TRIES, RateLimitError, RETRY_AFTER),
    "429 page": Said(429, PAGE.format("Too Many Requests"), TRIES, RateLimitError, RETRY_AFTER),
    "429 saturated": Said(
        429,
        openai("当前分组上游负载已饱和，请稍后再试", None, "upstream_error"),
        TRIES,
        RateLimitError,
        RETRY_AFTER,
    ),
    "429 try again in some time": Said(
        429,
        openai("Rate limit reached. Please try again in 20s."),
        TRIES,
        RateLimitError,
        RETRY_AFTER,
    ),
    "429 in German": Said(
        429, openai("Zu viele Anfragen, bitte später."), TRIES, RateLimitError, RETRY_AFTER
    ),
    "429 no credit": Said(429, openai("no", "insufficient_quota"), 1, InsufficientCreditsError),
    "500 no quota": Said(500, task("no", "insufficient_user_quota"), 1, InsufficientCreditsError),
    "403 no quota in words": Said(403, task("用户余额不足"), 1, InsufficientCreditsError),
    "400 no quota in German": Said(
        400, openai("Nicht genügend Guthaben."), 1, InsufficientCreditsError
    ),
    "400 no balance in words": Said(
        400, openai("Your balance is not enough"), 1, InsufficientCreditsError
    ),
    "503 no channel": Said(
        503, openai("当前分组 default 下无可用渠道", "model_not_found"), TRIES, ServerError
    ),
    "503 no channel in English": Said(
        503, openai("No available channel for model luma", "model_not_found"), TRIES, ServerError
    ),
    "500 no channel in an envelope": Said(
        500, task("no channel", "no_available_channel"), TRIES, ServerError
    ),
    "200 that says 400": Said(200, task("prompt is too long", 400), 1, BadRequestError),
    "200 that says 401": Said(200, task("无效的令牌", "401"), 1, AuthenticationError),
    "200 that says 402": Said(200, task("no", 402), 1, InsufficientCreditsError),
    "200 that says 422": Said(200, task("no", 422), 1, BadRequestError),
    "200 that says 429": Said(200, task("too many", 429), TRIES, RateLimitError),
    "200 invalid request": Said(200, task("no", "invalid_request"), 1, BadRequestError),
    "200 sensitive words": Said(200, task("no", "sensitive_words_detected"), 1, BadRequestError),
    "200 wrong key": Said(200, openai("no", "invalid_api_key"), 1, AuthenticationError),
    "200 no quota": Said(200, task("no", "insufficient_user_quota"), 1, InsufficientCreditsError),
    "200 no quota in an error": Said(
        200, openai("no", "insufficient_quota"), 1, InsufficientCreditsError
    ),
    "200 no quota in words": Said(200, task("账户余额不足", 1001), 1, InsufficientCreditsError),
    "200 rate limit in words": Said(200, task("no", "rate_limit_exceeded"), TRIES, RateLimitError),
    "429 with the id of a request": Said(
        429,
        openai(f"slow down (request id: {UUID_OF_A_REQUEST})"),
        TRIES,
        RateLimitError,
        RETRY_AFTER,
    ),
    "301 to https": Said(
        301, "", 1, APIError, (("Location", "https://gw.example/luma/generations"),)
    ),
    "308 with a slash": Said(308, "", 1, APIError, (("Location", "/luma/generations/"),)),
}
UUID = "e70fdf3c-1111-4222-8333-444455556666"
LOST: dict[str, Said] = {
    "500 no quota in words": Said(500, task("任务已提交，但余额不足"), 1, UNCERTAIN),
    "500 no channel, after a timeout": Said(
        500, openai("upstream timed out after the job was sent", "model_not_found"), 1, UNCERTAIN
    ),
    "400 page with the truth in its body": Said(
        400,
        PAGE.format("400 Bad Request").replace("<body>", "<body>upstream timed out"),
        1,
        UNCERTAIN,
    ),
    "400 late in a long text": Said(400, "no " * 90 + "upstream timeout", 1, UNCERTAIN),
    "400 timeout in traditional Chinese": Said(400, openai("請求超時"), 1, UNCERTAIN),
    "400 cut in traditional Chinese": Said(400, openai("連線中斷"), 1, UNCERTAIN),
    "400 context canceled": Said(400, openai("context canceled"), 1, UNCERTAIN),
    "400 ECONNRESET": Said(400, openai("read ECONNRESET"), 1, UNCERTAIN),
    "400 fetch failed": Said(400, openai("fetch failed"), 1, UNCERTAIN),
    "400 page for an answer": Said(400, openai("invalid character '<'"), 1, UNCERTAIN),
    "400 expired": Said(400, openai("expired before it was completed"), 1, UNCERTAIN),
    "400 provider": Said(400, openai("Provider returned error"), 1, UNCERTAIN),
    "400 upstream beside a code": Said(
        400, openai("failed", "invalid_request", "upstream_error"), 1, UNCERTAIN
    ),
    "429 text that names a job": Said(429, f"Your task {UUID} is queued.", 1, UNCERTAIN),
    "429 data.id": Said(429, {**task("slow down"), "data": {"id": UUID}}, 1, UNCERTAIN),
    "429 data": Said(429, {**task("slow down"), "data": UUID}, 1, UNCERTAIN),
    "429 task.id": Said(429, {**openai("slow"), "task": {"id": UUID}}, 1, UNCERTAIN),
    "429 task_ids": Said(429, {**openai("slow"), "task_ids": [UUID]}, 1, UNCERTAIN),
    "429 id in words": Said(429, openai(f"Created ({UUID}), slow down"), 1, UNCERTAIN),
    "429 with a place": Said(
        429, openai("slow"), 1, UNCERTAIN, (("Location", f"/luma/generations/{UUID}"),)
    ),
    "302 to the same place": Said(302, "", 1, UNCERTAIN, (("Location", "/luma/generations"),)),
    "302 to nowhere": Said(302, "", 1, UNCERTAIN, (("Location", "http://[bad/"),)),
    "500": Said(500, openai("upstream is overloaded", "upstream_error"), 1, UNCERTAIN),
    "500 request failed": Said(500, task("上游请求超时", "do_request_failed"), 1, UNCERTAIN),
    "500 post failed": Said(500, task("请求上游地址失败", "do_request_failed"), 1, UNCERTAIN),
    "500 EOF": Said(500, {"detail": {"reason": "unexpected EOF", "code": 1}}, 1, UNCERTAIN),
    "500 reset": Said(
        500, openai("read tcp: connection reset by peer", "do_request_failed"), 1, UNCERTAIN
    ),
    "500 unmarshal": Said(
        500, task("invalid character '<'", "unmarshal_response_body_failed"), 1, UNCERTAIN
    ),
    "500 body": Said(500, task("EOF", "read_response_body_failed"), 1, UNCERTAIN),
    "500 second channel": Said(
        500, task("获取可用渠道失败（retry）", "get_channel_failed"), 1, UNCERTAIN
    ),
    "500 busy": Said(500, task("later", "busy"), 1, UNCERTAIN),
    "500 detail": Said(500, {"detail": "later"}, 1, UNCERTAIN),
    "500 in Chinese": Said(500, openai("系统繁忙"), 1, UNCERTAIN),
    "500 in German": Said(500, openai("Zeitüberschreitung der Anfrage"), 1, UNCERTAIN),
    "500 no answer in German": Said(500, openai("Keine Antwort vom Anbieter"), 1, UNCERTAIN),
    "500 page": Said(500, PAGE.format("500 Internal Server Error"), 1, UNCERTAIN),
    "500 empty": Said(500, "", 1, UNCERTAIN),
    "501": Said(501, openai("not now"), 1, UNCERTAIN),
    "502": Said(502, openai("bad gateway", "bad_response"), 1, UNCERTAIN),
    "502 detail": Said(502, {"detail": "context deadline exceeded"}, 1, UNCERTAIN),
    "502 page": Said(502, PAGE.format("502 Bad Gateway"), 1, UNCERTAIN),
    "503": Said(503, openai("busy"), 1, UNCERTAIN),
    "503 retry later": Said(503, openai("busy"), 1, UNCERTAIN, RETRY_AFTER),
    "503 page": Said(503, PAGE.format("503 Service Unavailable"), 1, UNCERTAIN),
    "504": Said(504, openai("Gateway Time-out", None, "upstream_error"), 1, UNCERTAIN),
    "504 worker": Said(504, {"detail": "no answer from the worker"}, 1, UNCERTAIN),
    "520": Said(520, openai("unknown error"), 1, UNCERTAIN),
    "522": Said(522, PAGE.format("Connection timed out"), 1, UNCERTAIN),
    "524": Said(524, openai("", "bad_response_status_code", "upstream_error"), 1, UNCERTAIN),
    "599": Said(599, "", 1, UNCERTAIN),
    "408": Said(408, openai("upstream request timeout"), 1, UNCERTAIN),
    "408 page": Said(408, PAGE.format("408 Request Time-out"), 1, UNCERTAIN),
    "409 same request": Said(409, openai("the same request is being handled"), 1, UNCERTAIN),
    "409": Said(409, openai("conflict"), 1, UNCERTAIN),
    "424": Said(424, {"detail": "failed dependency"}, 1, UNCERTAIN),
    "425": Said(425, openai("too early"), 1, UNCERTAIN),
    "499": Said(499, openai("client closed request"), 1, UNCERTAIN),
    "418": Said(418, "I'm a teapot", 1, UNCERTAIN),
    "400 timeout": Said(400, openai("upstream request timeout"), 1, UNCERTAIN),
    "400 timeout in Chinese": Said(400, task("请求超时"), 1, UNCERTAIN),
    "400 timeout in German": Said(400, openai("Zeitüberschreitung"), 1, UNCERTAIN),
    "400 upstream's answer": Said(
        400, openai("bad response status code 400", "bad_response_status_code"), 1, UNCERTAIN
    ),
    "400 upstream": Said(400, openai("upstream returned an error"), 1, UNCERTAIN),
    "400 upstream in Chinese": Said(400, openai("上游服务异常"), 1, UNCERTAIN),
    "400 hidden deep": Said(
        400, {"error": {"message": "no", "cause": {"text": "socket hang up"}}}, 1, UNCERTAIN
    ),
    "403 timeout": Said(403, {"detail": "timed out waiting for the backend"}, 1, UNCERTAIN),
    "404 upstream": Said(404, openai("upstream answered 404"), 1, UNCERTAIN),
    "422 lost": Said(422, {"detail": "lost the response of the worker"}, 1, UNCERTAIN),
    "429 timed out": Said(429, openai("timed out in the queue"), 1, UNCERTAIN),
    "429 that names a job": Said(429, {"id": "job-1", "state": "pending"}, 1, UNCERTAIN),
    "409 that names a job": Said(409, {"id": "job-1", "state": "pending"}, 1, UNCERTAIN),
    "400 that names a job": Said(400, {**openai("no"), "task_id": "job-1"}, 1, UNCERTAIN),
    "400 that names a job deep": Said(
        400, {"error": {"message": "no", "data": {"taskId": "job-1"}}}, 1, UNCERTAIN
    ),
    "400 that names a job in words": Said(
        400, openai("task 9d4b7516-1111-2222-3333-444455556666 exists already"), 1, UNCERTAIN
    ),
    "403 that names a job, for want of credit": Said(
        403, {**task("no", "insufficient_user_quota"), "data": {"job_id": "j1"}}, 1, UNCERTAIN
    ),
    "500 that names a job": Said(500, {**openai("no"), "task_id": "job-1"}, 1, UNCERTAIN),
    "200 that says 504": Said(200, task("upstream request timeout", 504), 1, UNCERTAIN),
    "200 that says 503": Said(200, task("later", 503), 1, UNCERTAIN),
    "200 that says 500": Said(200, task("内部错误", "500"), 1, UNCERTAIN),
    "200 that says 408": Said(200, task("late", 408), 1, UNCERTAIN),
    "200 that says 429 and timed out": Said(200, task("timed out", 429), 1, UNCERTAIN),
    "200 that says 400 and timeout": Said(200, task("请求超时", 400), 1, UNCERTAIN),
    "200 with an unknown word": Said(200, task("no", "no"), 1, UNCERTAIN),
    "200 with an unknown number": Said(200, task("no", 1001), 1, UNCERTAIN),
    "200 with an error": Said(200, openai("no"), 1, UNCERTAIN),
    "200 with an error and a request's id": Said(
        200, {**openai("no", "busy"), "id": "req-1"}, 1, UNCERTAIN
    ),
    "200 fail": Said(200, task("request timeout", "fail"), 1, UNCERTAIN),
    "200 detail": Said(200, {"detail": "no"}, 1, UNCERTAIN),
    "200 {}": Said(200, {}, 1, UNCERTAIN),
    "200 success without a job": Said(200, task("success", 0), 1, UNCERTAIN),
    "200 page": Said(200, PAGE.format("Welcome"), 1, UNCERTAIN),
    "303": Said(303, "", 1, UNCERTAIN, (("Location", "/luma/generations/job-1"),)),
    "302 elsewhere": Said(302, "", 1, UNCERTAIN, (("Location", "/login"),)),
    "307 to a job": Said(307, "", 1, UNCERTAIN, (("Location", "/luma/generations/job-1"),)),
}
REFUSALS = {**CERTAIN, **LOST}


def body_of(said: Said, encoding: str = "utf-8") -> bytes:
    text = said.body if isinstance(said.body, str) else json.dumps(said.body, ensure_ascii=False)
    return text.encode(encoding)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("said", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_refused_submission_is_repeated_only_where_nobody_can_have_the_job(
    said: Said,
) -> None:
    """What the allow-list names is repeated or raised; all the rest is sent once and uncertain."""
    async with Simulator() as sim, connect(sim, max_tries=TRIES) as luma:
        sim.faults.add(Fault.answer(body_of(said), status=said.status, headers=said.headers))

        with pytest.raises(said.error) as caught:
            await luma.generate("a cat")

        assert type(caught.value) is said.error
        assert sim.ledger.requests["generate"] == said.sent
        assert ("may have been accepted" in str(caught.value)) is (said.error is UNCERTAIN)
        assert ("the job was not accepted" in str(caught.value)) is (said.error is not UNCERTAIN)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
@pytest.mark.parametrize(
    "name", ["403 no quota in words", "429 saturated", "400 timeout in Chinese", "200 no quota"]
)
async def test_a_refusal_is_read_in_any_encoding(name: str, encoding: str) -> None:
    """A byte order mark or another encoding changes neither the error nor how often it is sent."""
    said = REFUSALS[name]
    async with Simulator() as sim, connect(sim, max_tries=TRIES) as luma:
        sim.faults.add(
            Fault.answer(body_of(said, encoding), status=said.status, headers=said.headers)
        )

        with pytest.raises(said.error) as caught:
            await luma.generate("a cat")

        assert type(caught.value) is said.error
        assert sim.ledger.requests["generate"] == said.sent


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"code": "insufficient_user_quota",\n"message": "a\nb\x01"}', InsufficientCreditsError),
        (b'{"code": "quota_not_enough", "message": "no"}{"x": 1}', InsufficientCreditsError),
        ('{"code": "x", "message": "Zeitüberschreitung"}'.encode("latin-1"), UNCERTAIN),
        (b'{"code": 429, "message": "many"} and more', RateLimitError),
        (b'{"error": {"message": "upstream request timeout"', UNCERTAIN),
    ],
    ids=["control characters", "second document", "latin-1", "trailing text", "cut short"],
)
async def test_a_refusal_that_is_not_quite_json_is_read(
    body: bytes, error: type[LumaError]
) -> None:
    """Refusals are read as leniently as good answers."""
    async with Simulator() as sim, connect(sim, max_tries=1) as luma:
        sim.faults.add(Fault.answer(body, status=200))

        with pytest.raises(error) as caught:
            await luma.generate("a cat")

        assert type(caught.value) is error


async def test_the_log_says_by_which_entry_a_rejection_is_certain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever wonders why a submission was repeated finds the reason beside it."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=0, times=1))
        (await luma.generate("a cat")).forget()
        sim.faults.add(Fault.answer(b'{"code": "quota_not_enough", "message": "no"}', status=403))

        with pytest.raises(InsufficientCreditsError):
            await luma.generate("a dog")

    assert "Rejected for certain, by status 429. Trying again" in caplog.text
    assert "Rejected for certain, by code quota_not_enough." in caplog.text


async def test_an_uncertain_refusal_that_names_a_job_tells_its_id() -> None:
    """The id is what the user needs to settle it."""
    async with Simulator() as sim, connect(sim) as luma:
        body = b'{"code": "busy", "message": "answering failed", "task_id": "job-77"}'
        sim.faults.add(Fault.answer(body, status=500))

        with pytest.raises(SubmissionUncertainError, match="It names the job job-77"):
            await luma.generate("a cat")


@pytest.mark.parametrize("dialect", ["gateway", "agents", "dream-machine"])
async def test_the_refusal_of_an_extension_may_name_its_source(dialect: str) -> None:
    """That is the job that was to be extended, and no new one, be it in the path or the body."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, dialect=dialect) as luma:
        video = await (await luma.generate("a cat"))
        body = json.dumps({"detail": f"task {video.id} cannot be extended", "task_id": video.id})
        sim.faults.add(Fault.answer(body.encode(), status=400))

        with pytest.raises(BadRequestError, match="the job was not accepted"):
            await luma.extend(video, "it bows")


@pytest.mark.parametrize(("status", "sent"), [(500, TRIES), (400, 1), (200, 1)])
async def test_a_gateway_s_own_rejection_codes_can_be_added(status: int, sent: int) -> None:
    """Who knows a gateway's words makes a refusal certain that is uncertain by default."""
    dialect = GatewayDialect(rejection_codes={"Pool_Empty"})
    async with Simulator() as sim, connect(sim, dialect=dialect, max_tries=TRIES) as luma:
        body = json.dumps(task("上游请求超时", "pool_empty")).encode()
        sim.faults.add(Fault.answer(body, status=status))

        with pytest.raises(APIError, match="the job was not accepted"):
            await luma.generate("a cat")

        assert sim.ledger.requests["generate"] == sent


@pytest.mark.parametrize("codes", ["pool_empty", [""], [" "]])
def test_rejection_codes_are_several_texts(codes: Any) -> None:
    """A single text would be its letters."""
    with pytest.raises(ConfigurationError, match="rejection_codes"):
        GatewayDialect(rejection_codes=codes)


class TakesEveryJob:
    """A gateway that takes every job, whatever it answers then."""

    def __init__(self, sim: Simulator, log: pytest.LogCaptureFixture) -> None:
        self._sim = sim
        self._log = log

    def answering(
        self, status: int, body: bytes, headers: list[tuple[str, str]]
    ) -> tuple[int, VideoTask | LumaError, str]:
        """Submit one job, and return how many were accepted, what came of it, and the log."""
        before = len(self._sim.ledger.jobs)
        self._sim.faults.clear()
        self._sim.faults.add(Fault.answer(body, status=status, headers=tuple(headers), after=True))
        self._log.clear()

        async def submit() -> VideoTask | LumaError:
            async with connect(self._sim, max_tries=TRIES) as luma:
                try:
                    return await luma.generate("a cat")
                except LumaError as error:
                    return error

        outcome = asyncio.run(submit())
        return len(self._sim.ledger.jobs) - before, outcome, self._log.text


@pytest.fixture
def takes_every_job(caplog: pytest.LogCaptureFixture) -> Iterator[TakesEveryJob]:
    caplog.set_level(logging.INFO, "luma_async")
    with running_simulator(durations=Fixed(60)) as sim:
        yield TakesEveryJob(sim, caplog)


STATUSES = st.sampled_from(
    [
        *(200, 201, 202, 302, 303, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 418, 422),
        *(424, 425, 429, 451, 499, 500, 501, 502, 503, 504, 520, 522, 524, 530, 599),
    ]
)
WORDS = st.sampled_from(
    [
        *("fail", "no", "timeout", "上游请求超时", "success", "insufficient_user_quota", "504", ""),
        *("model_not_found", "do_request_failed", "429", "400", "余额不足", "upstream"),
        "task 0123456789abc",
    ]
)
NAMES = st.sampled_from(
    [
        *("id", "task_id", "taskId", "code", "message", "data", "error", "detail", "state"),
        *("status", "result", "type", "reason", "job", "request_id"),
    ]
)
VALUES = st.recursive(
    WORDS | st.integers(0, 600) | st.none() | st.booleans() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
HEADERS = st.lists(
    st.sampled_from(
        [
            ("Retry-After", "0"),
            ("X-RateLimit-Remaining", "5"),
            ("X-Request-Id", "r-1"),
            ("Content-Type", "text/html; charset=gbk"),
            ("Location", "/luma/generations"),
            ("Location", "/luma/generations/j-1"),
        ]
    ),
    max_size=2,
    unique_by=lambda header: header[0],
)


@given(STATUSES, VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(), HEADERS)
@settings(max_examples=100, suppress_health_check=[*HealthCheck])
def test_whatever_a_server_says_that_takes_every_job_none_is_paid_twice_or_lost(
    takes_every_job: TakesEveryJob, status: int, body: bytes, headers: list[tuple[str, str]]
) -> None:
    """The caller has an id, an uncertain submission, or an error that the allow-list names."""
    jobs, outcome, log = takes_every_job.answering(status, body, headers)

    if isinstance(outcome, VideoTask):
        assert status < 300
        assert outcome.id.encode("utf-8", "replace")
    elif not isinstance(outcome, SubmissionUncertainError):
        assert "Rejected for certain, by " in log
    assert jobs == 1 or "Rejected for certain, by " in log
