"""Generations are frozen, and their states are ordered."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from luma_async import (
    Asset,
    GatewayDialect,
    Generation,
    GenerationFailedError,
    Layer,
    NoVideoError,
    State,
)
from luma_async.generation import complete_json, lacks_output
from tests.clients import connect
from tests.media.hosts import a_video, small

CLEAN, MARKED, RAW = "https://h/clean.mp4", "https://h/marked.mp4", "https://h/raw.mp4"

ROW = {"id": "a", "request": {"notify_hook": "https://me/hook?token=secret"}, "video": None}

KEPT = (
    '{"id":"a","state":"completed","video":{"url":"https://host/cat.mp4"},'
    '"created_at":"2024-07-01T07:35:13.498000Z",'
    '"raw":{"id":"a","request":{"notify_hook":"https://me/hook?token=secret"},"video":null}}'
)
"""Generation as journals have had it from the beginning."""


def test_a_generation_cannot_be_changed() -> None:
    """A status of a job cannot be changed afterwards."""
    generation = Generation(id="a", state=State.PENDING)

    with pytest.raises(ValidationError, match="frozen"):
        generation.state = State.FAILED  # type: ignore[misc]
    assert {generation}


def test_terminal_states_are_the_last_two() -> None:
    """Completed and failed are final."""
    assert [state for state in State if state.terminal] == [State.COMPLETED, State.FAILED]


@pytest.mark.parametrize(
    ("assets", "best"),
    [
        ({"video": Asset(url=MARKED, download_url=CLEAN), "video_raw": Asset(url=RAW)}, CLEAN),
        ({"video": Asset(url=MARKED), "video_raw": Asset(url=RAW)}, RAW),
        ({"video_raw": Asset(download_url=RAW)}, RAW),
        ({"video": Asset(url=MARKED, download_url="")}, MARKED),
    ],
    ids=["the video without a watermark", "the raw video", "only that", "with a watermark"],
)
def test_the_url_of_a_generation_is_its_best_link(assets: dict[str, Any], best: str) -> None:
    """A link without a watermark comes first, in the order in which `download()` tries them."""
    assert Generation(id="a", state=State.COMPLETED, **assets).url == best


async def test_the_url_is_the_link_that_a_download_follows_first() -> None:
    """The order of the links is decided in one place."""
    async with small() as sim, connect(sim) as luma:
        video = (await a_video(luma)).generation

    assert video.url.split("?")[0].endswith("/clean.mp4")


@pytest.mark.parametrize(
    ("state", "error", "reason"),
    [
        (State.PENDING, NoVideoError, r"^Job a was pending, .* Await its task first"),
        (State.PROCESSING, NoVideoError, r"^Job a was processing"),
        (State.FAILED, GenerationFailedError, r"^Job a failed: too cute"),
        (State.COMPLETED, NoVideoError, r"^Job a is completed, .* reported no link to an output\."),
    ],
)
def test_a_generation_without_a_link_says_why(
    state: State, error: type[Exception], reason: str
) -> None:
    """The error tells if the video may still come."""
    generation = Generation(id="a", state=state, failure_reason="too cute")

    with pytest.raises(error, match=reason) as caught:
        _ = generation.url

    if isinstance(caught.value, NoVideoError):
        assert caught.value.task_id == "a"


def test_the_url_is_not_a_field() -> None:
    """Dumps, schemas, equality and the hash are those of the fields."""
    generation = Generation(id="a", state=State.COMPLETED, video=Asset(url=MARKED))
    same = Generation.model_validate(generation.model_dump())

    assert "url" not in generation.model_dump()
    assert "url" not in Generation.model_json_schema()["properties"]
    assert generation == same
    assert hash(generation) == hash(same)
    assert "url" not in {name for name, _ in generation}


def test_raw_is_left_out_when_a_generation_is_written() -> None:
    """A server may put private data into it; whoever wants it asks for it."""
    generation = Generation(id="a", state=State.PENDING, raw=ROW)

    assert "raw" not in generation.model_dump()
    assert "raw" not in json.loads(generation.model_dump_json())
    assert TypeAdapter(list[Generation]).dump_python([generation]) == [generation.model_dump()]
    assert "raw" not in Generation.model_json_schema(mode="serialization")["properties"]
    assert " raw=" not in repr(generation)
    assert {**generation.model_dump(mode="json"), "raw": dict(generation.raw)}["raw"] == ROW


def test_python_code_has_raw_as_before() -> None:
    """It is read, compared, copied and pickled."""
    generation = Generation(id="a", state=State.PENDING, raw=ROW)

    assert generation.raw == dict(generation)["raw"] == ROW
    assert generation != Generation(id="a", state=State.PENDING)
    for again in (copy.copy(generation), copy.deepcopy(generation), generation.model_copy()):
        assert again == generation
    assert pickle.loads(pickle.dumps(generation)).raw == ROW  # noqa: S301


def test_a_journal_keeps_a_generation_with_all_that_it_has() -> None:
    """Journals of earlier versions are read, and what is written is what they wrote."""
    generation = Generation.model_validate_json(KEPT)

    assert generation.raw == ROW
    assert complete_json(generation).decode() == KEPT


FILM, STILL = Asset(url=MARKED, media_type="video"), Asset(url="https://h/still.png")


@pytest.mark.parametrize(
    ("outputs", "video", "output"),
    [
        ((), None, None),
        ((STILL,), None, STILL),
        ((STILL, FILM), FILM, FILM),
        ((FILM, STILL), FILM, FILM),
        ((Asset(url=MARKED, media_type="Video/mp4"),), 0, 0),
    ],
    ids=["none", "an image", "an image first", "a video first", "a MIME type"],
)
def test_the_output_is_the_first_video_or_else_the_first_file(
    outputs: tuple[Asset, ...], video: Asset | int | None, output: Asset | int | None
) -> None:
    """`video` is the first video among the outputs; a job of images has none."""
    generation = Generation(id="a", state=State.COMPLETED, outputs=outputs)

    assert generation.video == (outputs[video] if isinstance(video, int) else video)
    assert generation.output == (outputs[output] if isinstance(output, int) else output)
    assert generation.outputs == outputs
    assert lacks_output(generation) == (not outputs)


def test_an_image_job_has_the_link_of_its_first_image() -> None:
    """It is completed, so its link is no error though it has no video."""
    generation = Generation(id="a", state=State.COMPLETED, outputs=(STILL,))

    assert generation.url == STILL.url


def test_a_video_without_a_list_of_outputs_is_the_only_output() -> None:
    """So are those of gateways, and the generations in earlier journals, without a copy."""
    row = {"id": "a", "state": "completed", "video": {"url": MARKED}, "video_raw": {"url": RAW}}
    parsed = GatewayDialect().generation(row)

    for generation in (parsed, Generation.model_validate_json(complete_json(parsed))):
        assert len(generation.outputs) == 1
        assert generation.outputs[0] is generation.video
    assert "outputs" not in json.loads(complete_json(parsed))
    assert GatewayDialect().generation({"id": "a"}).outputs == ()


def test_outputs_travel_with_their_layers() -> None:
    """Through the journal, a pickle and a copy."""
    layer = Layer(index=0, label="cat", description="an orange cat", alpha_hint="soft")
    generation = Generation(
        id="a",
        state=State.COMPLETED,
        outputs=(Asset(url="https://h/0.png", layer=layer), STILL),
        failure_code="none",
        model="uni-1",
        type="layering",
    )

    for again in (
        Generation.model_validate_json(complete_json(generation)),
        pickle.loads(pickle.dumps(generation)),  # noqa: S301
        copy.deepcopy(generation),
    ):
        assert again == generation
        assert again.outputs[0].layer == layer
