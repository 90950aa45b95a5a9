"""Long batch answers block neither the event loop nor fill the memory."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from luma_async import GatewayDialect, Generation, ResponseError
from luma_async.dialects import JSONObject, Mark
from luma_async.packed_row import PackedRow
from luma_async.tasks.batch_answer import BatchAnswer, BatchReader, Known, NewStatus
from luma_async.transport import Call
from luma_async.transport.long_answer import MIN_LONG, run_in_steps
from tests.rows import full_row

JOBS = 100
PADDING = ["some", "more", {"of": "it"}] * 1000


def long_rows() -> list[dict[str, Any]]:
    return [{**full_row(number), "padding": PADDING} for number in range(JOBS)]


class Watched(GatewayDialect):
    """Dialect that records the ids of the rows it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.marked: list[str] = []

    def mark(self, row: JSONObject) -> Mark:
        if "task_id" in row:  # not the task that it wraps
            self.marked.append(row["task_id"])
        return super().mark(row)


def reader(known: Known, dialect: GatewayDialect | None = None) -> Call[BatchAnswer]:
    dialect = dialect or GatewayDialect()

    def see(_: str, row: JSONObject, mark: Mark) -> NewStatus:
        return NewStatus(dialect.generation(row), mark)

    return BatchReader(dialect.get_many(list(known)), dialect, known, see).call


async def read(call: Call[BatchAnswer], document: object) -> BatchAnswer:
    body = json.dumps(document).encode()
    assert len(body) > MIN_LONG
    assert call.read_in_steps is not None
    return await run_in_steps(call.read_in_steps(body))


@pytest.mark.parametrize("is_wrapped", [True, False])
async def test_a_long_answer_is_read_row_by_row(is_wrapped: bool) -> None:
    """The event loop gets a turn after a few rows of 20 KB at most."""
    dialect = Watched()
    rows = long_rows()
    known = {row["task_id"]: None for row in rows}
    read_at_turns: list[int] = []

    async def others() -> None:
        while True:
            read_at_turns.append(len(dialect.marked))
            await asyncio.sleep(0)

    turns = asyncio.create_task(others())
    answer = await read(reader(known, dialect), {"code": 0, "data": rows} if is_wrapped else rows)
    turns.cancel()

    steps = [later - earlier for earlier, later in pairwise(read_at_turns)]
    assert answer.named == set(known)
    assert dialect.marked == list(known)
    assert max(steps) <= 5
    assert len(steps) >= JOBS / 5


async def test_a_long_row_is_packed_before_the_next_one_is_read() -> None:
    """A hundred unpacked long rows would keep the garbage collector busy."""
    rows = long_rows()

    answer = await read(reader({row["task_id"]: None for row in rows}), rows)

    for row in rows:
        generation: Generation = answer.news[row["task_id"]].generation
        assert isinstance(vars(generation)["raw"], PackedRow)
        assert generation.raw == row


async def test_known_rows_are_no_news_in_a_long_answer() -> None:
    """Of rows with a known mark, only the ids are kept."""
    rows = long_rows()
    known: dict[str, Mark | None] = {row["task_id"]: GatewayDialect().mark(row) for row in rows[1:]}
    known[rows[0]["task_id"]] = None

    answer = await read(reader(known), rows)

    assert answer.named == set(known)
    assert set(answer.news) == {rows[0]["task_id"]}


@pytest.mark.parametrize(
    ("twins", "is_disputed"),
    [
        ([{}, {}], False),
        ([{"progress": "50%"}], True),
        ([{"progress": "50%"}, {}], True),
        ([{}, {"progress": "50%"}, {"progress": "50%"}], True),
    ],
)
async def test_long_rows_that_contradict_each_other_are_disputed(
    twins: list[dict[str, Any]], is_disputed: bool
) -> None:
    """Long answers are treated like short ones."""
    rows = long_rows()
    document = [*rows, *({**rows[0], **twin} for twin in twins)]
    known = {row["task_id"]: None for row in rows}
    call = reader(known)

    in_steps = await read(call, document)
    at_once = call.read(json.dumps(document).encode())

    assert in_steps == at_once
    assert (rows[0]["task_id"] in in_steps.disputed) is is_disputed


async def test_a_long_answer_in_an_odd_form_is_read_at_once() -> None:
    """An invalid row does not affect the other rows."""
    rows = long_rows()
    known = {row["task_id"]: None for row in rows}

    answer = await read(reader(known), [None, *rows])

    assert set(answer.news) == set(known)


async def test_a_long_answer_that_lists_no_tasks_is_an_error() -> None:
    """The error is the same as for a short answer."""
    call = reader({"a": None})

    with pytest.raises(ResponseError, match="lists no jobs"):
        await read(call, {"code": "busy", "data": {"padding": PADDING * 20}})
    with pytest.raises(ResponseError, match="JSON"):
        assert call.read_in_steps is not None
        await run_in_steps(call.read_in_steps(b'[{"id": "a", "x": "' + b"y" * MIN_LONG))
