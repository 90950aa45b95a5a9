"""The client speaks each contract as somebody else's program reads it."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from luma_async import (
    AgentsDialect,
    BadRequestError,
    DreamMachineDialect,
    EditImageRequest,
    EditRequest,
    ExtendRequest,
    FileReference,
    FixedSchedule,
    GenerateRequest,
    Generation,
    GenerationReference,
    ImageRequest,
    LayersRequest,
    LumaClient,
    ReframeRequest,
    SourcePosition,
    State,
)
from luma_async.dialects.agents_file_calls import AgentsFileCalls
from luma_async.requests import JobRequest

KEY = "a-key"
URL = "https://images.example/cat.jpg"
FILM = "https://images.example/cat.mp4"
PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQ"
    "UBAScY42YAAAAASUVORK5CYII="
)
SOURCE = Generation(id="123e4567-e89b-12d3-a456-426614174000", state=State.COMPLETED)
FILES = AgentsFileCalls()
CONTROLS = {"depth": {"enabled": True, "blur": 0.5}, "pose": {"strength": "precise"}}

AGENTS: list[tuple[JobRequest, Generation | None]] = [
    (GenerateRequest(prompt="a cat"), None),
    (
        GenerateRequest(
            prompt="a cat",
            image=URL,
            image_end=PNG,
            aspect_ratio="21:9",
            resolution="1080p",
            duration="5s",
            model="ray-3.2",
            user_id="ann",
        ),
        None,
    ),
    (
        GenerateRequest(
            prompt="a cat",
            keyframes={0: URL, 120: FileReference(id="f"), 200: GenerationReference(id="g")},
            duration="10s",
        ),
        None,
    ),
    (GenerateRequest(prompt="a cat", loop=True, resolution="360p"), None),
    (GenerateRequest(prompt="a cat", hdr=True, exr=True), None),
    (ExtendRequest(prompt="it takes a bow"), SOURCE),
    (ExtendRequest(prompt="it comes in", backward=True), SOURCE),
    (
        EditRequest(prompt="a dog", strength="flex_1", controls=CONTROLS, keyframes={0: PNG}),
        SOURCE,
    ),
    (EditRequest(prompt="a dog", media=FILM, auto_controls=True, hdr=True), None),
    (
        ReframeRequest(
            prompt="more of the garden",
            aspect_ratio="9:16",
            source_position=SourcePosition(x=0.1, y=0.2, width=1.5, height=0.5),
        ),
        SOURCE,
    ),
    (
        ImageRequest(
            prompt="a cat",
            references=[URL, PNG, FileReference(id="f")],
            aspect_ratio="3:1",
            format="jpeg",
            style="manga",
            web_search=True,
            model="uni-1-max",
        ),
        None,
    ),
    (EditImageRequest(prompt="a dog", media=PNG, references=[URL]), None),
    (EditImageRequest(prompt="a dog"), SOURCE),
    (LayersRequest(prompt="the cat alone", media=URL, resolution="2k"), None),
]
"""Requests of each kind, with their source: all fields of the API are in one of them."""

DREAM_MACHINE: list[tuple[JobRequest, Generation | None]] = [
    (GenerateRequest(prompt="a cat"), None),
    (
        GenerateRequest(
            prompt="a cat",
            image=URL,
            image_end=URL,
            aspect_ratio="9:21",
            resolution="4k",
            duration="9s",
            model="ray-flash-2",
            concepts=["handheld"],
            notify_hook="https://host.example/hook",
        ),
        None,
    ),
    (GenerateRequest(prompt="a cat", loop=True, image=GenerationReference(id=SOURCE.id)), None),
    (ExtendRequest(prompt="it takes a bow"), SOURCE),
    (ExtendRequest(prompt="it comes in", backward=True), SOURCE),
    (ExtendRequest(prompt="it turns", image_end=URL), SOURCE),
    (EditRequest(prompt="a dog", media=FILM, image=URL, strength="reimagine_3"), None),
    (EditRequest(prompt="a dog", strength="flex_1"), SOURCE),
    (ReframeRequest(aspect_ratio="1:1", media=FILM), None),
    (ReframeRequest(aspect_ratio="1:1", media=URL, model="photon-flash-1"), None),
    (ImageRequest(prompt="a cat", references=[URL] * 4, format="png", aspect_ratio="3:4"), None),
    (EditImageRequest(prompt="a dog", media=URL, format="jpeg", model="photon-1"), None),
]


@pytest.mark.parametrize(
    ("mock", "path", "model"),
    [
        ("agents_mock", "/v1/generations", "ray-3.2"),
        ("dream_machine_mock", "/dream-machine/v1/generations", "ray-2"),
        ("dream_machine_mock", "/dream-machine/v1/generations/video", "ray-2"),
    ],
)
async def test_a_mock_validates_requests(
    mock: str, path: str, model: str, request: pytest.FixtureRequest
) -> None:
    """A body that breaks the contract is answered 422, and any other one as the contract says."""
    url = request.getfixturevalue(mock) + path
    valid = {"prompt": "a cat", "model": model}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
        async with session.post(url, json=valid) as response:
            assert response.status == 201
            assert (await response.json())["state"] in ("queued", "completed")
        for wrong in ({"model": "ray-1-6"}, {"promt": "a dog"}):
            async with session.post(url, json={**valid, **wrong}) as response:
                assert response.status == 422, wrong


async def test_every_call_of_the_agents_api_gets_through(agents_mock: str) -> None:
    """No request of any kind breaks the contract, and the answers are understood."""
    async with connected(agents_mock, AgentsDialect()) as luma:
        for request, source in AGENTS:
            task = await luma.submit(request, source=source)
            assert task.generation.state is State.PENDING, request
        look = await luma.get(task.id)

        assert look.outputs[0].layer is not None
        named: dict[str, Any] = {"filename": "cat.png", "purpose": "reference"}
        file, _ = await luma._transport.call(FILES.create(media_type="image/png", size=9, **named))
        await luma._transport.call(FILES.complete(file.id))
        await luma._transport.call(FILES.get(file.id))
        with pytest.raises(BadRequestError):  # the mock is as strict as all this needs
            await luma.generate("a cat", extra={"video": {"keyframe_indexes": [-1]}})


@pytest.mark.parametrize("path", ["/generations", "/generations/video"])
async def test_every_call_of_dream_machine_gets_through(dream_machine_mock: str, path: str) -> None:
    """No request of any kind breaks the contract, at either path for new videos."""
    async with connected(dream_machine_mock, DreamMachineDialect(video_path=path)) as luma:
        for request, source in DREAM_MACHINE:
            video = await (await luma.submit(request, source=source))
            assert video.url == "https://example.com/video.mp4"
        assert await luma.get(video.id) == video
        assert [each.id async for each in luma.generations()] == [video.id]
        await luma.delete(video)
        await luma.credits()
        await luma.concepts()

        with pytest.raises(BadRequestError):  # the mock is as strict as all this needs
            await luma.generate("a cat", extra={"model": "ray-1-6"})


def connected(url: str, dialect: Any) -> LumaClient:
    """Return a client that looks at no job by itself, because none of a mock ends."""
    return LumaClient(KEY, base_url=url, dialect=dialect, schedule=FixedSchedule(3600))
