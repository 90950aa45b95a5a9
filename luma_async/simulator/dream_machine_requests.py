"""Dream Machine requests: bodies of the submissions, with the fields and limits of their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from luma_async.simulator.body_fields import (
    Check,
    an_object,
    boolean,
    list_of,
    number,
    one_of,
    problem_of,
    text,
    web_url,
)

CONCEPTS = (
    "aerial",
    "aerial_drone",
    "bolt_cam",
    "crane_down",
    "crane_up",
    "dolly_zoom",
    "handheld",
    "hyperlapse",
    "orbit_left",
    "orbit_right",
    "pan_left",
    "pan_right",
    "pov",
    "push_in",
    "static",
    "tilt_up",
    "timelapse",
    "zoom_in",
    "zoom_out",
)
"""Keys of the concepts that a video can follow."""

_RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21")
_SHORT_SIDES = {"540p": 540, "720p": 720, "1080p": 1080, "4k": 2160}
_FRAMES = {"5s": 121, "9s": 217}
_MODES = tuple(f"{word}_{number}" for word in ("adhere", "flex", "reimagine") for number in "123")
_VIDEO_MODELS = ("ray-2", "ray-flash-2")
_IMAGE_MODELS = ("photon-1", "photon-flash-1")

_PROMPT = text(least=3, most=5000)
_KEYFRAME_TYPES = one_of("generation", "image")
_MEDIA = an_object({"url": web_url}, required=["url"])
_WEIGHTED_IMAGE = an_object({"url": web_url, "weight": number(least=0, most=1)})
_WEIGHTED_IMAGES = list_of(_WEIGHTED_IMAGE, most=4)
_POSITION = number(least=-(10**5), most=10**5, whole=True)


def _optional_prompt(value: Any) -> str:
    return "" if value == "" else _PROMPT(value)


def _keyframe(value: Any) -> str:
    if not isinstance(value, dict):
        return "must be an object"
    if problem := problem_of(value, {"type": _KEYFRAME_TYPES}, required=["type"]):
        return f".{problem}"
    if value["type"] == "image":
        return _MEDIA(value)
    return an_object({"id": text(least=1)}, required=["id"])(value)


_REFRAMING: dict[str, Check] = {
    "media": _MEDIA,
    "prompt": _optional_prompt,
    "aspect_ratio": one_of(*_RATIOS),
    "callback_url": web_url,
    **dict.fromkeys(
        (
            "grid_position_x",
            "grid_position_y",
            "x_start",
            "x_end",
            "y_start",
            "y_end",
            "resized_width",
            "resized_height",
        ),
        _POSITION,
    ),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of submission.

    Args:
        name: `generation_type` of its requests.
        output: file that its jobs make.
        fields: checks of the fields.
        required: names of the fields that must be given.
        changes: `True` if its jobs show their source anew.

    """

    name: str
    output: Literal["video", "image"]
    fields: Mapping[str, Check]
    required: tuple[str, ...] = ()
    changes: bool = False

    def problem(self, body: Mapping[str, Any]) -> str:
        """Return the problem of a body that needs no look at other jobs, or an empty text."""
        fields = {"generation_type": one_of(self.name), **self.fields}
        return problem_of(body, fields, self.required) or _contradiction(self, body)


VIDEO = Kind(
    "video",
    "video",
    {
        "prompt": _PROMPT,
        "aspect_ratio": one_of(*_RATIOS),
        "loop": boolean,
        "keyframes": an_object({"frame0": _keyframe, "frame1": _keyframe}),
        "callback_url": web_url,
        "model": one_of(*_VIDEO_MODELS),
        "resolution": one_of(*_SHORT_SIDES),
        "duration": one_of(*_FRAMES),
        "concepts": list_of(an_object({"key": one_of(*CONCEPTS)}, required=["key"])),
    },
    ("model",),
)
IMAGE = Kind(
    "image",
    "image",
    {
        "prompt": _PROMPT,
        "aspect_ratio": one_of(*_RATIOS),
        "model": one_of(*_IMAGE_MODELS),
        "format": one_of("jpg", "png"),
        "callback_url": web_url,
        "image_ref": _WEIGHTED_IMAGES,
        "style_ref": _WEIGHTED_IMAGES,
        "character_ref": an_object({"identity0": an_object({"images": list_of(web_url, most=4)})}),
        "modify_image_ref": _WEIGHTED_IMAGE,
        "sync": boolean,
        "sync_timeout": number(least=0),
    },
    ("model", "prompt"),
)
MODIFY = Kind(
    "modify_video",
    "video",
    {
        "media": _MEDIA,
        "first_frame": _MEDIA,
        "model": one_of(*_VIDEO_MODELS),
        "mode": one_of(*_MODES),
        "prompt": _optional_prompt,
        "callback_url": web_url,
    },
    ("generation_type", "media", "mode", "model"),
    changes=True,
)
REFRAME_VIDEO = Kind(
    "reframe_video",
    "video",
    {**_REFRAMING, "first_frame": _MEDIA, "model": one_of(*_VIDEO_MODELS)},
    ("generation_type", "media", "aspect_ratio", "model"),
    changes=True,
)
REFRAME_IMAGE = Kind(
    "reframe_image",
    "image",
    {**_REFRAMING, "model": one_of(*_IMAGE_MODELS), "format": one_of("jpg", "png")},
    ("generation_type", "media", "aspect_ratio", "model"),
    changes=True,
)
UPSCALE = Kind(
    "upscale_video",
    "video",
    {"resolution": one_of(*_SHORT_SIDES), "callback_url": web_url},
    changes=True,
)
AUDIO = Kind(
    "add_audio",
    "video",
    {"prompt": _optional_prompt, "negative_prompt": text(most=5000), "callback_url": web_url},
    changes=True,
)


def _contradiction(kind: Kind, body: Mapping[str, Any]) -> str:
    """Return the problem of fields that do not go together, or an empty text."""
    if kind is VIDEO:
        keyframes = body.get("keyframes")
        if keyframes is not None and not keyframes.keys() & {"frame0", "frame1"}:
            return "keyframes: either frame0 or frame1 must be provided"
        if keyframes is None and "prompt" not in body:
            return "prompt: field required"
        if body.get("loop") and "frame1" in (keyframes or {}):
            return "loop: not supported with an end frame"
    for axis in "xy":
        start, end = f"{axis}_start", f"{axis}_end"
        reframes = kind in (REFRAME_IMAGE, REFRAME_VIDEO)
        if reframes and start in body and end in body and body[start] >= body[end]:
            return f"{axis}_end: must be greater than {axis}_start"
    return ""


def short_side(kind: Kind, body: Mapping[str, Any]) -> int | None:
    """Return the pixels of the shorter side that a request asks for."""
    resolution = body.get("resolution") or ("1080p" if kind is UPSCALE else "")
    return _SHORT_SIDES.get(resolution)


def frames(body: Mapping[str, Any]) -> int | None:
    """Return the number of frames that a request asks for."""
    return _FRAMES.get(body.get("duration", ""))
