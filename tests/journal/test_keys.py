"""A key is a caller's own name for a job: what it names is paid for once."""

from __future__ import annotations

import asyncio
import base64
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import (
    ClientClosedError,
    ConfigurationError,
    GenerateRequest,
    GenerationFailedError,
    InvalidRequestError,
    KeyConflictError,
    NotFoundError,
    SQLJournal,
    SubmissionUncertainError,
)
from luma_async.journal import Entry, EntryState
from luma_async.journal.fingerprint import KEY_LIMIT, checked_key, fingerprint, kept_request
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, connect, until
from tests.journal.test_entries import ended
from tests.media.hosts import small

PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 100).decode()


async def test_a_known_and_running_job_is_watched(place: str) -> None:
    """In the same client by the same handle, in a later one by a new one; nothing is submitted."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            task = await luma.generate("a cat", key="cat")
            assert await luma.generate("a cat", key="cat") is task
        async with connect(sim, journal=place) as luma:
            again = await luma.generate("a cat", key="cat")

            assert again.key == "cat"
            sim.advance(HOUR)
            assert (await again).id == task.id
        assert len(sim.ledger.jobs) == 1


async def test_the_links_of_a_known_and_completed_job_are_those_of_its_end(
    place: str, tmp_path: Path
) -> None:
    """They expire. `get()` and `watch()` return fresh ones, and `download()` asks for one."""
    async with small() as sim:
        async with connect(sim, journal=place) as luma:
            video = await luma.run("a cat", key="cat")
        sim.advance(2 * HOUR)
        async with connect(sim, journal=place) as luma:
            stored = await luma.run("a cat", key="cat")
            fresh = await luma.get(stored.id)
            watched = await (await luma.watch(stored.id))
            file = await luma.download(stored, tmp_path / "cat.mp4")

    assert stored.url == video.url
    assert stored.url not in (fresh.url, watched.url)
    assert file.stat().st_size > 1000


async def test_a_known_and_completed_job_is_returned_finished(place: str) -> None:
    """Without a request, and as it was."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place) as luma:
            video = await (await luma.generate("a cat", key="cat"))
        before = sim.ledger.requests.total()
        async with connect(sim, journal=place) as luma:
            task = await luma.generate("a cat", key="cat")

            assert task.done()
            assert await task == video
        assert sim.ledger.requests.total() == before


async def test_a_known_and_failed_job_raises_its_failure(place: str) -> None:
    """Again and again, unless it is to be tried again; then its old id is kept beside the new."""
    async with Simulator(durations=Fixed(0), failure_rate=1.0) as sim:
        async with connect(sim, journal=place) as luma:
            with pytest.raises(GenerationFailedError) as first:
                await (await luma.generate("a cat", key="cat"))
        async with connect(sim, journal=place) as luma:
            with pytest.raises(GenerationFailedError) as again:
                await luma.generate("a cat", key="cat")
            assert again.value.generation == first.value.generation
            assert len(sim.ledger.jobs) == 1

            task = await luma.generate("a cat", key="cat", retry_failed=True)
            assert luma.journal is not None
            entry = await luma.journal.find("cat")

        assert [job.id for job in sim.ledger.jobs] == [first.value.generation.id, task.id]
        assert entry is not None
        assert entry.id == task.id
        assert entry.earlier_ids == (first.value.generation.id,)


async def test_a_retry_that_is_refused_leaves_the_failure(place: str) -> None:
    """The journal knows of the failed job what it knew."""
    async with (
        Simulator(durations=Fixed(0), failure_rate=1.0) as sim,
        connect(sim, journal=place) as luma,
    ):
        with pytest.raises(GenerationFailedError) as first:
            await (await luma.generate("a cat", key="cat"))
        assert luma.journal is not None
        failed = await ended(luma, "cat")
        sim.faults.add(Fault(status=403, body=b'{"error": {"message": "no"}}', times=1))

        with pytest.raises(Exception, match="403"):
            await luma.generate("a cat", key="cat", retry_failed=True)
        with pytest.raises(GenerationFailedError) as again:
            await luma.generate("a cat", key="cat")

        assert again.value.generation.id == first.value.generation.id
        stands = await luma.journal.find("cat")
        assert stands is not None
        assert stands == replace(failed, claim=stands.claim)


