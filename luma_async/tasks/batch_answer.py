"""BatchReader: turns the answer to a look at many jobs into news of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from luma_async.dialects import Dialect, JSONObject, Mark
from luma_async.generation import Generation, pack
from luma_async.transport import Call
from luma_async.transport.long_answer import LONG

Known = Mapping[str, Mark | None]
"""The jobs to look at, each with the mark of what is known of it."""


class Seen(NamedTuple):
    """News of a job, with the mark that tells whether a later look has any."""

    generation: Generation
    mark: Mark | None


@dataclass(slots=True)
class BatchAnswer:
    """News by id, all ids that the answer names, and those that it contradicts itself on."""

    news: dict[str, Seen] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    disputed: set[str] = field(default_factory=set)


class BatchReader:
    """Reads the answer to one batch call, and keeps nothing of rows that tell what is known.

    `see` makes the news of a job from its id, its row and the mark of that.
    """

    def __init__(
        self,
        call: Call[dict[str, JSONObject]],
        dialect: Dialect,
        known: Known,
        see: Callable[[str, JSONObject, Mark], Seen],
    ) -> None:
        self._call = call
        self._mark_of = dialect.mark
        self._known = known
        self._see = see

    @property
    def call(self) -> Call[BatchAnswer]:
        """The call, to be read like that."""
        made = self._call._asdict()
        return Call(**{**made, "read": self.read, "rows": None, "read_in_steps": self._in_steps})

    def read(self, body: bytes) -> BatchAnswer:
        """Read an answer at once."""
        answer = BatchAnswer()
        for id, row in self._call.read(body).items():
            self._take(answer, id, row)
        return answer

    def _in_steps(self, body: bytes) -> Generator[int, None, BatchAnswer]:
        """Read an answer row by row if it is long, and yield how many bytes each of them had."""
        if self._call.rows is None or len(body) < LONG:
            return self.read(body)
        answer = BatchAnswer()
        try:
            for id, row, source in self._call.rows(body):
                self._take(answer, id, row, source)
                yield len(source)
        except ValueError:  # it is written in an odd way, or is no JSON
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
        if not row:
            answer.disputed.add(id)
            return
        answer.news[id] = seen = self._see(id, row, mark)
        if source is not None:
            pack(seen.generation, source)  # before the next row is read
