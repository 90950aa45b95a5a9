"""BatchReader: reads the answer to a status request for many jobs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from luma_async.dialects import Dialect, JSONObject, Mark
from luma_async.generation import Generation, pack
from luma_async.transport import Call

Known = Mapping[str, Mark | None]
"""Ids of the jobs to look at, each with the mark of its latest row."""


class NewStatus(NamedTuple):
    """New status of a job, with the mark of its row.

    A later row with the same mark has no news.
    """

    generation: Generation
    mark: Mark | None


@dataclass(slots=True)
class BatchAnswer:
    """Contents of a batch answer.

    Attributes:
        news: new statuses by id.
        named: ids of all jobs in the answer.
        disputed: ids of jobs for which the answer has contradictory rows.

    """

    news: dict[str, NewStatus] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    disputed: set[str] = field(default_factory=set)


class BatchReader:
    """Reader of the answer to one batch call. It keeps nothing of rows without news.

    `see` reads a row: it is given the id of the job, the row and the row's mark.
    """

    def __init__(
        self,
        call: Call[dict[str, JSONObject]],
        dialect: Dialect,
        known: Known,
        see: Callable[[str, JSONObject, Mark], NewStatus],
    ) -> None:
        self._call = call
        self._mark_of = dialect.mark
        self._known = known
        self._see = see

    @property
    def call(self) -> Call[BatchAnswer]:
        """The batch call, read by this reader."""
        made = self._call._asdict()
        return Call(**{**made, "read": self.read, "rows": None, "read_in_steps": self._in_steps})

    def read(self, body: bytes) -> BatchAnswer:
        """Read a whole answer."""
        answer = BatchAnswer()
        for id, row in self._call.read(body).items():
            self._take(answer, id, row)
        return answer

    def _in_steps(self, body: bytes) -> Generator[int, None, BatchAnswer]:
        """Read a long answer row by row, and yield the size of each row in bytes.

        Between two rows the event loop can do other work.
        """
        if self._call.rows is None:
            return self.read(body)
        answer = BatchAnswer()
        try:
            for id, row, source in self._call.rows(body):
                self._take(answer, id, row, source)
                yield len(source)
        except ValueError:  # an unusual layout, or invalid JSON
            return self.read(body)
        return answer

    def _take(
        self, answer: BatchAnswer, id: str, row: JSONObject, source: bytes | None = None
    ) -> None:
        answer.named.add(id)
        answer.news.pop(id, None)
        if id not in self._known:
            return
        known, mark = self._known[id], self._mark_of(row)
        if known is not None and known == mark:
            return
        if not row:  # the dialect returns an empty row if the answer contradicts itself
            answer.disputed.add(id)
            return
        answer.news[id] = seen = self._see(id, row, mark)
        if source is not None:
            pack(seen.generation, source)  # now: unpacked rows of a whole batch take much memory
