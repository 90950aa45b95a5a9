"""A generation whose row is packed is the same generation, and takes little memory."""

from __future__ import annotations

import copy
import pickle
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from luma_async import GatewayDialect, Generation, State
from luma_async.generation import complete_json, pack
from luma_async.packed_row import PackedRow

TASK = {
    "id": "9d4b7516",
    "state": "processing",
    "prompt": "a cat dances ✨",
    "request": {"prompt": "a cat dances ✨", "aspect_ratio": "16:9"},
    "video": None,
    "thumbnail": {"url": "https://host/t.jpg", "palette": {"grid": "x"}, "width": 1360},
}
ROW = {"id": 13917, "task_id": "9d4b7516", "progress": "40%", "speed": 0.1, "data": TASK}

json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(),
    lambda inner: (
        # Longer ones have too many leaves, and cost a draw each.
        some.lists(inner, max_size=5) | some.dictionaries(some.text(), inner, max_size=5)
    ),
    max_leaves=20,
)


def packed() -> Generation:
    generation = GatewayDialect().generation(ROW)
    pack(generation)
    assert isinstance(vars(generation)["raw"], PackedRow)
    return generation


def test_a_packed_row_is_read_as_it_came() -> None:
    """`raw` is a plain mapping with all that the server sent."""
    raw = packed().raw

    assert type(raw) is dict
    assert raw == ROW
    assert raw["data"]["thumbnail"]["palette"] == {"grid": "x"}


def test_a_packed_generation_equals_the_same_one() -> None:
    """Packed or not, they are equal, and written and shown alike."""
    plain = GatewayDialect().generation(ROW)

    assert plain == packed() == plain
    assert packed() == packed()
    assert packed() != GatewayDialect().generation({**ROW, "speed": 0.2})
    assert repr(packed()) == repr(plain)
    assert dict(packed()) == dict(plain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert packed().model_dump() == plain.model_dump()
        assert packed().model_dump_json() == plain.model_dump_json()
        assert complete_json(packed()) == complete_json(plain)


def test_a_packed_generation_can_be_copied_pickled_and_validated() -> None:
    """Each way gives an equal one; a pickle has the row itself in it."""
    generation = packed()

    loaded = pickle.loads(pickle.dumps(generation))  # noqa: S301

    assert loaded == generation
    assert type(vars(loaded)["raw"]) is dict
    assert copy.copy(generation) == copy.deepcopy(generation) == generation
    assert generation.model_copy(update={"raw": {}}).raw == {}
    assert Generation.model_validate(dict(generation)) == generation
    assert Generation.model_validate_json(complete_json(generation)) == generation


def test_a_class_of_the_users_inherits_the_row() -> None:
    """`raw` is a field like others, also of a subclass."""

    class Mine(Generation):
        owner: str = "me"

    mine = Mine(id="a", state=State.PENDING)
    full = Mine(id="a", state=State.PENDING, raw=ROW)
    pack(full)

    assert mine.raw == {}
    assert full.raw == ROW
    assert full.owner == "me"
    assert not hasattr(Generation, "raw")


@given(some.dictionaries(some.text(), json_values))
def test_any_row_is_the_same_after_unpacking(row: dict[str, Any]) -> None:
    """A row that is packed equals the row, whatever JSON it is."""
    found = PackedRow.of(row)

    assert found is None or (found.unpacked() == row and found == row)


@pytest.mark.parametrize(
    "value",
    [float("nan"), "\ud800", datetime.now(UTC), Decimal("1.5"), (1, 2), b"bytes", object(), {1: 2}],
    ids=["nan", "half", "datetime", "decimal", "tuple", "bytes", "object", "numbers as names"],
)
def test_a_row_that_is_no_json_stays_as_it_is(value: object) -> None:
    """A dialect may put into a row anything that it likes."""
    row = {"id": "a", "value": value}
    generation = Generation.of_checked(
        {**dict(Generation(id="a", state=State.PENDING)), "raw": row}
    )

    pack(generation)

    assert generation.raw is row
