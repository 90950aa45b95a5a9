"""Shards: the parts of a batch that the workers of a cluster run, split from its rows.

Everything here is pure. A chain is a row with all rows that extend it, directly or not. A chain
stays in one shard, because only the worker that has made a video can go on to extend it at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from luma_async.batch.plan import RowState
from luma_async.batch.results import Result
from luma_async.batch.rows import Row

SHARDS_PER_SLOT = 4
"""Number of shards for each one that runs at once, so that a quick worker takes over rows of a slow
one."""

SPARE_CHAINS = 4
"""Number of chains in a shard for each job that it is to have running."""

LARGEST_SHARD = 250
"""Maximum number of rows in a shard that has enough chains. A worker that dies takes its
rows with it, and another worker looks them up again."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows that one worker runs, with all that it must know of them. It can be pickled.

    Attributes:
        name: unique in the run of the batch.
        rows: the rows to run, in the order of the manifest.
        states: the states of these rows, and of the rows with videos that they extend.
        results: earlier results of these rows and of those that they extend, by their keys.

    """

    name: str
    rows: tuple[Row, ...]
    states: Mapping[str, RowState] = field(repr=False)
    results: Mapping[str, Result] = field(repr=False)

    @classmethod
    def of(
        cls,
        name: str,
        rows: Sequence[Row],
        *,
        states: Mapping[str, RowState],
        results: Mapping[str, Result],
    ) -> Shard:
        """Return the shard of some rows; `states` and `results` are those of all rows."""
        keys = {row.key: None for row in rows}
        keys.update((row.parent, None) for row in rows if row.parent is not None)
        return cls(
            name,
            tuple(rows),
            {key: states[key] for key in keys},
            {key: results[key] for key in keys if key in results},
        )


def with_full_paths(row: Row) -> Row:
    """Return a row whose images are at absolute paths, because a worker has another folder."""
    images = {
        place: image.absolute()
        for place, image in row.request.images().items()
        if isinstance(image, Path) and not image.is_absolute()
    }
    return replace(row, request=row.request.with_images(images)) if images else row


def split(rows: Sequence[Row], *, slots: int, max_tasks: int) -> list[list[Row]]:
    """Split rows into shards, of which `slots` run at once, with each chain in one shard.

    A chain has one running job at a time. So that `max_tasks` jobs run, a shard has several times
    its part of them as chains, if there are enough; the last chains of a shard leave places to the
    other shards. Shards, and the rows of each, are in the order of the manifest.
    """
    chains = list(_chains(rows))
    slots = max(slots, 1)
    enough = SPARE_CHAINS * -(-max_tasks // slots)
    most = min(-(-len(chains) // slots), max(enough, -(-len(chains) // (SHARDS_PER_SLOT * slots))))
    place = {row.key: number for number, row in enumerate(rows)}
    shards: list[list[Row]] = []
    size = most
    for chain in chains:
        is_large = bool(shards) and len(shards[-1]) + len(chain) > LARGEST_SHARD
        if size >= most or (is_large and size >= enough):
            shards.append([])
            size = 0
        shards[-1] += chain
        size += 1
    for shard in shards:
        shard.sort(key=lambda row: place[row.key])
    return shards


def within_limit(rows: Sequence[Row], is_new: Callable[[Row], bool], limit: int) -> list[Row]:
    """Return the rows that can run if at most `limit` new jobs may be paid for.

    A row whose source is left out is left out as well. Chains come in the order of the manifest,
    each with the rows that are extended before those that extend them.
    """
    left_out: set[str] = set()
    paid = 0
    for chain in _chains(rows):
        for row in chain:
            if row.parent in left_out or (is_new(row) and paid >= limit):
                left_out.add(row.key)
            else:
                paid += is_new(row)
    return [row for row in rows if row.key not in left_out]


def _chains(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the chains among rows: each row comes after the one that it extends."""
    keys = {row.key for row in rows}
    extensions: defaultdict[str, list[Row]] = defaultdict(list)
    firsts: list[Row] = []
    for row in rows:
        if row.parent in keys and row.parent is not None:
            extensions[row.parent].append(row)
        else:
            firsts.append(row)
    for first in firsts:
        chain = [first]
        for row in chain:  # it grows meanwhile
            chain += extensions[row.key]
        yield chain
