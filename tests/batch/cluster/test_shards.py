"""A batch is split so that each row is run once, and each chain by one worker."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import ExtendRequest, GenerateRequest
from luma_async.batch.plan import RowState
from luma_async.batch.rows import Row
from luma_async.batch.shards import LARGEST_SHARD, Shard, split, with_full_paths, within_limit

Parents = list[int | None]


@st.composite
def forests(draw: st.DrawFn) -> list[Row]:
    """Return rows of which many extend others, in any order."""
    parents: Parents = draw(
        st.lists(st.none() | st.integers(0, 60), max_size=60).map(
            lambda found: [n if n is not None and n < at else None for at, n in enumerate(found)]
        )
    )
    rows = [row(at, parent) for at, parent in enumerate(parents)]
    random.Random(draw(st.integers(0, 9))).shuffle(rows)
    return rows


def row(number: int, parent: int | None = None, *, outside: str | None = None) -> Row:
    key = f"row-{number}"
    source = f"row-{parent}" if parent is not None else outside
    request = GenerateRequest(prompt=key) if source is None else ExtendRequest(prompt=key)
    return Row(key=key, line=number + 1, request=request, asks=key, parent=source)


def root_of(row: Row, rows: dict[str, Row]) -> str:
    while row.parent is not None:
        row = rows[row.parent]
    return row.key


SLOTS = st.integers(1, 9)
MAX_TASKS = st.integers(1, 40)


@given(forests(), SLOTS, MAX_TASKS)
def test_each_row_is_in_one_shard(rows: list[Row], slots: int, max_tasks: int) -> None:
    """No row is lost or run twice, and each shard follows the order of the manifest."""
    shards = split(rows, slots=slots, max_tasks=max_tasks)

    assert sorted(row.key for shard in shards for row in shard) == sorted(r.key for r in rows)
    assert all(shards)
    places = [[rows.index(row) for row in shard] for shard in shards]
    assert all(found == sorted(found) for found in places)


@given(forests(), SLOTS, MAX_TASKS)
def test_a_chain_stays_in_one_shard(rows: list[Row], slots: int, max_tasks: int) -> None:
    """Only the worker that has made a video can extend it at once."""
    shards = split(rows, slots=slots, max_tasks=max_tasks)

    roots = roots_of(shards)
    assert sum(map(len, roots)) == len(set[str]().union(*roots))


@given(forests(), SLOTS, MAX_TASKS)
def test_the_first_shards_fill_the_account(rows: list[Row], slots: int, max_tasks: int) -> None:
    """As many jobs run at once as one worker with all rows would have, or as are allowed."""
    shards = split(rows, slots=slots, max_tasks=max_tasks)

    chains = [len(found) for found in roots_of(shards)]
    assert sum(chains[:slots]) >= min(max_tasks, sum(chains))


def roots_of(shards: list[list[Row]]) -> list[set[str]]:
    """Return the first rows of the chains of each shard."""
    by_key = {row.key: row for shard in shards for row in shard}
    return [{root_of(row, by_key) for row in shard} for shard in shards]


@given(forests(), st.integers(0, 30), st.sets(st.integers(0, 60)))
def test_a_limit_leaves_out_new_rows_only(rows: list[Row], limit: int, known: set[int]) -> None:
    """As many new jobs as allowed are paid for, and no row without its source is run."""
    known_keys = {f"row-{n}" for n in known}
    kept = within_limit(rows, lambda row: row.key not in known_keys, limit)
    keys = {row.key for row in kept}
    new = [row for row in kept if row.key not in known_keys]

    assert len(new) <= limit
    assert all(row.parent is None or row.parent in keys for row in kept)
    if len(new) < limit:
        assert kept == rows


def test_workers_get_several_shards_each() -> None:
    """Rows of a slow worker are left for others, and no shard is too large to lose."""
    few = [len(shard) for shard in split(singles(800), slots=4, max_tasks=20)]
    many = [len(shard) for shard in split(singles(20_000), slots=4, max_tasks=20)]

    assert few == [50] * 16
    assert many == [LARGEST_SHARD] * 80


def singles(number: int) -> list[Row]:
    return [row(each) for each in range(number)]


def test_images_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is started in another folder than the coordinator."""
    monkeypatch.chdir(tmp_path)
    request = GenerateRequest(prompt="a cat", image=Path("cat.png"))
    found = with_full_paths(Row(key="cat", line=1, request=request, asks="1"))

    assert found.request.images() == {"image": tmp_path / "cat.png"}


def test_a_shard_knows_the_videos_that_its_rows_extend() -> None:
    """A row that is done goes along if another one extends it, and no other row does."""
    rows = [row(0), row(1), row(2, outside="row-0")]
    states = {each.key: RowState(each, is_new=True, was_uncertain=False) for each in rows}

    shard = Shard.of("1", [rows[2]], states=states, results={})

    assert set(shard.states) == {"row-0", "row-2"}
    assert shard.rows == (rows[2],)
