"""The retry table: what is sent again, what is raised, and what nobody can know."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from typing import Any

import pytest

from luma_async import (
    APIConnectionError,
    APIError,
    BadRequestError,
    LumaClient,
    LumaError,
    RateLimitError,
    ResponseError,
    ServerError,
    SubmissionUncertainError,
)
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import KEY, connect, until
from tests.loops import skip

BUSY = {
    "429": Fault.rate_limited(retry_after=0.1),
    "429 without a word": Fault.rate_limited(),
    "429 as a page": Fault.page(429),
    "503 without a channel": Fault.answer(
        b'{"error": {"message": "no channel", "code": "model_not_found"}}', status=503
    ),
    "200 that says 429": Fault.answer(b'{"code": 429, "message": "later", "data": null}'),
}
UNCLEAR = {
    "303": Fault.page(303),
    "408": Fault.page(408),
    "425": Fault.page(425),
    "408 explained": Fault.answer(b'{"detail": "no"}', status=408),
    "409": Fault.answer(b'{"detail": "no"}', status=409),
    "424": Fault.answer(b'{"detail": "no"}', status=424),
    "499": Fault.answer(b'{"detail": "no"}', status=499),
    "400 late": Fault.answer(b'{"detail": "upstream timed out"}', status=400),
    "500 explained": Fault.explained(500),
    "502 explained": Fault.explained(502),
    "503 explained": Fault.explained(503),
    "504 explained": Fault.explained(504),
    "500 explained by code and message": Fault.answer(
        b'{"code": "busy", "message": "later", "data": null}', status=500
    ),
    "500 explained in detail": Fault.answer(b'{"detail": "later"}', status=500),
    "200 that says 503": Fault.answer(b'{"code": 503, "message": "later", "data": null}'),
    "500 page": Fault.page(500),
    "502 page": Fault.page(502),
    "503 page": Fault.page(503),
    "504 page": Fault.page(504),
    "520 page": Fault.page(520),
    "500 that explains nothing": Fault.answer(b'{"error": {}}', status=500),
    "502 in a proxy's JSON": Fault.answer(b'{"message": "bad upstream"}', status=502),
    "200 {}": Fault.answer(b"{}"),
    "200 empty": Fault.answer(b""),
    "200 page": Fault.page(200),
    "200 cut short": Fault.answer(b'{"id": "x', status=200),
    "200 success without a task": Fault.answer(b'{"code": 0, "message": "success", "data": null}'),
    "cut": Fault.cut(),
    "timeout": Fault.slow(math.inf),
}
REFUSED = {
    "400": Fault.answer(b'{"error": {"message": "no"}}', status=400),
    "400 page": Fault.page(400),
    "401": Fault.answer(b'{"error": {"message": "no"}}', status=401),
    "402": Fault.answer(b"", status=402),
    "403": Fault.answer(b'{"detail": "no"}', status=403),
    "404": Fault.page(404),
    "413": Fault.page(413),
    "422": Fault.answer(b'{"detail": [{"loc": ["a"], "msg": "no"}]}', status=422),
    "429 for want of credit": Fault.answer(
        b'{"error": {"message": "no", "code": "insufficient_quota"}}', status=429
    ),
    "200 with a code of failure": Fault.answer(
        b'{"code": "invalid_request", "message": "no", "data": null}'
    ),
}


def table(*groups: dict[str, Fault]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "fault", [pytest.param(fault, id=name) for group in groups for name, fault in group.items()]
    )


async def ended(asked: Coroutine[Any, Any, Any], sim: Simulator, call: str, fault: Fault) -> Any:
    """Await a call; once its fault has befallen it, all that it then waits for is due."""
    before = sim.ledger.requests[call]
    task = asyncio.create_task(asked)
    await until(lambda: sim.ledger.requests[call] > before)
    await asyncio.sleep(0.02)
    skip(31.0 if fault.delay else 2.0)
    return await task


def once(fault: Fault, **changes: Any) -> Fault:
    fields = {name: getattr(fault, name) for name in Fault.__slots__}
    return Fault(**{**fields, "times": 1, **changes})


@table(BUSY, UNCLEAR)
async def test_a_read_that_found_no_answer_is_sent_again(fault: Fault) -> None:
    """Reading costs nothing, so reading goes on."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, timeout=30) as luma:
        task = await luma.generate("a cat")
        await task
        looks = sim.ledger.requests["get"]
        sim.faults.add(once(fault, on=["get"]))

        generation = await ended(luma.get(task.id), sim, "get", fault)

        assert generation.id == task.id
        assert sim.ledger.requests["get"] == looks + 2


@table(BUSY)
async def test_a_submission_that_was_not_taken_is_sent_again(fault: Fault) -> None:
    """A busy server gets the job when it can."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, timeout=30) as luma:
        sim.faults.add(once(fault))

        await (await ended(luma.generate("a cat"), sim, "generate", fault))

        assert len(sim.ledger.jobs) == 1
        assert sim.ledger.requests["generate"] == 2


@table(UNCLEAR)
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "not accepted"])
async def test_a_submission_that_may_have_been_accepted_is_not_sent_again(
    fault: Fault, accepted: bool
) -> None:
    """It is uncertain, and stays so if the server accepted it or not."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, timeout=30) as luma:
        sim.faults.add(once(fault, after=accepted))

        with pytest.raises(SubmissionUncertainError, match="may have been accepted"):
            await ended(luma.generate("a cat"), sim, "generate", fault)

        assert len(sim.ledger.jobs) == accepted
        assert sim.ledger.requests["generate"] == 1


