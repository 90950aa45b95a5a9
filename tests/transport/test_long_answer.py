"""Long answers are split into the same rows that a JSON parser finds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from luma_async.transport.long_answer import STEP, LongAnswer, run_in_steps

words = some.text() | some.sampled_from(["}", "{", '"', "\\", '\\"', "},{", '"data":[', "✨", "]"])
values = some.recursive(
    some.none() | some.booleans() | some.integers() | words,
    lambda inner: some.lists(inner) | some.dictionaries(words, inner),
    max_leaves=10,
)
rows = some.lists(some.dictionaries(words, values), max_size=5)
scalars = some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | words
members = some.dictionaries(words.filter(lambda name: name != "data"), scalars, max_size=3)


@settings(max_examples=30)
@given(rows, some.booleans(), some.sampled_from([None, 1, "\t"]))
def test_a_bare_array_is_taken_apart(
    rows: list[Any], is_ascii: bool, indent: int | str | None
) -> None:
    """Each row is JSON of its own, whatever quotes and braces are in its texts."""
    answer = LongAnswer(json.dumps(rows, ensure_ascii=is_ascii, indent=indent).encode())

    assert [json.loads(row) for row in answer] == rows
    assert answer.envelope == []


@settings(max_examples=30)
@given(members, rows, members, some.sampled_from([None, 2]))
def test_rows_are_taken_out_of_their_envelope(
    before: dict[str, Any], rows: list[Any], after: dict[str, Any], indent: int | None
) -> None:
    """The envelope is as it was, but for its rows; one in which they may be others is refused."""
    document = {**before, "data": rows, **{f"{name}_": value for name, value in after.items()}}
    answer = LongAnswer(json.dumps(document, indent=indent).encode())

    try:
        found = [json.loads(row) for row in answer]
    except ValueError as error:
        assert "several arrays" in str(error)  # noqa: PT017
        assert '"data"' in json.dumps(after) or any("data" in str(v) for v in after.items())
    else:
        assert found == rows
        assert answer.envelope == {**document, "data": []}


@settings(max_examples=30)
@given(rows.filter(bool), some.data())
def test_an_answer_that_breaks_off_is_refused(rows: list[Any], data: some.DataObject) -> None:
    """Rows before the truncation may be yielded, but the end is always checked."""
    body = json.dumps(rows).encode()
    cut = body[: data.draw(some.integers(0, len(body) - 1))]

    with pytest.raises(ValueError, match=r"\w"):
        list(LongAnswer(cut))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b'{"data": {}}',
        b'{"data": null}',
        b'{"rows": [{}]}',
        b"[1]",
        b'["{}"]',
        b"[{},]",
        b"[{} {}]",
        b"[{}, 1]",
        b"[[{}]]",
        b"[{}] []",
        b"[{}",
        b'{"data": [{}], "data": [{}]}',
        b'{"user": {"id": 1}, "data": [{}]}',
        b"<html>{}</html>",
    ],
)
def test_what_is_no_plain_array_of_rows_is_left_to_a_parser(body: bytes) -> None:
    """Only the plain form is split into rows. All others are parsed at once."""
    with pytest.raises(ValueError, match=r"\w"):
        list(LongAnswer(body))


async def test_others_have_their_turn_between_the_steps() -> None:
    """A reader of many bytes lets the event loop go on after each few of them."""
    read_at_turns: list[int] = []
    read = 0

    def reader() -> Generator[int, None, str]:
        nonlocal read
        for _ in range(8):
            read += 1
            yield STEP // 2
        return "all"

    async def others() -> None:
        while True:
            read_at_turns.append(read)
            await asyncio.sleep(0)

    turns = asyncio.create_task(others())
    assert await run_in_steps(reader()) == "all"
    turns.cancel()

    assert read_at_turns[:4] == [2, 4, 6, 8]
