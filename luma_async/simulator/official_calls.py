"""Requests and errors that Luma's own APIs have in common."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from aiohttp import web

from luma_async.simulator.answers import detail_refusal

PATHS = ("/v1/", "/dream-machine/")
"""Beginnings of the paths of these APIs."""


class RejectedError(Exception):
    """Rejection of a request by the API, with its HTTP status and detail."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail

    def answer(self) -> web.Response:
        """Return the answer."""
        return detail_refusal(self.status, "", self.detail)


def refusal_of(error: web.HTTPException) -> web.Response:
    """Return the error of the web server in the format of the API."""
    response = detail_refusal(error.status, "", error.reason)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


async def json_object(request: web.Request) -> dict[str, Any]:
    """Return the body of a request.

    Raises:
        RejectedError: it is not a JSON object.

    """
    if request.content_type != "application/json":
        raise RejectedError(400, "Content-Type: must be application/json")
    try:
        body = json.loads(await request.read(), parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        raise RejectedError(400, "body: is not valid JSON") from None
    if not isinstance(body, dict):
        raise RejectedError(400, "body: must be a JSON object")
    return body


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def api_key(request: web.Request) -> str:
    """Return the API key of a request: the owner of its jobs and files."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