@table(REFUSED)
@pytest.mark.parametrize("submits", [True, False], ids=["submission", "read"])
async def test_an_answer_that_will_not_change_is_raised(fault: Fault, submits: bool) -> None:
    """What the server refuses for good is raised at once, and no job was accepted."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, timeout=30) as luma:
        sim.faults.add(once(fault, on=["generate", "get"]))

        with pytest.raises(APIError) as caught:
            await (luma.generate("a cat") if submits else luma.get("job-1"))

        assert sum(sim.ledger.requests.values()) == 1
        assert not sim.ledger.jobs
        assert ("the job was not accepted" in str(caught.value)) is submits


@pytest.mark.parametrize("submits", [True, False], ids=["submission", "read"])
async def test_a_server_that_cannot_be_reached_is_tried_again(submits: bool) -> None:
    """Nothing was sent, so sending is safe: once the server listens, all is well."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, max_tries=2) as luma:
        task = await luma.generate("a cat")

        async with sim.unreachable():
            with pytest.raises(APIConnectionError) as caught:
                await (luma.generate("a dog") if submits else _look_anew(sim, task.id))
        await (luma.generate("a dog") if submits else luma.get(task.id))

        assert len(sim.ledger.jobs) == 1 + submits
        assert not isinstance(caught.value, SubmissionUncertainError)


async def _look_anew(sim: Simulator, id: str) -> None:
    """Look over a connection that has yet to be made."""
    async with connect(sim, max_tries=2) as luma:
        await luma.get(id)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.rate_limited(retry_after=0), RateLimitError),
        (BUSY["503 without a channel"], ServerError),
    ],
)
async def test_tries_come_to_an_end(fault: Fault, kind: type[LumaError]) -> None:
    """After `max_tries` the last error is raised; a submission was not accepted."""
    async with Simulator() as sim, connect(sim, max_tries=2) as luma:
        sim.faults.add(fault)

        with pytest.raises(kind, match="the job was not accepted"):
            await luma.generate("a cat")

        assert sim.ledger.requests["generate"] == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.page(502, on=["get"]), ServerError),
        (Fault.answer(b"{}", on=["get"]), ResponseError),
        (Fault.cut(on=["get"]), APIConnectionError),
    ],
)
async def test_reads_come_to_an_end_as_well(fault: Fault, kind: type[LumaError]) -> None:
    """A read that never finds an answer says why."""
    async with Simulator() as sim, connect(sim, max_tries=2) as luma:
        sim.faults.add(fault)

        with pytest.raises(kind):
            await luma.get("job-1")


async def test_a_user_may_opt_in_to_repeats() -> None:
    """`retry_uncertain=True` repeats, at the price that it names."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        sim.faults.add(Fault.cut(after=True, times=1))

        await (await luma.generate("a cat", retry_uncertain=True))

        assert len(sim.ledger.jobs) == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"error": {"message": "answering failed"}, "task_id": "job-1"}'),
        (429, b'{"id": "job-1", "state": "pending"}'),
        (409, b'{"id": "job-1", "state": "pending"}'),
        (504, b'{"error": {"message": "upstream request timeout"}}'),
        (500, b'{"error": {"message": "no answer", "code": "upstream_timed_out"}}'),
        (502, b'{"detail": "context deadline exceeded"}'),
    ],
)
async def test_a_refusal_that_may_be_of_the_answer_only_is_unclear(
    status: int, body: bytes
) -> None:
    """One that names a job, or says that the upstream was slow, does not say "not accepted"."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.answer(body, status=status))

        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat")

        assert sim.ledger.requests["generate"] == 1


@pytest.mark.parametrize("end", ["refused", "unreachable", "closed"])
async def test_what_was_uncertain_once_stays_uncertain(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With `retry_uncertain=True`, a later rejection does not undo an earlier uncertain try."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator() as sim:
        luma = connect(sim, max_tries=2)
        later = (("Retry-After", "90"),)
        sim.faults.add(Fault(after=True, times=1, status=502, headers=later))
        asked = asyncio.create_task(luma.generate("a cat", retry_uncertain=True))
        await until(lambda: "Trying again" in caplog.text)
        if end == "refused":
            sim.faults.add(Fault.page(403))
            skip(200.0)
        if end == "unreachable":
            async with sim.unreachable():
                skip(200.0)
                await asyncio.wait([asked])
        if end == "closed":
            await luma.aclose()

        with pytest.raises(SubmissionUncertainError) as caught:
            await asked
        await luma.aclose()

        assert caught.value.times == (1 if end == "closed" else 2)
        assert ("sent 2 times as requested" in str(caught.value)) is (end != "closed")


@pytest.mark.parametrize("ending", [Fault.cut, Fault.slow], ids=["cut", "hanging"])
async def test_an_answer_that_is_whole_counts_even_if_it_does_not_end_well(ending: Any) -> None:
    """The id has arrived, whatever became of the connection then."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        writer.write(b'{"id": "job-1", "state": "pending"}')
        await writer.drain()
        if ending is Fault.slow:
            await gone.wait()
        writer.close()

    gone = asyncio.Event()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, LumaClient(KEY, base_url=url, timeout=4.0) as luma:
        task = await luma.generate("a cat")
        gone.set()

        assert task.id == "job-1"
        task.forget()


async def test_a_refused_request_is_refused_once() -> None:
    """The server's own validation is final."""
    async with Simulator() as sim, connect(sim) as luma:
        with pytest.raises(BadRequestError, match="null is not a valid value"):
            await luma.generate("a cat", extra={"x": None})

        assert sim.ledger.requests["generate"] == 1
