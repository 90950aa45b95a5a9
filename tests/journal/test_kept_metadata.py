"""The journal keeps the metadata of a job, and every handle on the job has them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luma_async import (
    ExtendRequest,
    GenerateRequest,
    GenerationFailedError,
    InvalidRequestError,
    Job,
    SQLJournal,
    SubmissionUncertainError,
)
from luma_async.metadata import frozen_metadata
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, connect
from tests.journal.test_entries import ended, entry_of, journal_of
from tests.journal.test_owners import new_entry
from tests.metadata import JSON_OBJECTS

USER = {"user": 42, "chat": {"id": "7", "languages": ["de", "en"]}}
OTHER = {"user": 43}


async def test_all_handles_on_a_job_have_its_metadata(place: str) -> None:
    """That of the submission, of a running and of a completed job, and a resumed one."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            submitted = await luma.generate("a cat", key="cat", metadata=USER)
        async with connect(sim, journal=place) as luma:
            [resumed] = await luma.resume()
        async with connect(sim, journal=place) as luma:
            running = await luma.generate("a cat", key="cat")
            entry = await entry_of(luma, "cat")
            sim.advance(HOUR)
            await running
            await ended(luma, "cat")
            completed = await luma.generate("a cat", key="cat")

    tasks = (submitted, resumed, running, completed)
    assert [task.metadata for task in tasks] == [USER] * 4
    assert entry.metadata == USER
    assert len(sim.ledger.jobs) == 1


async def test_a_known_job_keeps_the_metadata_that_it_was_submitted_with(place: str) -> None:
    """Metadata is not part of the request, so a call with other metadata gets the same job."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, journal=place) as luma:
        await luma.generate("a cat", key="cat", metadata=USER)
        await luma.generate("a dog", key="dog")
        cat = await luma.generate("a cat", key="cat", metadata=OTHER)
    async with connect(sim, journal=place) as luma:
        cats = {task.key: task.metadata for task in await luma.resume()}

    assert cat.metadata == USER
    assert cats == {"cat": USER, "dog": {}}
    assert len(sim.ledger.jobs) == 2


@pytest.mark.parametrize(("new", "kept"), [(OTHER, OTHER), ({}, {}), (None, USER)])
async def test_a_job_that_is_submitted_again_has_the_new_metadata(
    new: dict[str, Any] | None, kept: dict[str, Any], place: str
) -> None:
    """Those of the job that failed, if the new call has none."""
    async with Simulator(durations=Fixed(0), failure_rate=1) as sim:
        async with connect(sim, journal=place) as luma:
            with pytest.raises(GenerationFailedError):
                await (await luma.generate("a cat", key="cat", metadata=USER))
            await ended(luma, "cat")
            again = await luma.generate("a cat", key="cat", retry_failed=True, metadata=new)
            entry = await entry_of(luma, "cat")

    assert again.metadata == entry.metadata == kept
    assert len(sim.ledger.jobs) == 2


async def test_an_uncertain_job_keeps_its_metadata(place: str) -> None:
    """Until it is settled, and afterwards."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.cut(after=True, times=1))
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat", key="cat", metadata=USER)
        [uncertain] = await journal_of(luma).uncertain()
        await journal_of(luma).settle("cat", id=sim.ledger.jobs[0].id)
        [resumed] = await luma.resume()

    assert uncertain.metadata == resumed.metadata == USER


async def test_outcomes_have_the_metadata_of_their_jobs(place: str) -> None:
    """Of a `Job`, of a mapping, and of a mapping under a job key."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, journal=place) as luma:
        cat = await luma.generate("a cat")
        items: list[Any] = [
            Job(GenerateRequest("a cat"), key="1", metadata={"row": 1}),
            {"prompt": "a cat", "key": "2", "metadata": {"row": 2}},
            ("3", {"prompt": "a cat", "metadata": {"row": 3}}),
            Job(ExtendRequest("it bows"), key="4", source=await cat, metadata={"row": 4}),
            {"prompt": "it bows", "key": "5", "extends": await cat, "metadata": {"row": 5}},
            {"prompt": "", "key": "6", "metadata": {"row": 6}},
            {"prompt": "a cat", "key": "7", "metadata": None},
        ]
        outcomes = [outcome async for outcome in luma.run_many(items)]
        again = [outcome async for outcome in luma.run_many([("1", "a cat")])]

    rows = {outcome.key: outcome.metadata for outcome in outcomes}
    assert rows == {**{str(n): {"row": n} for n in range(1, 7)}, "7": {}}
    assert [outcome.error is None for outcome in outcomes].count(False) == 1
    assert again[0].metadata == {"row": 1}


async def test_an_outcome_tells_of_metadata_that_are_not_json() -> None:
    """It spoils no other job."""
    items: list[Any] = [{"prompt": "a cat", "metadata": {"a": {1}}}, "a dog"]
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        outcomes = [outcome async for outcome in luma.run_many(items)]

    assert sorted(str(outcome.error) for outcome in outcomes)[1].startswith("metadata['a']: ")
    assert [job.prompt for job in sim.ledger.jobs] == ["a dog"]
    with pytest.raises(InvalidRequestError, match=r"metadata\['a'\]"):
        Job(GenerateRequest("a cat"), metadata={"a": {1}})


async def test_metadata_are_exported(place: str) -> None:
    """Each line is a text that any file takes, lone surrogates or not."""
    metadata = {"emoji": "\N{CAT}", "half": "\ud83d", "null": "\0"}
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, journal=place) as luma:
        await luma.generate("a cat", key="cat", metadata=metadata)
        await luma.generate("a dög", key="dog", metadata={"name": "Jürgen"})
        journal = journal_of(luma)
        assert isinstance(journal, SQLJournal)
        lines = [line async for line in journal.export()]

    assert [json.loads(line)["metadata"] for line in lines] == [metadata, {"name": "Jürgen"}]
    assert "\n".join(lines).encode()
    assert "Jürgen" in lines[1]


async def test_the_server_never_sees_metadata(place: str) -> None:
    """They are for the caller alone."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, journal=place) as luma:
        await luma.generate("a cat", metadata={"secret": "hidden"})

        assert "hidden" not in repr(sim.ledger.summary())


def test_any_json_object_comes_back_equal(place: str) -> None:
    """From the journal, and from its export."""
    numbers = count()
    journal = SQLJournal(place)

    async def come_back(documents: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
        entries = [
            replace(new_entry(f"{next(numbers):06}"), metadata=frozen_metadata(document))
            for document in documents
        ]
        await asyncio.gather(*map(journal.claim, entries))
        found = await asyncio.gather(*(journal.find(entry.key) for entry in entries))
        exported = [json.loads(line)["metadata"] async for line in journal.export()]
        return [entry.metadata for entry in found if entry is not None], exported

    with asyncio.Runner() as runner:

        @settings(max_examples=10)
        @given(st.lists(JSON_OBJECTS, min_size=1))
        def check(documents: list[dict[str, Any]]) -> None:
            found, exported = runner.run(come_back(documents))
            assert found == documents == exported[-len(documents) :]

        runner.run(journal.open())
        try:
            check()
        finally:
            runner.run(journal.aclose())
