"""Rows as long as real ones."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

_PROMPT = (
    "An orange tabby cat dances on a moonlit roof above a quiet harbour town, the camera circling "
    "slowly while paper lanterns drift past and the city lights shimmer in the water behind it"
)
_LINK = "https://storage.cdn-luma.com/dream_machine/{id}/{name}"


def full_row(number: int) -> dict[str, Any]:
    """Return the row of a running job, with every field that a gateway is known to send."""
    id = str(UUID(int=number))
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
    return dict(json.loads(json.dumps(found)))  # its texts are its own, as those of an answer
