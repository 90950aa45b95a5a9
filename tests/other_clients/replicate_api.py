"""Stand-in for Replicate's API: create and get predictions, and the file of an output."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.other_clients.stand_in import StandIn


@dataclass
class ReplicateAPI(StandIn):
    """A prediction is starting at first, runs at the first look, and has succeeded at the next."""

    looks: Counter[str] = field(default_factory=Counter)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the API."""
        return [
            web.post("/v1/models/luma/{model}/predictions", self.create),
            web.get("/v1/predictions", self.list),
            web.get("/v1/predictions/{id}", self.get),
            web.get("/files/{id}.mp4", self.film),
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment in which `replicate` talks to this server."""
        return {"REPLICATE_API_TOKEN": "a-token", "REPLICATE_BASE_URL": self.url}

    async def create(self, request: web.Request) -> web.Response:
        """Accept a prediction."""
        id = await self.accept(request)
        return web.json_response(self._prediction(id, "starting"), status=201)

    async def get(self, request: web.Request) -> web.Response:
        """Answer with the state of a prediction."""
        id = request.match_info["id"]
        self.looks[id] += 1
        return web.json_response(
            self._prediction(id, "processing" if self.looks[id] == 1 else "succeeded")
        )

    async def list(self, request: web.Request) -> web.Response:
        """Answer with all predictions, on one page."""
        ids = [f"job-{number}" for number in range(len(self.accepted), 0, -1)]
        return web.json_response(
            {
                "previous": None,
                "next": None,
                "results": [self._prediction(id, "succeeded") for id in ids],
            }
        )

    def _prediction(self, id: str, status: str) -> dict[str, Any]:
        has_ended = status == "succeeded"
        number = int(id.removeprefix("job-"))
        return {
            "id": id,
            "model": "luma/ray-2-720p",
            "version": "hidden",
            "status": status,
            "input": self.accepted[number - 1]["input"],
            "output": f"{self.url}/files/{id}.mp4" if has_ended else None,
            "logs": "",
            "error": None,
            "metrics": {"predict_time": 1.0} if has_ended else {},
            "created_at": "2026-01-01T00:00:00Z",
            "started_at": None,
            "completed_at": None,
            "urls": {
                "get": f"{self.url}/v1/predictions/{id}",
                "cancel": f"{self.url}/v1/predictions/{id}/cancel",
            },
        }
