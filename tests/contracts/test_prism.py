"""The client speaks each contract as somebody else's program reads it."""

from __future__ import annotations

import aiohttp
import pytest

KEY = {"Authorization": "Bearer a-key"}


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
    async with aiohttp.ClientSession(headers=KEY) as session:
        async with session.post(url, json={"prompt": "a cat", "model": model}) as response:
            assert response.status == 201
            assert (await response.json())["state"] == "queued"
        async with session.post(url, json={"prompt": "a cat", "model": "ray-1-6"}) as response:
            assert response.status == 422
