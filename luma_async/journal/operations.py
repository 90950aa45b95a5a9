"""What can be asked of a journal's database in one transaction with others, as data."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from luma_async.journal.entry import End, Entry, made_up_key


@dataclass(slots=True, eq=False, kw_only=True)
class Operation:
    """One thing to do; `done` tells when it is durable, or why it cannot be done.

    One that `must_land` is tried until it is done: it tells of a job that may be paid for. `done`
    tells of its first failure all the same. Of one that `is_tidying` nobody need hear if it never
    lands.
    """

    must_land: bool = False
    is_tidying: bool = False
    only_reads: ClassVar[bool] = False
    done: asyncio.Future[Any] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def jobs(self) -> list[str]:
        """Return a description of each job that this tells of."""
        return []

    def end(self, result: Any = None) -> None:
        """Say that it is durable."""
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: Exception) -> None:
        """Say that it cannot be done."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # nobody need ask


@dataclass(slots=True, eq=False, kw_only=True)
class Claim(Operation):
    """Write an entry under its key, unless there is another than `instead_of`."""

    entry: Entry
    instead_of: Entry | None = None

    @property
    def is_contested(self) -> bool:
        """Whether anybody else may claim its key, too."""
        return self.entry.key != made_up_key(self.entry.claim)


@dataclass(slots=True, eq=False, kw_only=True)
class Change(Operation):
    """Write down what became of a claim; a refused one gives way to what it was `instead_of`."""

    to: Literal["taken", "refused", "unclear"]
    entry: Entry
    instead_of: Entry | None = None
    id: str = ""
    reason: str = ""

    def jobs(self) -> list[str]:
        meaning = {
            "taken": f"accepted, and is task {self.id}",
            "refused": "not accepted",
            "unclear": f"uncertain: {self.reason}",
        }
        return [f"the job under key {self.entry.key!r} was {meaning[self.to]}"]


@dataclass(slots=True, eq=False, kw_only=True)
class Finish(Operation):
    """Write down how jobs ended."""

    ends: Sequence[End]

    def jobs(self) -> list[str]:
        return [str(end) for end in self.ends]


@dataclass(slots=True, eq=False, kw_only=True)
class Find(Operation):
    """Return what stands under a key."""

    key: str
    only_reads: ClassVar[bool] = True


@dataclass(slots=True, eq=False, kw_only=True)
class Beat(Operation):
    """Note that this process is alive."""


@dataclass(slots=True, eq=False, kw_only=True)
class Hold(Operation):
    """Return whether a claim still stands, and note that this process is alive."""

    entry: Entry
