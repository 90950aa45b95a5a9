"""Whatever a server says, the decoder yields what it should or raises `ResponseError`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from luma_async import (
    AgentsDialect,
    Dialect,
    DreamMachineDialect,
    GatewayDialect,
    Generation,
    ResponseError,
    State,
)
from luma_async.dialects.fields import as_state
from luma_async.transport.error_bodies import page_text, read_error_body

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["completed", "IN_PROGRESS", "failed", "2024-12-24T18:01:25Z", "40%", "http://h/v"]
    )
)
NAMES = st.sampled_from(
    [
        "id",
        "task_id",
        "taskId",
        "state",
        "status",
        "task_status",
        "data",
        "code",
        "message",
        "video",
        "video_raw",
        "thumbnail",
        "last_frame",
        "artifact",
        "assets",
        "request",
        "prompt",
        "url",
        "width",
        "height",
        "duration",
        "download_url",
        "media_type",
        "created_at",
        "submit_time",
        "failure_reason",
        "fail_reason",
        "progress",
        "queue_state",
        "error",
        "detail",
        "estimate_wait_seconds",
        "output",
        "type",
        "layer",
        "failure_code",
        "image",
        "generation_type",
        "generations",
        "has_more",
        "credit_balance",
        "key",
    ]
)


def any_json(leaves: int) -> st.SearchStrategy[Any]:
    """Return documents of at most about so many values, mostly under the names that count."""
    return st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(NAMES, inner, max_size=12)
            | st.dictionaries(st.text(), inner, max_size=3)
        ),
        max_leaves=leaves,
    )


ANY_JSON = any_json(30)
ROWS = st.dictionaries(NAMES, any_json(6), max_size=12)
DIALECTS = st.sampled_from([GatewayDialect, DreamMachineDialect, AgentsDialect])


def read(body: bytes, dialect: Dialect | None = None) -> Generation:
    dialect = dialect or GatewayDialect()
    return dialect.generation(dialect.get("a").read(body))


@given(ANY_JSON, DIALECTS)
def test_any_json_is_a_generation_or_a_response_error(
    document: Any, kind: Callable[[], Dialect]
) -> None:
    """Nothing else comes out of "get one", and every generation has an id."""
    with suppress(ResponseError):
        generation = read(json.dumps(document).encode(), kind())
        assert isinstance(generation, Generation)
        assert generation.id
        Generation.model_validate(dict(generation), strict=True)


@given(ANY_JSON)
def test_any_json_is_generations_or_a_response_error(document: Any) -> None:
    """Nothing else comes out of "get many", and each generation stands under its own id."""
    with suppress(ResponseError):
        dialect = GatewayDialect()
        rows = dialect.get_many(["a"]).read(json.dumps(document).encode())
        assert all(dialect.generation(row).id == id for id, row in rows.items() if row)


@given(ROWS, DIALECTS)
def test_every_reader_of_rows_is_total(row: dict[str, Any], kind: Callable[[], Dialect]) -> None:
    """No row makes one raise; a completed job has no link for a reason; its own id is its id."""
    dialect = kind()

    generation = dialect.generation(row)
    ids = dialect.ids(row)
    hash(generation)
    assert dialect.mark(row) == dialect.mark(dict(row))
    assert all(ids)
    if generation.id:
        assert generation.id in ids
    if generation.state is State.COMPLETED:
        assert not (generation.failure_reason or "").strip().lower().startswith("http://")


@given(st.text() | st.sampled_from(["in progress", "Not-Start", "DONE", "timeout"]))
def test_any_word_is_a_state_or_a_new_word(word: str) -> None:
    """And blanks around it do not matter."""
    assert as_state(word) is as_state(f" {word}\t")
    assert as_state(word) in (None, *State)


@given(ANY_JSON)
def test_any_json_is_a_link_or_a_response_error(document: Any) -> None:
    """Nothing else comes out of the link call."""
    with suppress(ResponseError):
        link = GatewayDialect().watermark_free_url("a").read(json.dumps(document).encode())
        assert link.lower().startswith("http")


@given(ANY_JSON)
def test_any_json_about_an_account_is_read_or_a_response_error(document: Any) -> None:
    """A page has jobs with ids, a balance is a number, and concepts are names."""
    dialect, body = DreamMachineDialect(), json.dumps(document).encode()

    with suppress(ResponseError):
        page = dialect.page(offset=0, limit=9).read(body)
        assert all(generation.id for generation in page.generations)
        assert page.has_more in (True, False, None)
    with suppress(ResponseError):
        assert math.isfinite(dialect.credits().read(body).usd)
    with suppress(ResponseError):
        assert all(name.strip() for name in dialect.concepts().read(body))


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No bytes crash a reader."""
    with suppress(ResponseError):
        read(body)
    assert isinstance(page_text(body), str)
    read_error_body(body, status=500)


@given(ANY_JSON, st.sampled_from([200, 400, 500]))
def test_any_json_can_be_looked_at_for_a_refusal(document: Any, status: int) -> None:
    """The reader of refusals finds one or none, and a refusal says something."""
    refusal = read_error_body(json.dumps(document).encode(), status=status)

    assert refusal is None or refusal.message or refusal.code


@given(ROWS, st.text(min_size=1))
def test_a_named_task_is_never_missed(fields: dict[str, Any], id: str) -> None:
    """An object with a readable string id is a generation, whatever else it holds."""
    if not id.strip() or "\ud800" <= max(id) <= "\udfff":
        return
    fields = {name: value for name, value in fields.items() if name not in ("id", "taskId")}

    generation = read(json.dumps({**fields, "task_id": id}).encode())

    assert generation.id == id
