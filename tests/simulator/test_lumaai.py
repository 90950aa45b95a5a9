"""Luma's own client `lumaai`, as the package index has it, works against the simulator."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import lumaai
import pytest
from lumaai import AsyncLumaAI, LumaAI
from lumaai.resources.generations.generations import GenerationsResource

from luma_async.simulator import Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import HOUR, until

URL = "https://images.example/cat.jpg"
MEDIA = {"media": {"url": URL}}
REFRAMED = {**MEDIA, "aspect_ratio": "9:16"}
VIDEO = {"prompt": "a cat", "model": "ray-2", "resolution": "540p", "duration": "9s"}

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("ping.check", {}),
    ("credits.get", {}),
    ("generations.concepts.list", {}),
    ("generations.create", {**VIDEO, "loop": True, "concepts": [{"key": "handheld"}]}),
    ("generations.video.create", {**VIDEO, "keyframes": {"frame0": {"type": "image", "url": URL}}}),
    (
        "generations.video.modify",
        {**MEDIA, "generation_type": "modify_video", "model": "ray-flash-2", "mode": "flex_1"},
    ),
    (
        "generations.video.reframe",
        {**REFRAMED, "generation_type": "reframe_video", "model": "ray-2", "x_start": 0},
    ),
    (
        "generations.image.create",
        {"prompt": "a cat", "model": "photon-1", "image_ref": [{"url": URL, "weight": 0.5}]},
    ),
    (
        "generations.image.reframe",
        {**REFRAMED, "generation_type": "reframe_image", "model": "photon-flash-1"},
    ),
    ("generations.upscale", {"id": "ID", "resolution": "1080p"}),
    ("generations.audio", {"id": "ID", "prompt": "purring"}),
    ("generations.list", {"limit": 3, "offset": 1}),
    ("generations.get", {"id": "ID"}),
    ("generations.delete", {"id": "ID"}),
]
"""Each method with arguments, in an order in which each job is there when it is needed."""


def call(client: Any, name: str, arguments: dict[str, Any]) -> Any:
    for part in name.split("."):
        client = getattr(client, part)
    return client(**arguments)


def methods(resource: Any, prefix: str) -> Iterator[str]:
    """Yield the names of the methods of a resource and of the resources below it."""
    for name in dir(type(resource)):
        if name.startswith(("_", "with_")):
            continue
        part = getattr(resource, name)
        if inspect.ismethod(part):
            yield f"{prefix}.{name}"
        else:
            yield from methods(part, f"{prefix}.{name}")


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the options under which a wrong answer is an error, and none is asked for again."""
    return {"auth_token": "a-key", "max_retries": 0, "_strict_response_validation": True}


def test_every_method_is_called(options: dict[str, Any]) -> None:
    """The table above is complete: the simulator serves all that the client offers."""
    client = LumaAI(**options)
    parts = [("ping", client.ping), ("credits", client.credits)]
    parts.append(("generations", client.generations))

    assert isinstance(client.generations, GenerationsResource)
    assert sorted(name for name, _ in CALLS) == sorted(
        name for prefix, part in parts for name in methods(part, prefix)
    )


def test_every_method_works(options: dict[str, Any]) -> None:
    """Each answer is valid for the client, and each submission has made one job."""
    with running_simulator(durations=Fixed(HOUR)) as sim, at(sim, LumaAI, options) as client:
        answers: dict[str, Any] = {}
        for name, arguments in CALLS:
            id = answers["generations.create"].id if "id" in arguments else None
            answers[name] = call(client, name, {**arguments, **({"id": id} if id else {})})
            sim.advance(HOUR)

        assert answers["ping.check"].message == "pong"
        assert "handheld" in answers["generations.concepts.list"]
        assert answers["generations.create"].state == "queued"
        assert answers["generations.create"].request.concepts[0].key == "handheld"
        assert answers["generations.get"].state == "completed"
        assert answers["generations.get"].assets.video.startswith(sim.url)
        assert answers["generations.list"].has_more
        listed = [each.id for each in answers["generations.list"].generations]
        made = [job.id for job in sim.ledger.jobs]
        assert listed == made[-2:-5:-1]  # newest first, after the first one
        assert [job.type for job in sim.ledger.jobs] == [
            "video",
            "video",
            "modify_video",
            "reframe_video",
            "image",
            "reframe_image",
            "upscale_video",
            "add_audio",
        ]
        assert client.credits.get().credit_balance < answers["credits.get"].credit_balance
        with pytest.raises(lumaai.NotFoundError, match="Generation not found"):
            client.generations.get(made[0])


async def test_every_asynchronous_method_works(options: dict[str, Any]) -> None:
    """The other client sends the same requests, so that a few lines are enough for it."""
    async with Simulator(durations=Fixed(HOUR)) as sim, at(sim, AsyncLumaAI, options) as client:
        first = await client.generations.create(prompt="a cat", model="ray-2")
        sim.advance(HOUR)
        for name, arguments in CALLS:
            given = {**arguments, **({"id": first.id} if "id" in arguments else {})}
            await call(client, name, given)

        assert len(sim.ledger.jobs) == 9


async def test_an_image_in_the_same_call(options: dict[str, Any]) -> None:
    """With `sync`, the answer comes when the image is there, or when the time is over."""
    image = {"prompt": "a cat", "model": "photon-1", "sync": True}
    async with Simulator(durations=Fixed(HOUR)) as sim, at(sim, AsyncLumaAI, options) as client:
        waiting = asyncio.create_task(
            client.generations.image.create(**image, sync_timeout=2 * HOUR)
        )
        await until(lambda: sim.ledger.jobs)
        sim.advance(HOUR)
        made = await waiting
        late = await client.generations.image.create(**image, sync_timeout=0)

        assert made.state == "completed"
        assert made.assets is not None
        assert made.assets.image is not None
        assert made.assets.video is None
        assert late.state == "queued"

        waiting = asyncio.create_task(client.generations.image.create(**image))
        await until(lambda: len(sim.ledger.jobs) == 3)
        await sim.stop()  # answers at once, rather than that the connection is cut in the end
        assert (await waiting).state == "queued"


def at(sim: Simulator, client: Any, options: dict[str, Any]) -> Any:
    return client(base_url=f"{sim.url}/dream-machine/v1", **options)