async def test_a_retry_whose_answer_is_lost_is_not_the_job_before(place: str) -> None:
    """It is uncertain, and its id is not the failed one's."""
    async with (
        Simulator(durations=Fixed(0), failure_rate=1.0) as sim,
        connect(sim, journal=place) as luma,
    ):
        with pytest.raises(GenerationFailedError) as failed:
            await (await luma.generate("a cat", key="cat"))
        await ended(luma, "cat")
        sim.faults.add(Fault.cut(after=True))
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat", key="cat", retry_failed=True)
        assert luma.journal is not None
        [entry] = await luma.journal.uncertain()

        assert entry.id is None
        assert entry.generation is None
        assert entry.earlier_ids == (failed.value.generation.id,)


async def test_jobs_of_two_servers_may_have_the_same_id(place: str) -> None:
    """One's end is not the other's."""
    async with (
        Simulator(durations=Fixed(HOUR), seed=1) as one,
        Simulator(durations=Fixed(0), seed=1) as other,
        connect(one, journal=place) as luma,
        connect(other, journal=place) as elsewhere,
    ):
        cat = await luma.generate("a cat", key="cat")
        dog = await elsewhere.generate("a dog", key="dog")
        assert cat.id == dog.id
        await dog
        await ended(elsewhere, "dog")

        assert luma.journal is not None
        entry = await luma.journal.find("cat")
        assert entry is not None
        assert entry.state is EntryState.RUNNING


class Reading(SQLJournal):
    """A journal that notes the states of the entries that were looked at."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.seen: list[EntryState] = []

    async def find(self, key: str) -> Entry | None:
        entry = await super().find(key)
        if entry is not None:
            self.seen.append(entry.state)
        return entry


async def test_closing_ends_the_wait_for_somebody_elses_submission(place: str) -> None:
    """At once."""
    async with Simulator() as sim, connect(sim, journal=place) as one:
        sim.faults.add(Fault.slow(math.inf))
        submitting = asyncio.create_task(one.generate("a cat", key="cat"))
        await until(lambda: sim.ledger.requests["generate"])
        async with Reading(place) as journal:
            async with connect(sim, journal=journal) as other:
                asked = asyncio.create_task(other.generate("a cat", key="cat"))
                await until(lambda: EntryState.SUBMITTING in journal.seen)
            with pytest.raises(ClientClosedError):
                await asked
        assert not submitting.done()
        sim.faults.clear()
        await submitting


async def test_another_request_under_the_same_key_is_a_conflict(place: str) -> None:
    """Nothing is submitted, and the error says what the key is."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        await luma.generate("a cat", key="row-1", aspect_ratio="1:1")

        with pytest.raises(KeyConflictError, match=r"'row-1' was used.*'a cat'") as caught:
            await luma.generate("a cat", key="row-1")

        assert caught.value.key == "row-1"
        assert len(sim.ledger.jobs) == 1


async def test_a_job_at_another_server_is_a_conflict(place: str) -> None:
    """It runs there, so it is neither watched here nor paid for again; finished, it is finished."""
    async with Simulator(durations=Fixed(HOUR)) as one, Simulator() as other:
        async with connect(one, journal=place) as luma:
            task = await luma.generate("a cat", key="cat")
            async with connect(other, journal=place) as elsewhere:
                with pytest.raises(KeyConflictError, match=one.url):
                    await elsewhere.generate("a cat", key="cat")
            one.advance(HOUR)
            video = await task
        async with connect(other, journal=place) as elsewhere:
            assert await (await elsewhere.generate("a cat", key="cat")) == video
        assert other.ledger.jobs == []


async def test_an_uncertain_job_stays_uncertain(place: str) -> None:
    """Asked again, in this run or a later one, the same error says how to settle it."""
    async with Simulator() as sim:
        sim.faults.add(Fault.cut(after=True, times=1))
        for _ in range(2):
            async with connect(sim, journal=place) as luma:
                for _ in range(2):
                    with pytest.raises(SubmissionUncertainError, match=r"settle\('cat'") as caught:
                        await luma.generate("a cat", key="cat")
                    assert caught.value.key == "cat"
                    assert caught.value.prompt == "a cat"
        assert len(sim.ledger.jobs) == 1


