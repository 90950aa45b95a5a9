"""Server with full rows: answers status requests with rows as long as those of real gateways.

`python -m benchmarks.full_rows PADDING` prints its URL. Any id is that of a running job. `PADDING`
is the number of bytes of additional fields in each row of a batch.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from benchmarks.programs import serve, server

_PROMPT = (
    "An orange tabby cat dances on a moonlit roof above a quiet harbour town, the camera circling "
    "slowly while paper lanterns drift past and the city lights shimmer in the water behind it"
)
_LINK = "https://storage.cdn-luma.com/dream_machine/{id}/{name}"


def row(id: str, number: int = 13917, padding: int = 0) -> dict[str, Any]:
    """Return the row of a running job, with all fields that gateways are known to send."""
    moment = "2024-07-01T07:35:13.498264Z"
    request = {
        "prompt": f"{_PROMPT}, take {number}",
        "aspect_ratio": "16:9",
        "image_url": _LINK.format(id=id, name="first-frame-of-the-cat.png"),
        "image_end_url": None,
        "expand_prompt": True,
        "loop": False,
        "model_name": "ray-v2",
        "resolution": "720p",
        "duration": "5s",
        "notify_hook": None,
    }
    task: dict[str, Any] = {
        "id": id,
        "state": "processing",
        "queue_state": None,
        "prompt": f"{_PROMPT}, take {number}",
        "request": request,
        "failure_reason": None,
        "video": None,
        "video_raw": None,
        "artifact": None,
        "thumbnail": {
            "url": _LINK.format(id=id, name="thumbnail.jpg"),
            "width": 1360,
            "height": 752,
            "palette": None,
            "media_type": "image",
        },
        "last_frame": None,
        "created_at": moment,
        "batch_id": "",
        "liked": None,
        "estimate_wait_seconds": None,
    }
    found = {
        "id": number,
        "task_id": id,
        "platform": "luma",
        "action": "LUMA_VIDEO",
        "status": "IN_PROGRESS",
        "progress": "40%",
        "fail_reason": "",
        "submit_time": 1719819313,
        "start_time": 1719819323,
        "finish_time": 0,
        "created_at": moment,
        "updated_at": "2024-07-01T07:35:23.654Z",
        "data": task,
    }
    if padding:
        task["palette"] = [[index % 256, 0.5, "a colour"] for index in range(padding // 22)]
    return found


@contextmanager
def full_rows(padding: int = 0) -> Iterator[str]:
    """Run the server, and yield its URL."""
    with server("full_rows", padding) as (url, _):
        yield url


async def _serve(padding: int) -> None:
    answers: dict[bytes, bytes] = {}

    async def one(request: web.Request) -> web.Response:
        found = row(request.match_info["id"], hash(request.match_info["id"]) % 10**6)
        return web.json_response({"code": "success", "message": "", "data": found})

    async def many(request: web.Request) -> web.Response:
        asked = await request.read()
        if asked not in answers:
            found = [row(id, number, padding) for number, id in enumerate(json.loads(asked)["ids"])]
            answer = {"code": "success", "message": "", "data": found}
            answers[asked] = json.dumps(answer).encode()
        return web.Response(body=answers[asked], content_type="application/json")

    app = web.Application()
    app.router.add_get("/luma/generations/{id}", one)
    app.router.add_post("/luma/tasks", many)
    await serve(app)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
