"""Row: one job of a manifest, checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luma_async.batch.problems import Problem
from luma_async.requests import ExtendRequest, GenerateRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job of a manifest.

    Attributes:
        key: its name, which no other row has.
        line: where it stands, the first line being 1.
        request: what is asked for.
        asks: a digest of it, which changes when the row does.
        parent: the key of the row whose video it continues.
        source_id: the id of the task whose video it continues, if that is no row.

    """

    key: str
    line: int
    request: GenerateRequest | ExtendRequest
    asks: str
    parent: str | None = None
    source_id: str | None = None

    @property
    def extends(self) -> str | None:
        """What it continues: a row's key or a task's id."""
        return self.parent or self.source_id


_TASK_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
TASK_MARK = "id:"
"""Before the id of a task that does not look like one."""


def task_id(reference: str) -> str | None:
    """Return the id of a task, if a reference that is no row's key is one.

    >>> task_id("id:job-1")
    'job-1'
    """
    if reference.startswith(TASK_MARK):
        return reference.removeprefix(TASK_MARK).strip() or None
    return reference if _TASK_ID.fullmatch(reference) else None


def circles(
    parents: dict[str, str | None], places: dict[str, tuple[int, int]]
) -> Iterator[Problem]:
    """Yield each circle of rows once, where the first of its rows stands.

    `parents` names the row that each row continues; `places` are lines and columns.
    """
    finished: set[str] = set()
    for start in parents:
        way: list[str] = []
        on_way: dict[str, int] = {}
        key: str | None = start
        while key is not None and key in parents and key not in finished and key not in on_way:
            on_way[key] = len(way)
            way.append(key)
            key = parents[key]
        if key is not None and key in on_way:
            circle = way[on_way[key] :]
            first = min(circle, key=lambda each: places[each])
            turn = circle.index(first)
            line, column = places[first]
            yield Problem(line, column, _told(circle[turn:] + circle[:turn]))
        finished.update(way)


def _told(circle: Sequence[str]) -> str:
    if len(circle) == 1:
        return f"row {circle[0]!r} continues itself"
    shown = [*circle[:5], *(["..."] if len(circle) > 5 else []), circle[0]]
    return "these rows continue each other in a circle: " + " -> ".join(shown)
