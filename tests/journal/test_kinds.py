"""Requests of all kinds in the journal: their fingerprints, and the digests of their images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    EditImageRequest,
    EditRequest,
    ExtendRequest,
    GenerateRequest,
    Generation,
    ImageRequest,
    KeyConflictError,
    LayersRequest,
    LumaClient,
    ReframeRequest,
    SourcePosition,
    State,
)
from luma_async.journal.fingerprint import fingerprint, kept_request
from luma_async.requests import JobRequest
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect
from tests.media.image_files import an_image, as_data_uri

PNG, OTHER = an_image(), an_image(size=(61, 40))
URL = "https://host/a.png"


def agents(sim: Simulator, folder: Path) -> LumaClient:
    return connect(sim, dialect="agents", journal=folder / "jobs.db")


def with_images(png: Any) -> list[JobRequest]:
    """Return requests with an image at each of the places that have one."""
    return [
        GenerateRequest("a cat", keyframes={0: URL, 60: png}),
        EditRequest("winter", media="https://host/a.mp4", keyframes={9: png}),
        EditRequest("winter", media="https://host/a.mp4", image=png),
        ImageRequest("a cat", references=[URL, png]),
        EditImageRequest("a hat", media=png),
        EditImageRequest("a hat", media=URL, references=[png]),
        LayersRequest("cat", media=png),
    ]


async def test_the_images_of_each_kind_are_told_by_their_digests(tmp_path: Path) -> None:
    """The same image in another form is the same request, and another image is a conflict."""
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    async with Simulator(durations=Fixed(HOUR)) as sim, agents(sim, tmp_path) as luma:
        assert luma.journal is not None
        for index, request in enumerate(with_images(PNG)):
            key = f"row-{index}"
            task = await luma.submit(request, key=key)

            for again in (path, as_data_uri(PNG)):
                same = with_images(again)[index]
                assert await luma.submit(same, key=key) is task
            with pytest.raises(KeyConflictError):
                await luma.submit(with_images(OTHER)[index], key=key)
            entry = await luma.journal.find(key)
            assert entry is not None
            kept = str(entry.request)
            assert "'data:image/png;sha256," in kept
            assert len(kept) < 400
            assert entry.request.get("kind", "generate") == request.kind
        assert len(sim.ledger.jobs) == len(with_images(PNG))


async def test_a_restarted_program_gets_the_handles_of_all_kinds(tmp_path: Path) -> None:
    """Nothing is submitted twice, and the outputs are those of the server."""
    requests = [*with_images(PNG), ReframeRequest("9:16", "sea", media="https://host/a.mp4")]
    async with Simulator(durations=Fixed(HOUR), short_side=64, same_films=True) as sim:
        async with agents(sim, tmp_path) as luma:
            for index, request in enumerate(requests):
                await luma.submit(request, key=f"row-{index}")

        async with agents(sim, tmp_path) as luma:
            tasks = {task.key: task for task in await luma.resume()}
            for index, request in enumerate(requests):
                assert await luma.submit(request, key=f"row-{index}") is tasks[f"row-{index}"]
            sim.advance(HOUR)
            ended = [await task for task in tasks.values()]

        assert len(sim.ledger.jobs) == len(requests)
        assert {generation.state for generation in ended} == {State.COMPLETED}
        assert all(generation.outputs for generation in ended)

        async with agents(sim, tmp_path) as luma:  # the journal knows their outputs now
            image = await luma.run(requests[3], key="row-3")
            assert (image.type, image.video, len(image.outputs)) == ("image", None, 1)
        assert len(sim.ledger.jobs) == len(requests)


async def test_a_key_belongs_to_a_job_of_one_kind(tmp_path: Path) -> None:
    """The same words for another kind, or with another source, are another job."""
    async with Simulator(durations=Fixed(0.0), short_side=64) as sim:
        async with agents(sim, tmp_path) as luma:
            first, second = await luma.run("a cat"), await luma.run("a dog")
            edit = await luma.edit(first, "winter", key="row-1")

            again = await luma.edit(first.id, EditRequest("winter"), key="row-1")
            assert again.id == edit.id
            others: list[tuple[JobRequest, Generation | None]] = [
                (EditRequest("winter"), second),
                (ExtendRequest("winter"), first),
                (EditImageRequest("winter"), first),
                (GenerateRequest("winter"), None),
            ]
            for request, source in others:
                with pytest.raises(KeyConflictError):
                    await luma.submit(request, source=source, key="row-1")

    assert len(sim.ledger.jobs) == 3


def test_each_kind_and_each_field_tells_requests_apart() -> None:
    """Two requests have one fingerprint only if they are for the same result."""
    position = SourcePosition(x=0, y=0, width=1, height=1)
    requests: list[JobRequest] = [
        *(kind("x") for kind in (GenerateRequest, EditRequest, ImageRequest, EditImageRequest)),
        ExtendRequest("x", backward=True),
        ExtendRequest("x", backward=False),
        LayersRequest("x"),
        LayersRequest("x", resolution="1k"),
        ReframeRequest("1:1", "x"),
        ReframeRequest("9:16", "x"),
        ReframeRequest("1:1", "x", source_position=position),
        EditRequest("x", strength="flex_1"),
        EditRequest("x", controls={"face": {"enabled": True}}),
        EditRequest("x", keyframes={0: URL}),
        EditRequest("x", keyframes={1: URL}),
        GenerateRequest("x", keyframes={0: URL}),
        GenerateRequest("x", keyframes={0: "generation:g-1"}),
        GenerateRequest("x", keyframes={0: "file-id:g-1"}),
        GenerateRequest("x", hdr=True),
        GenerateRequest("x", concepts=["zoom"]),
        ImageRequest("x", references=[URL]),
        ImageRequest("x", references=[URL, URL]),
        EditImageRequest("x", references=[URL]),
    ]

    assert len({fingerprint("job-1", kept_request(each)) for each in requests}) == len(requests)
    named = GenerateRequest("x", user_id="u-1")
    assert kept_request(named) == {"prompt": "x", "user_id": "u-1"}
    assert fingerprint(None, kept_request(named)) == fingerprint(
        None, kept_request(GenerateRequest("x"))
    )
