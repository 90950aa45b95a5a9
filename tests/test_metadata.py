"""Metadata is a JSON object: checked before anything is sent, and kept as it was given."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given

from luma_async import InvalidRequestError
from luma_async.metadata import (
    MAX_DEPTH,
    METADATA_LIMIT,
    NO_METADATA,
    frozen_metadata,
    metadata_text,
    parsed_metadata,
)
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect
from tests.metadata import JSON_OBJECTS


class Size(IntEnum):
    LARGE = 3


class Colour(StrEnum):
    RED = "red"


def contains_itself() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


def contains_much() -> list[Any]:
    """Return few lists that stand for more values than there are atoms."""
    values: list[Any] = [1] * 10
    for _ in range(MAX_DEPTH - 5):
        values = [values] * 10
    return values


@given(JSON_OBJECTS)
def test_any_json_object_is_taken_and_comes_back_equal(given: dict[str, Any]) -> None:
    """Whatever characters are in it, as a text that UTF-8 can encode."""
    metadata = frozen_metadata(given)

    text = metadata_text(metadata)
    assert "\0" not in text.encode().decode()
    assert metadata == given == parsed_metadata(text)
    assert json.dumps(metadata) == json.dumps(given)


WRONG: dict[str, tuple[Any, str]] = {
    "a date": (
        {"user": {"seen": [1, datetime.now(UTC)]}},
        r"metadata\['user'\]\['seen'\]\[1\]: must be a text, .* got datetime",
    ),
    "bytes": ({"a": b"a"}, r"metadata\['a'\]: must be a text, .* got bytes"),
    "a set": ({"a": {1}}, r"metadata\['a'\]: .* got set"),
    "not a number": ({"a": float("nan")}, r"metadata\['a'\]: must be a finite number, got nan"),
    "infinity": ({"a": [float("-inf")]}, r"metadata\['a'\]\[0\]: must be a finite number"),
    "a long number": ({"a": 10**1001}, r"metadata\['a'\]: must have at most a thousand digits"),
    "a number as key": ({"a": {7: 1}}, r"metadata\['a'\]: must have text keys, got 7"),
    "a list": ([1], "metadata: must be a mapping with text keys, got list"),
    "a text": ("user", "metadata: must be a mapping with text keys, got str"),
    "itself": ({"a": contains_itself()}, "metadata: must not be nested more than 100 deep"),
    "very much": ({"a": contains_much()}, "metadata: must have at most 16,384 bytes as JSON"),
    "a long text": ({"a": "é" * (METADATA_LIMIT // 2)}, "metadata: must have at most 16,384 bytes"),
    "a long key": ({"a" * METADATA_LIMIT: 1}, "metadata: must have at most 16,384 bytes"),
}


@pytest.mark.parametrize(("metadata", "message"), WRONG.values(), ids=WRONG)
async def test_metadata_that_are_not_a_json_object_are_refused(metadata: Any, message: str) -> None:
    """The error names the path of the value, and nothing is sent."""
    async with Simulator() as sim, connect(sim) as luma:
        with pytest.raises(InvalidRequestError, match=f"^{message}"):
            await luma.generate("a cat", metadata=metadata)
        with pytest.raises(InvalidRequestError, match=f"^{message}"):
            await luma.extend("job-1", "a cat", metadata=metadata)

        assert not sum(sim.ledger.requests.values())


def test_metadata_of_exactly_the_limit_are_taken() -> None:
    """Bytes of the JSON are counted."""
    rest = METADATA_LIMIT - len('{"a":""}')

    assert frozen_metadata({"a": "x" * rest})
    with pytest.raises(InvalidRequestError):
        frozen_metadata({"a": "x" * (rest + 1)})


def test_tuples_and_subclasses_become_what_json_has() -> None:
    """So metadata is equal before and after it is stored."""
    metadata = frozen_metadata({"a": (1, (2,)), "size": Size.LARGE, Colour.RED: Colour.RED})

    assert metadata == {"a": [1, [2]], "size": 3, "red": "red"}
    assert [type(value) for value in metadata.values()][1:] == [int, str]
    assert type(metadata["size"]) is int
    assert {type(name) for name in metadata} == {str}


async def test_changes_of_the_caller_do_not_change_a_job() -> None:
    """A copy is kept, down to the last list."""
    given: dict[str, Any] = {"user": {"roles": ["guest"]}}
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat", metadata=given)
        given["user"]["roles"].append("admin")
        given["more"] = True

        assert task.metadata == {"user": {"roles": ["guest"]}}


def test_metadata_cannot_be_changed_but_their_copies_can() -> None:
    """A change would be lost silently, because the journal has another copy."""
    metadata: Any = frozen_metadata({"user": {"roles": ["guest"]}})

    with pytest.raises(TypeError, match="cannot be changed"):
        metadata["user"] = 1
    with pytest.raises(TypeError, match="cannot be changed"):
        metadata |= {"a": 1}
    with pytest.raises(TypeError, match="cannot be changed"):
        metadata["user"].update(a=1)
    with pytest.raises(TypeError, match="cannot be changed"):
        metadata["user"]["roles"].append("admin")
    for changed in (copy.deepcopy(metadata), pickle.loads(pickle.dumps(metadata))):  # noqa: S301
        changed["user"]["roles"].append("admin")
        assert changed == {"user": {"roles": ["guest", "admin"]}}
    assert metadata == {"user": {"roles": ["guest"]}}


async def test_a_job_without_metadata_has_an_empty_object() -> None:
    """It is one object for all jobs."""
    ways: list[dict[str, Any] | None] = [None, {}]
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        tasks = [await luma.generate("a cat", metadata=metadata) for metadata in ways]

    assert all(task.metadata is NO_METADATA for task in tasks)
    assert json.dumps(NO_METADATA) == "{}"
