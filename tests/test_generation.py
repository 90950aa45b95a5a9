"""Generations are frozen, and their states are ordered."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from luma_async import Asset, Generation, GenerationFailedError, NoVideoError, State
from tests.clients import connect
from tests.media.hosts import a_video, small

CLEAN, MARKED, RAW = "https://h/clean.mp4", "https://h/marked.mp4", "https://h/raw.mp4"


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
        (State.COMPLETED, NoVideoError, r"^Job a is completed, .* reported no link to its video\."),
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
