"""Operations on the database of a journal, as data. Several can share one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from luma_async.journal.journal import End, Entry, made_up_key


@dataclass(slots=True, eq=False, kw_only=True)
class Operation:
    """One operation, with a future `done` for its result or its failure.

    The result is set when the operation is durable. An operation that `must_land` concerns a job
    that may be paid for, so it is repeated until it succeeds; `done` has its first failure all the
    same. If an operation with `is_tidying` never succeeds, that need not be reported.
    """

    must_land: bool = False
    is_tidying: bool = False
    only_reads: ClassVar[bool] = False
    done: asyncio.Future[Any] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def jobs(self) -> list[str]:
        """Return a description of each job that the operation concerns."""
        return []

    def end(self, result: Any = None) -> None:
        """Set the result of the operation after it has become durable."""
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: Exception) -> None:
        """Set the error of the operation."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # counts as retrieved, even if no caller waits


@dataclass(slots=True, eq=False, kw_only=True)
class Claim(Operation):
    """Write an entry, unless its key has an entry other than `instead_of`."""

    entry: Entry
    instead_of: Entry | None = None

    @property
    def is_contested(self) -> bool:
        """`True` if another caller may claim the same key."""
        return self.entry.key != made_up_key(self.entry.claim)


@dataclass(slots=True, eq=False, kw_only=True)
class Change(Operation):
    """Record the outcome of a claim.

    The claim of a rejected job is removed, and the entry that it replaced (`instead_of`) is
    restored.
    """

    to: Literal["taken", "refused", "unclear"]
    entry: Entry
    instead_of: Entry | None = None
    id: str = ""
    reason: str = ""

    def jobs(self) -> list[str]:
        meaning = {
            "taken": f"accepted, and is task {self.id}",
            "refused": "rejected",
            "unclear": f"uncertain: {self.reason}",
        }
        return [f"the job under key {self.entry.key!r} was {meaning[self.to]}"]


@dataclass(slots=True, eq=False, kw_only=True)
class Finish(Operation):
    """Record the ends of jobs."""

    ends: Sequence[End]

    def jobs(self) -> list[str]:
        return [str(end) for end in self.ends]


@dataclass(slots=True, eq=False, kw_only=True)
class Find(Operation):
    """Read the entry with a key."""

    key: str
    only_reads: ClassVar[bool] = True


@dataclass(slots=True, eq=False, kw_only=True)
class Beat(Operation):
    """Record that this process is alive."""


@dataclass(slots=True, eq=False, kw_only=True)
class Hold(Operation):
    """Confirm that a claim is still valid, and record that this process is alive."""

    entry: Entry
