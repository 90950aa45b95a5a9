"""Rows: the checked jobs of a manifest, and the references between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luma_async.batch.problems import Problem
from luma_async.image_sources import GenerationReference, as_reference
from luma_async.requests import JobRequest, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job of a manifest.

    Attributes:
        key: the job key, unique in the manifest.
        line: the line of the row, counted from 1.
        request: the request.
        asks: a digest of the request; it changes when the row is edited.
        parent: the key of the row that this row extends, or on whose output it works.
        source_id: the id of the job that this row extends or works on, if that is not a row.
        metadata: the caller's data about the job, kept with it and never sent.

    """

    key: str
    line: int
    request: JobRequest
    asks: str
    parent: str | None = None
    source_id: str | None = None
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def extends(self) -> str | None:
        """Key of the row, or id of the job, that this row extends or works on."""
        return self.parent or self.source_id


_JOB_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""A UUID. Without `JOB_ID_PREFIX`, any other reference can only be a misspelt job key."""

JOB_ID_PREFIX = "id:"
"""Prefix of a reference to a job whose id is not a UUID."""


def job_id(reference: str) -> str | None:
    """Return the id of a job that a reference names; `None` if it names a row.

    >>> job_id("id:job-1")
    'job-1'
    """
    if reference.startswith(JOB_ID_PREFIX):
        return reference.removeprefix(JOB_ID_PREFIX).strip() or None
    if isinstance(named := as_reference(reference), GenerationReference):
        return named.id or None
    return reference if _JOB_ID.fullmatch(reference) else None


_MAKES_IMAGE: tuple[Kind, ...] = ("image", "edit_image", "layers")


def unfit_source(row: Row, parent: Row) -> str | None:
    """Return the problem of a row that works on a video but names an image, or the reverse."""
    if row.request.source_need == "none":
        return None
    wants_image = row.request.kind in _MAKES_IMAGE
    if wants_image is (parent.request.kind in _MAKES_IMAGE):
        return None
    wanted, found = ("an image", "a video") if wants_image else ("a video", "an image")
    return (
        f"row {parent.key!r} makes {found}; a row of the kind {row.request.kind} works on {wanted}"
    )


def missing_source(reference: str, *, takes_media: bool) -> str:
    """Return the problem of a reference to a row that does not exist."""
    file = ", and there is no such file" if takes_media else ""
    return (
        f"no row has the key {reference!r}{file}; "
        f"the id of a job is written {JOB_ID_PREFIX}{reference}"
    )


def reference_cycles(
    parents: dict[str, str | None], places: dict[str, tuple[int, int]]
) -> Iterator[Problem]:
    """Yield a problem for each cycle of rows, at the place of the first of its rows.

    `parents` maps the key of each row to the key of the row that it extends; `places` has the lines
    and columns of these references.
    """
    finished: set[str] = set()
    for start in parents:
        path: list[str] = []
        position: dict[str, int] = {}
        key: str | None = start
        while key is not None and key in parents and key not in finished and key not in position:
            position[key] = len(path)
            path.append(key)
            key = parents[key]
        if key is not None and key in position:
            cycle = path[position[key] :]
            first = min(cycle, key=lambda each: places[each])
            start_of_cycle = cycle.index(first)
            line, column = places[first]
            yield Problem(line, column, _describe(cycle[start_of_cycle:] + cycle[:start_of_cycle]))
        finished.update(path)


def _describe(cycle: Sequence[str]) -> str:
    if len(cycle) == 1:
        return f"row {cycle[0]!r} extends itself"
    shown = [*cycle[:5], *(["..."] if len(cycle) > 5 else []), cycle[0]]
    return "these rows extend each other in a cycle: " + " -> ".join(shown)