async def test_an_uncertain_job_is_submitted_again_by_those_who_accept_that(place: str) -> None:
    """`retry_uncertain=True` is the caller's own risk, with a journal as without."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.cut(after=True, times=1))
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat", key="cat")

        task = await luma.generate("a cat", key="cat", retry_uncertain=True)

        assert task.id == sim.ledger.jobs[1].id
        assert len(sim.ledger.jobs) == 2


async def test_a_lost_job_is_looked_for_until_it_is_to_be_submitted_again(place: str) -> None:
    """The server no longer knew it, and may find it again: it is paid for."""
    async with Simulator(durations=Fixed(60)) as sim:
        async with connect(sim, journal=place) as luma:
            task = await luma.generate("a cat", key="cat")
            luma._manager._results._lost_after = 0.0  # a minute is too long for a test
            sim.faults.add(
                Fault.answer(b'{"code": "task_not_exist"}', status=404, on=["get", "tasks"])
            )
            with pytest.raises(NotFoundError):
                await task
        async with connect(sim, journal=place) as luma:
            luma._manager._results._lost_after = 0.0
            [outcome] = [each async for each in luma.run_many([("cat", "a cat")])]
            assert isinstance(outcome.error, NotFoundError)
            assert outcome.id == task.id
        sim.faults.clear()
        async with connect(sim, journal=place) as luma:
            found = await luma.generate("a cat", key="cat")
            assert found.id == task.id
            assert len(sim.ledger.jobs) == 1
            sim.faults.add(Fault.answer(b'{"code": "task_not_exist"}', status=404, on=["get"]))

            again = await luma.generate("a cat", key="cat", retry_failed=True)

        assert again.id == sim.ledger.jobs[1].id


async def test_a_failed_job_makes_room_for_another_request(place: str) -> None:
    """A prompt that was refused is rewritten: where failures are tried again, that is what runs."""
    async with Simulator(durations=Fixed(0), failure_rate=1.0) as sim:
        async with connect(sim, journal=place) as luma:
            with pytest.raises(GenerationFailedError):
                await (await luma.generate("a forbidden cat", key="cat"))
        async with connect(sim, journal=place) as luma:
            with pytest.raises(KeyConflictError):
                await luma.generate("a cat", key="cat")

            again = await luma.generate("a cat", key="cat", retry_failed=True)
            entry = await luma.journal.find("cat") if luma.journal else None

        assert again.id == sim.ledger.jobs[1].id
        assert entry is not None
        assert entry.request["prompt"] == "a cat"
        assert entry.earlier_ids == (sim.ledger.jobs[0].id,)


async def test_an_extension_has_a_key_as_well(place: str) -> None:
    """It is known by it without its source being awaited, or even known to the server."""
    async with Simulator(durations=Fixed(0.2)) as sim:
        async with connect(sim, journal=place) as luma:
            source = await luma.generate("a cat", key="cat")
            longer = await luma.extend(source, "it bows", key="bow")
            await longer
        before = sim.ledger.requests.total()
        async with connect(sim, journal=place) as luma:
            again = await luma.extend(source.id, "it bows", key="bow")

            assert (await again).id == longer.id
            assert sim.ledger.requests.total() == before
            with pytest.raises(KeyConflictError, match="extend 'it bows'"):
                await luma.extend("another-job", "it bows", key="bow")
        assert len(sim.ledger.jobs) == 2


async def test_run_many_goes_on_where_it_was(place: str) -> None:
    """The same run again submits only what is new, and has the outcomes of all."""
    rows: list[dict[str, Any]] = [{"key": f"row-{n}", "prompt": f"cat {n}"} for n in range(5)]
    async with Simulator(durations=Fixed(0.1)) as sim:
        async with connect(sim, journal=place) as luma:
            first = {outcome.key: outcome.id async for outcome in luma.run_many(rows[:3])}
        async with connect(sim, journal=place) as luma:
            pairs = [(row["key"], row["prompt"]) for row in rows]
            second = {outcome.key: outcome.id async for outcome in luma.run_many(pairs)}

        assert len(sim.ledger.jobs) == 5
        assert set(second) == {row["key"] for row in rows}
        assert {key: second[key] for key in first} == first


async def test_run_many_tells_what_it_cannot_submit(place: str) -> None:
    """A conflict, a failure and an uncertain job are outcomes with their keys; ids where known."""
    async with Simulator(durations=Fixed(0), failure_rate=1.0) as sim:
        async with connect(sim, journal=place) as luma:
            with pytest.raises(GenerationFailedError) as failed:
                await (await luma.generate("a cat", key="failed"))
            await ended(luma, "failed")
            sim.faults.add(Fault.cut(after=True))
            rows: list[Any] = [("failed", "a cow"), ("failed", "a cat"), "a dog", ("x", "y", "z")]

            outcomes = [outcome async for outcome in luma.run_many(rows)]

        told = {(outcome.key, type(outcome.error), outcome.id) for outcome in outcomes}
        assert ("failed", KeyConflictError, None) in told
        assert ("failed", GenerationFailedError, failed.value.generation.id) in told
        assert (None, InvalidRequestError, None) in told
        [uncertain] = [o for o in outcomes if isinstance(o.error, SubmissionUncertainError)]
        assert uncertain.key is not None
        assert uncertain.key.startswith("auto-")


async def test_a_known_key_waits_for_nothing(tmp_path: Path) -> None:
    """While the client is braked and full, a finished job is still returned at once."""
    place = tmp_path / "jobs.db"
    async with (
        Simulator(durations=Fixed(0.1)) as sim,
        connect(sim, journal=place, max_tasks=1) as luma,
    ):
        await (await luma.generate("a cat", key="cat"))
        await ended(luma, "cat")
        sim.faults.add(Fault.rate_limited(retry_after=120))
        braked = asyncio.create_task(luma.generate("a dog"))
        await until(lambda: sim.ledger.statuses[429])

        async with asyncio.timeout(60):
            await (await luma.generate("a cat", key="cat"))

        braked.cancel()


async def test_a_key_needs_a_journal() -> None:
    """Silently paying twice is what the caller wanted to exclude."""
    async with Simulator() as sim, connect(sim) as luma:
        with pytest.raises(ConfigurationError, match="journal="):
            await luma.generate("a cat", key="cat")
        with pytest.raises(ConfigurationError, match="journal="):
            await luma.resume()
        assert luma.journal is None
        assert sim.ledger.jobs == []


@pytest.mark.parametrize("key", ["", " ", "a" * (KEY_LIMIT + 1), "a\0b", "\ud800", 7, None])
def test_what_cannot_be_a_key_is_refused(key: object) -> None:
    """Before anything is written or sent."""
    with pytest.raises(InvalidRequestError, match="key"):
        checked_key(key)


async def test_a_closed_client_does_not_open_its_journal_again(tmp_path: Path) -> None:
    """Nor does it submit."""
    async with Simulator() as sim:
        luma = connect(sim, journal=tmp_path / "jobs.db")
        async with luma:
            pass

        with pytest.raises(ClientClosedError):
            await luma.generate("a cat", key="cat")
        with pytest.raises(ClientClosedError):
            await luma.resume()
        assert luma.journal is not None
        assert "not open" in repr(luma.journal)


async def test_an_image_is_told_by_its_digest(tmp_path: Path) -> None:
    """The entry does not hold megabytes, and the same image is the same request."""
    async with Simulator() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        task = await luma.generate("a cat", key="cat", image=PIXEL)

        assert await luma.generate("a cat", key="cat", image=PIXEL) is task
        with pytest.raises(KeyConflictError):
            await luma.generate("a cat", key="cat", image=PIXEL[:-4] + "AAAA")
        assert luma.journal is not None
        entry = await luma.journal.find("cat")
        assert entry is not None
        assert entry.request["image"].startswith("data:image/png;sha256,")
        assert len(entry.request["image"]) < 100


def print_of(request: GenerateRequest, source_id: str | None = None) -> str:
    return fingerprint(source_id, kept_request(request))


@given(
    extra=st.dictionaries(
        st.text(st.characters(codec="utf-8")), st.integers() | st.text(st.characters(codec="utf-8"))
    )
)
def test_the_order_of_fields_is_no_difference(extra: dict[str, Any]) -> None:
    """The same fields are the same request, in whatever order they were said."""
    turned = dict(reversed(extra.items()))

    assert print_of(GenerateRequest("a cat", extra=extra)) == print_of(
        GenerateRequest("a cat", extra=turned)
    )


def test_what_is_asked_for_tells_requests_apart() -> None:
    """Each field does, and what is extended; who is told of it does not."""
    cat = GenerateRequest("a cat")
    others = [
        GenerateRequest("a cat!"),
        GenerateRequest("a cat", loop=True),
        GenerateRequest("a cat", loop=False),
        GenerateRequest("a cat", model="ray-v2"),
        GenerateRequest("a cat", extra={"seed": 1}),
        GenerateRequest("a cat", image=PIXEL),
        GenerateRequest("a cat", image_end=PIXEL),
    ]
    prints = {print_of(cat), print_of(cat, "job-1"), print_of(cat, "job-2"), *map(print_of, others)}

    assert len(prints) == len(others) + 3
    assert print_of(GenerateRequest("a cat", notify_hook="https://host/hook")) == print_of(cat)


def test_the_states_of_entries_hold_those_of_jobs() -> None:
    """What a job ends in is a state of its entry by the same word."""
    assert EntryState("completed") is EntryState.COMPLETED
    assert EntryState("failed") is EntryState.FAILED
