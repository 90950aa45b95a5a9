"""Luma's own client `luma_agents`, as the package index has it, works against the simulator."""

from __future__ import annotations

import inspect
from typing import Any

import aiohttp
import httpx
import luma_agents
import pytest
from luma_agents import AsyncLuma, Luma

from luma_async.simulator import Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import HOUR
from tests.simulator.agents_api import an_image

URL = "https://images.example/cat.jpg"
PNG = an_image()

VIDEO: dict[str, Any] = {
    "prompt": "a cat",
    "type": "video",
    "model": "ray-3.2",
    "aspect_ratio": "16:9",
    "user_id": "u-1",
    "video": {
        "resolution": "720p",
        "hdr": True,
        "exr_export": True,
        "keyframes": [{"url": URL}, {"url": URL}],
        "keyframe_indexes": [0, 120],
    },
}

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("generations.create", VIDEO),
    ("generations.get", {"generation_id": "GENERATION"}),
    ("files.create", {"mime_type": "image/png", "size_bytes": len(PNG), "filename": "cat.png"}),
    ("files.complete", {"file_id": "FILE"}),
    ("files.get", {"file_id": "FILE"}),
    ("files.list", {"limit": 5, "purpose": "input", "state": "ready"}),
    ("files.delete", {"file_id": "FILE"}),
]
"""Each method with arguments, in an order in which each object is there when it is needed."""


def method(client: Any, name: str) -> Any:
    resource, _, call = name.partition(".")
    return getattr(getattr(client, resource), call)


def filled(arguments: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with the ids of the objects that were made."""
    made = {"GENERATION": "generations.create", "FILE": "files.create"}
    return {
        name: answers[made[value]].id if value in ("GENERATION", "FILE") else value
        for name, value in arguments.items()
    }


def check(answers: dict[str, Any], sim: Simulator) -> None:
    assert answers["generations.create"].state == "queued"
    done = answers["generations.get"]
    assert (done.state, done.type, done.model) == ("completed", "video", "ray-3.2")
    assert [output.type for output in done.output] == ["video", "image"]
    assert done.output[0].url.startswith(sim.url)
    assert answers["files.create"].upload.method == "PUT"
    assert answers["files.complete"].state == "pending"
    assert answers["files.get"].state == "ready"
    assert [file.id for file in answers["files.list"].data] == [answers["files.create"].id]
    assert answers["files.delete"] is None
    assert len(sim.ledger.jobs) == 1


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the options under which a wrong answer is an error, and none is asked for again."""
    return {"auth_token": "luma-api-a-key", "max_retries": 0, "_strict_response_validation": True}


def test_every_method_is_called(options: dict[str, Any]) -> None:
    """The table above is complete: the simulator serves all that the client offers."""
    client = Luma(**options)
    methods = [
        f"{resource}.{name}"
        for resource in ("files", "generations")
        for name, _ in inspect.getmembers(getattr(client, resource), inspect.ismethod)
        if not name.startswith(("_", "with_"))
    ]

    assert sorted(name for name, _ in CALLS) == sorted(methods)


async def put(upload: Any) -> None:
    async with aiohttp.request("PUT", upload.url, data=PNG, headers=upload.headers) as response:
        assert response.status == 200


def test_every_method_works(options: dict[str, Any]) -> None:
    """Each answer is valid for the client, and each submission has made one job."""
    with (
        running_simulator(durations=Fixed(HOUR), short_side=64) as sim,
        Luma(base_url=f"{sim.url}/v1", **options) as client,
    ):
        answers: dict[str, Any] = {}
        for name, arguments in CALLS:
            answers[name] = method(client, name)(**filled(arguments, answers))
            if name == "files.create":
                upload = answers[name].upload
                httpx.put(upload.url, content=PNG, headers=upload.headers).raise_for_status()
            sim.advance(HOUR / 2 if name != "generations.create" else HOUR)
        check(answers, sim)


async def test_every_asynchronous_method_works(options: dict[str, Any]) -> None:
    """The other client sends the same requests, and gets the same errors."""
    async with (
        Simulator(durations=Fixed(HOUR), short_side=64) as sim,
        AsyncLuma(base_url=f"{sim.url}/v1", **options) as client,
    ):
        answers: dict[str, Any] = {}
        for name, arguments in CALLS:
            answers[name] = await method(client, name)(**filled(arguments, answers))
            if name == "files.create":
                await put(answers[name].upload)
            sim.advance(HOUR / 2 if name != "generations.create" else HOUR)
        check(answers, sim)

        sim.fail_next("content_moderated")
        failing = await client.generations.create(prompt="a cat")
        sim.advance(HOUR)
        assert (await client.generations.get(failing.id)).failure_code == "content_moderated"
        with pytest.raises(luma_agents.UnprocessableEntityError, match="exr_export: needs hdr"):
            await client.generations.create(
                prompt="a cat", type="video", video={"exr_export": True}
            )
        with pytest.raises(luma_agents.NotFoundError, match="generation not found"):
            await client.generations.get("nobody")
