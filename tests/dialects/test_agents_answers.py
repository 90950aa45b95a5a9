"""Answers of the Agents API, parsed from bytes."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from luma_async import (
    AgentsDialect,
    Asset,
    GenerateRequest,
    Generation,
    Layer,
    ResponseError,
    State,
)

DIALECT = AgentsDialect()
ROW: dict[str, Any] = {
    "id": "0e1a-7",
    "created_at": "2026-04-01T10:00:00Z",
    "model": "ray-3.2",
    "state": "queued",
    "type": "video",
    "failure_code": None,
    "failure_reason": None,
    "output": None,
}


def parsed(**fields: Any) -> Generation:
    body = json.dumps({**ROW, **fields}).encode()
    return DIALECT.generation(DIALECT.get("0e1a-7").read(body))


def test_a_submission_is_answered_with_a_job() -> None:
    """The job has its id, state, model, type and time, and no outputs yet."""
    call = DIALECT.submission(GenerateRequest("a cat"), None)

    generation = call.read(json.dumps(ROW).encode())

    assert generation == parsed()
    assert (generation.id, generation.state) == ("0e1a-7", State.PENDING)
    assert (generation.model, generation.type) == ("ray-3.2", "video")
    assert generation.created_at == datetime(2026, 4, 1, 10, tzinfo=UTC)
    assert (generation.outputs, generation.video, generation.progress) == ((), None, None)
    assert generation.raw == ROW


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("queued", State.PENDING),
        ("processing", State.PROCESSING),
        ("completed", State.COMPLETED),
        ("failed", State.FAILED),
    ],
)
def test_states_are_read(word: str, state: State) -> None:
    """The four states of the contract are ours in other words."""
    assert parsed(state=word).state is state


def test_an_unknown_state_counts_as_running(caplog: pytest.LogCaptureFixture) -> None:
    """The log tells it once for each dialect."""
    dialect = AgentsDialect()
    with caplog.at_level(logging.WARNING, "luma_async"):
        states = [dialect.generation({**ROW, "state": "resting"}).state for _ in range(3)]

    assert states == [State.PROCESSING] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "Unknown job state 'resting': the job counts as still running."
    ]


def test_all_outputs_are_read_in_their_order() -> None:
    """The video is the first one of them, wherever it is."""
    exr, video = (
        {"type": "image", "url": "https://h/a.exr"},
        {"type": "video", "url": "https://h/a"},
    )

    generation = parsed(state="completed", output=[exr, video])

    assert generation.outputs == (
        Asset(url="https://h/a.exr", media_type="image"),
        Asset(url="https://h/a", media_type="video"),
    )
    assert generation.video == generation.outputs[1]
    assert generation.url == "https://h/a"


def test_layers_are_described() -> None:
    """Each layer is an output with its place and its content."""
    layer = {"index": 0, "label": "cat", "description": "a cat", "alpha_hint": "soft"}
    output = [{"type": "image", "url": "https://h/0", "layer": layer}]

    generation = parsed(state="completed", type="layering", model="uni-1", output=output)

    assert generation.video is None
    assert generation.outputs[0].layer == Layer(
        index=0, label="cat", description="a cat", alpha_hint="soft"
    )
    assert generation.url == "https://h/0"


def test_a_failure_has_its_code_and_reason() -> None:
    """Both are those of the server."""
    generation = parsed(
        state="failed", failure_code="content_moderated", failure_reason="The prompt was flagged"
    )

    assert generation.state is State.FAILED
    assert generation.failure_code == "content_moderated"
    assert generation.failure_reason == "The prompt was flagged"


@pytest.mark.parametrize(
    "output",
    ["x", 7, {}, [7, None, "x"], [{"type": "video"}], [{"type": 7, "url": 7}], [{"url": " "}]],
    ids=repr,
)
def test_an_output_that_is_not_valid_is_left_out(output: Any) -> None:
    """The job was paid for, so its row is read as far as possible."""
    assert parsed(state="completed", output=output).outputs == ()


@pytest.mark.parametrize(
    "layer", [7, [], {}, {"index": True, "label": 7}, {"index": "x"}, {"index": 1e400}], ids=repr
)
def test_a_layer_that_is_not_valid_costs_no_output(layer: Any) -> None:
    """The link is there all the same."""
    output = [{"type": "image", "url": "https://h/0", "layer": layer}]

    (asset,) = DIALECT.generation({**ROW, "output": output}).outputs

    assert asset.url == "https://h/0"
    assert asset.layer in (None, Layer())


def test_a_mark_changes_with_the_state_and_the_outputs_only() -> None:
    """Each look gives fresh links, and they are not progress."""
    links = [[{"type": "video", "url": f"https://h/a?signature={n}"}] for n in range(2)]
    marks = [
        DIALECT.mark({**ROW, **changed})
        for changed in (
            {},
            {"state": "processing"},
            {"state": "completed"},
            {"state": "completed", "output": links[0]},
            {"state": "completed", "output": links[1]},
        )
    ]

    assert len(set(marks)) == 4
    assert marks[3] == marks[4]
    assert DIALECT.ids(ROW) == ["0e1a-7"]
    assert DIALECT.ids({}) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"detail": "none"}', b"7"])
def test_an_answer_without_a_job_is_an_error(body: bytes) -> None:
    """A submission with such an answer is uncertain, and a look is repeated."""
    for call in (DIALECT.submission(GenerateRequest("a cat"), None), DIALECT.get("a")):
        with pytest.raises(ResponseError):
            call.read(body)


@pytest.mark.parametrize(
    "answer", [{"data": ROW}, [ROW], {"task_id": "0e1a-7", "state": "queued"}], ids=repr
)
def test_a_job_in_a_wrapper_is_found(answer: Any) -> None:
    """A proxy may write the answer anew, and the job was paid for."""
    call = DIALECT.submission(GenerateRequest("a cat"), None)

    assert call.read(json.dumps(answer).encode()).id == "0e1a-7"
