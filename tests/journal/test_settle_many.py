"""Settling: many uncertain jobs in one go, all of them or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from luma_async import InvalidRequestError, JournalError, SQLJournal
from luma_async.journal import Entry, EntryState
from tests.journal.databases import counted_commits


async def an_entry(journal: SQLJournal, key: str, *, server: str = "https://a.example") -> Entry:
    """Return an entry that is being submitted."""
    now = datetime.now(UTC)
    return await journal.claim(
        Entry(
            key=key,
            state=EntryState.SUBMITTING,
            request={"prompt": f"a cat, {key}"},
            server=server,
            submitted_at=now,
            updated_at=now,
            fingerprint="f",
            claim=uuid4().hex,
        )
    )


async def uncertain(journal: SQLJournal, keys: Sequence[str], **where: str) -> None:
    """Have jobs whose answers were lost."""

    async def lose(key: str) -> None:
        await journal.mark_uncertain(await an_entry(journal, key, **where), "lost")

    await asyncio.gather(*map(lose, keys))


async def running(journal: SQLJournal, key: str, id: str, **where: str) -> None:
    """Have a job that was accepted."""
    await journal.mark_accepted(await an_entry(journal, key, **where), id)


async def test_many_jobs_are_settled_at_once(place: str) -> None:
    """Those with an id run, and the keys of the others are free."""
    async with SQLJournal(place) as journal:
        await uncertain(journal, ["a", "b", "c", "d"])

        await journal.settle_many({"a": "job-1", "b": None, "c": "job-3"})

        found = {key: await journal.find(key) for key in "abcd"}
    assert {key: entry and (entry.state, entry.id) for key, entry in found.items()} == {
        "a": (EntryState.RUNNING, "job-1"),
        "b": None,
        "c": (EntryState.RUNNING, "job-3"),
        "d": (EntryState.UNCERTAIN, None),
    }
    assert found["a"] is not None
    assert found["a"].reason is None


async def test_all_are_settled_or_none(place: str) -> None:
    """The error names each job that is in the way, and so does a look at it before."""
    async with SQLJournal(place) as journal:
        await uncertain(journal, ["a", "b", "c", "d"])
        await running(journal, "known", "job-9")
        ids = {"a": "job-1", "b": "job-9", "c": "job-1", "d": None, "known": "job-8", "e": None}

        problems = await journal.unsettleable(ids)
        with pytest.raises(JournalError) as caught:
            await journal.settle_many(ids)

        states = await journal.states()
    assert problems == {
        "b": "job job-9 belongs to 'known', not to 'b'",
        "c": "job job-1 belongs to 'a', not to 'c'",
        "known": "'known' is running",
        "e": "'e' is not in the journal",
    }
    assert all(problem in str(caught.value) for problem in problems.values())
    assert states == dict.fromkeys("abcd", EntryState.UNCERTAIN) | {"known": EntryState.RUNNING}


async def test_a_task_of_another_gateway_is_another_task(place: str) -> None:
    """Ids are unique at one server only."""
    async with SQLJournal(place) as journal:
        await running(journal, "there", "job-1", server="https://b.example")
        await uncertain(journal, ["here"])

        await journal.settle_many({"here": "job-1"})

        entry = await journal.find("here")
    assert entry is not None
    assert (entry.state, entry.id) == (EntryState.RUNNING, "job-1")


async def test_two_who_settle_the_same_do_not_mix(place: str) -> None:
    """One settles all, and the other is told so; nothing is half of one and half of the other."""
    async with SQLJournal(place) as one, SQLJournal(place) as other:
        keys = [f"row-{number}" for number in range(40)]
        await uncertain(one, keys)

        ended = await asyncio.gather(
            one.settle_many({key: f"one-{key}" for key in keys}),
            other.settle_many({key: f"other-{key}" for key in reversed(keys)}),
            return_exceptions=True,
        )

        ids = [(await one.find(key) or pytest.fail(key)).id for key in keys]
    assert [type(end) for end in ended].count(JournalError) == 1
    winner = "one" if ended[0] is None else "other"
    assert ids == [f"{winner}-{key}" for key in keys]


async def test_two_who_look_before_either_writes_do_not_mix(postgres_place: str) -> None:
    """In PostgreSQL, whose readers wait for nobody, the rows are held from the look on."""
    watcher = await asyncpg.connect(postgres_place)
    async with SQLJournal(postgres_place) as one, SQLJournal(postgres_place) as other:
        await uncertain(one, ["a", "b"])
        async with watcher.transaction():
            await watcher.execute("SELECT 1 FROM luma_jobs WHERE key = 'a' FOR UPDATE")
            settling = [
                asyncio.create_task(one.settle_many({"a": "one-a", "b": "one-b"})),
                asyncio.create_task(other.settle_many({"a": "other-a", "b": "other-b"})),
            ]
            async with asyncio.timeout(60):
                waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
                while await watcher.fetchval(waiting) < 2:  # noqa: ASYNC110  it tells nobody
                    await asyncio.sleep(0.02)

        ended = await asyncio.gather(*settling, return_exceptions=True)

        ids = {key: (await one.find(key) or pytest.fail(key)).id for key in "ab"}
    await watcher.close()
    assert [type(end) for end in ended].count(JournalError) == 1
    winner = "one" if ended[0] is None else "other"
    assert ids == {"a": f"{winner}-a", "b": f"{winner}-b"}


@pytest.mark.parametrize("jobs", [300, pytest.param(1000, marks=pytest.mark.long)])
async def test_many_jobs_are_settled_in_few_transactions(place: str, jobs: int) -> None:
    """One for each job would take seconds."""
    async with SQLJournal(place) as journal:
        keys = [f"row-{number}" for number in range(jobs)]
        await uncertain(journal, keys)

        with counted_commits() as commits:
            await journal.settle_many(
                {key: f"job-{key}" if key < "row-5" else None for key in keys}
            )

        assert len(commits) < 10
        assert await journal.uncertain() == []
        assert set((await journal.states()).values()) == {EntryState.RUNNING}


async def test_an_id_that_names_nothing_settles_nothing(place: str) -> None:
    """Nor does one that is missing among many."""
    async with SQLJournal(place) as journal:
        await uncertain(journal, ["a", "b"])

        with pytest.raises(InvalidRequestError, match="must be the id of a job"):
            await journal.settle_many({"a": "job-1", "b": " "})

        assert len(await journal.uncertain()) == 2
