"""Group commit: what is asked at about the same time becomes durable together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from luma_async import JournalError
from luma_async.journal.sql.group_commit import LARGEST_GROUP, CommitError, GroupCommit
from luma_async.journal.sql.operations import Accepted, Find, Operation
from tests.clients import until
from tests.journal.test_owners import new_entry


class PassingError(Exception):
    pass


class LastingError(Exception):
    pass


def paid(key: str = "cat") -> Accepted:
    """Return the news that a job was accepted."""
    return Accepted(entry=new_entry(key), id="job-1")


def key_of(operation: Operation) -> str:
    return operation.entry.key if isinstance(operation, Accepted) else getattr(operation, "key", "")


def failure(error: Exception) -> CommitError:
    """Return the error of a commit; only a passing one is of the whole database."""
    return CommitError(
        JournalError(f"The disk says {type(error).__name__}."),
        is_database=isinstance(error, PassingError),
    )


@dataclass
class Disk:
    """What takes groups; each exception in `troubles` spoils one commit."""

    groups: list[list[str]] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)
    poison: str = "-"
    landed: list[str] = field(default_factory=list)

    async def commit(self, group: Sequence[Operation]) -> Mapping[Operation, str]:
        keys = [key_of(operation) for operation in group]
        self.groups.append(keys)
        await asyncio.sleep(0)
        if self.troubles:
            raise failure(self.troubles.pop(0))
        if self.poison in keys:
            raise failure(LastingError())
        self.landed += keys
        return {operation: f"found {key}" for operation, key in zip(group, keys, strict=True)}

    def commits(self, **settings: Any) -> GroupCommit:
        return GroupCommit(self.commit, **settings)


async def test_what_is_asked_together_is_committed_together() -> None:
    """A hundred operations, one commit; each gets its own result."""
    disk = Disk()
    commits = disk.commits()

    results = await asyncio.gather(*(commits.put(Find(key=f"{n}")) for n in range(100)))

    assert results == [f"found {n}" for n in range(100)]
    assert len(disk.groups) == 1


async def test_a_group_is_no_larger_than_it_should_be() -> None:
    """And none is forgotten; they stay in their order."""
    disk = Disk()
    commits = disk.commits()

    await asyncio.gather(*(commits.put(Find(key=f"{n}")) for n in range(LARGEST_GROUP + 1)))

    assert [len(group) for group in disk.groups] == [LARGEST_GROUP, 1]
    assert sum(disk.groups, []) == [f"{n}" for n in range(LARGEST_GROUP + 1)]  # noqa: RUF017


async def test_what_is_put_whenever_is_done() -> None:
    """Also at the very moment when the one before is done."""
    disk = Disk()
    commits = disk.commits()

    for steps in range(50):
        first = commits.put(Find(key="first"))
        await first
        for _ in range(steps % 5):
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            assert await commits.put(Find(key="second")) == "found second"


async def test_a_failure_is_told_at_once() -> None:
    """What need not land has failed then, and is not tried again."""
    disk = Disk(troubles=[PassingError()])
    commits = disk.commits()

    with pytest.raises(JournalError, match="PassingError"):
        await commits.put(Find(key="cat"))

    assert await commits.put(Find(key="dog")) == "found dog"
    assert disk.groups == [["cat"], ["dog"]]


async def test_what_must_land_is_tried_until_it_does() -> None:
    """Its caller is told at once that it has not, and it lands before what comes later."""
    disk = Disk(troubles=[PassingError(), PassingError()])
    commits = disk.commits()

    with pytest.raises(JournalError):
        await commits.put(paid("paid"))
    with pytest.raises(JournalError):
        await commits.put(Find(key="later"))
    await commits.put(Find(key="last"))

    assert disk.groups == [["paid"], ["paid", "later"], ["paid", "last"]]


async def test_what_must_land_lands_by_itself() -> None:
    """Nothing new need be put for it to be tried again."""
    disk = Disk(troubles=[PassingError(), PassingError()])
    commits = disk.commits()
    with pytest.raises(JournalError):
        await commits.put(paid("paid"))

    await until(lambda: len(disk.groups) == 3)

    await commits.aclose(within=60)
    assert disk.groups == [["paid"]] * 3


async def test_one_that_cannot_be_done_spoils_no_other() -> None:
    """They are tried singly, and it alone fails."""
    disk = Disk(poison="bad")
    commits = disk.commits()

    good, bad, also_good = await asyncio.gather(
        *(commits.put(Find(key=key)) for key in ("good", "bad", "also good")),
        return_exceptions=True,
    )

    assert (good, also_good) == ("found good", "found also good")
    assert isinstance(bad, JournalError)


async def test_closing_does_what_is_left() -> None:
    """What must land is tried on for as long as closing may take."""
    disk = Disk()
    commits = disk.commits()
    left = commits.put(Find(key="left"))
    await commits.aclose(within=60)
    assert left.result() == "found left"

    disk = Disk(troubles=[PassingError(), PassingError(), PassingError()])
    commits = disk.commits()
    with pytest.raises(JournalError):
        await commits.put(paid())
    await commits.aclose(within=60)

    assert len(disk.groups) == 4


async def test_what_comes_after_closing_fails_at_once() -> None:
    """Nobody would write it."""
    disk = Disk()
    commits = disk.commits()
    await commits.aclose(within=60)

    with pytest.raises(JournalError, match="was closed before"):
        await asyncio.wait_for(commits.put(Find(key="late")), 60)

    assert disk.groups == []


@pytest.mark.parametrize("error", [PassingError, LastingError])
async def test_closing_tells_of_what_could_not_be_written(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """In time, and with the key and the id of each job."""
    disk = Disk(troubles=[error() for _ in range(100_000)])
    commits = disk.commits()
    with pytest.raises(JournalError):
        await commits.put(paid())

    async with asyncio.timeout(60):
        await commits.aclose(within=0.2)

    told = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 1
    assert "'cat'" in told[0]
    assert "job-1" in told[0]


async def test_what_must_land_is_never_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the error, and however long it lasts; the log says so once, not at each try."""
    disk = Disk(troubles=[LastingError(), PassingError(), RuntimeError(), AttributeError()])
    commits = disk.commits(longest_pause=0.1)
    with pytest.raises(JournalError):
        await commits.put(paid())

    async with asyncio.timeout(60):
        await commits.idle()

    assert len(disk.groups) == 5
    assert len([record for record in caplog.records if record.name == "luma_async"]) == 1


