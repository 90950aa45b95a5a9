"""Stand-in for fal's queue: submit, status, result, cancel and the file of a result."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.other_clients.stand_in import StandIn


@dataclass
class FalQueue(StandIn):
    """A request is queued at the first look, runs at the second, and is completed at the third."""

    looks: Counter[str] = field(default_factory=Counter)
    cancelled: list[str] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the queue."""
        job = "/fal-ai/luma-dream-machine/requests/{id}"
        return [
            web.post("/fal-ai/luma-dream-machine/{model:.+}", self.submit),
            web.get(f"{job}/status", self.status),
            web.put(f"{job}/cancel", self.cancel),
            web.get(job, self.result),
            web.get("/files/{id}.mp4", self.film),
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment in which `fal_client` talks to this server."""
        host = self.url.removeprefix("https://")
        return {"FAL_KEY": "a-key", "FAL_RUN_HOST": host, "FAL_QUEUE_RUN_HOST": host}

    async def submit(self, request: web.Request) -> web.Response:
        """Accept a request."""
        id = await self.accept(request)
        url = f"{self.url}/fal-ai/luma-dream-machine/requests/{id}"
        return web.json_response(
            {
                "status": "IN_QUEUE",
                "request_id": id,
                "queue_position": 0,
                "response_url": url,
                "status_url": f"{url}/status",
                "cancel_url": f"{url}/cancel",
            }
        )

    async def status(self, request: web.Request) -> web.Response:
        """Answer with the state of a request."""
        id = request.match_info["id"]
        self.looks[id] += 1
        answer: dict[str, Any]
        match self.looks[id]:
            case 1:
                answer = {"status": "IN_QUEUE", "queue_position": 0}
            case 2:
                answer = {"status": "IN_PROGRESS", "logs": None}
            case _:
                answer = {"status": "COMPLETED", "logs": None, "metrics": {}}
        return web.json_response(answer)

    async def result(self, request: web.Request) -> web.Response:
        """Answer with the output of a request."""
        id = request.match_info["id"]
        url = f"{self.url}/files/{id}.mp4"
        return web.json_response({"video": {"url": url, "content_type": "video/mp4"}})

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a request."""
        self.cancelled.append(request.match_info["id"])
        return web.json_response({"status": "CANCELLATION_REQUESTED"}, status=202)