async def test_one_that_never_lands_holds_up_no_other() -> None:
    """It is tried by itself from then on, and what comes later does not wait for that."""
    disk = Disk(poison="cat")
    commits = disk.commits(longest_pause=3600.0)
    with pytest.raises(JournalError):
        await commits.put(paid())

    async with asyncio.timeout(60):
        for number in range(10):
            await commits.put(paid(f"dog {number}"))

    assert [group for group in disk.groups if "cat" in group] == [["cat"], ["cat"]]
    await commits.aclose(within=0)


async def test_many_that_never_land_hold_up_no_other() -> None:
    """A round of single tries ends early, and the next begins with the others."""
    disk = Disk(poison="bad")
    commits = disk.commits()

    group = [paid("bad") for _ in range(7)] + [paid("good")]
    ends = await asyncio.gather(*map(commits.put, group), return_exceptions=True)
    await until(lambda: ["good"] in disk.groups)

    assert all(isinstance(end, JournalError) for end in ends[:7])
    await commits.aclose(within=0)


@pytest.mark.parametrize("moment", range(6))
async def test_a_cancelled_writer_loses_nothing(moment: int) -> None:
    """Whenever that is: the tasks of a program may all be cancelled, and it goes on."""
    disk = Disk(troubles=[PassingError()] if moment % 2 else [])
    commits = disk.commits()
    before = asyncio.all_tasks()
    futures = [commits.put(Find(key="read")), commits.put(paid())]
    for _ in range(moment):
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before:
        task.cancel()

    async with asyncio.timeout(60):
        await asyncio.wait(futures)
        await commits.idle()

    assert "cat" in disk.landed


async def test_whoever_no_longer_waits_is_not_served() -> None:
    """A cancelled question costs no commit."""
    disk = Disk()
    commits = disk.commits()
    asked = commits.put(Find(key="cat"))
    asked.cancel()

    await commits.put(Find(key="dog"))

    assert disk.groups == [["dog"]]


async def test_those_behind_a_full_group_are_told_of_the_trouble_as_well() -> None:
    """A question that waits behind hundreds of writes does not wait for the trouble's end."""
    disk = Disk(troubles=[PassingError()] * 1000)
    commits = disk.commits()
    told = [commits.put(paid(f"cat-{number}")) for number in range(LARGEST_GROUP + 50)]
    question = commits.put(Find(key="cat"))

    async with asyncio.timeout(60):
        with pytest.raises(JournalError, match="PassingError"):
            await question
        results = await asyncio.gather(*told, return_exceptions=True)

    assert {type(result) for result in results} == {JournalError}
    disk.troubles.clear()
    await commits.aclose(within=60)
    assert len(disk.landed) == LARGEST_GROUP + 50
