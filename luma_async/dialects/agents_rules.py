"""Rules of the Agents API: the limits of each kind of request, and the fields that exclude others.

They are those of the API's contract and of its official client, so that a request that the server
would reject is never sent. The server alone decides about everything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from yarl import URL

from luma_async.dialects.fields import as_object
from luma_async.dialects.request_check import RequestCheck
from luma_async.image_sources import is_url
from luma_async.request_fields import PROMPT_LIMIT, SourcePosition
from luma_async.requests import JobRequest, Kind
from luma_async.text_values import shown_value

SERVER = "the agents dialect"
"""Name of the server in messages."""

_VIDEO_RATIOS = ("9:16", "3:4", "1:1", "4:3", "16:9", "21:9")
_ALL_RATIOS = (
    *("3:1", "2:1", "21:9", "16:9", "4:3", "3:2"),
    *("1:1", "3:4", "2:3", "9:16", "1:2", "1:3"),
)
_RESOLUTIONS = ("360p", "540p", "720p", "1080p")
_HDR_RESOLUTIONS = ("720p", "1080p")
_VIDEO_MODELS, _IMAGE_MODELS = ("ray-3.2",), ("uni-1", "uni-1-max")
_MODELS: dict[Kind, Sequence[str]] = {
    **dict.fromkeys(("generate", "extend", "edit", "reframe"), _VIDEO_MODELS),
    **dict.fromkeys(("image", "edit_image"), _IMAGE_MODELS),
    "layers": ("uni-1",),
}
_VIDEO_KINDS = ("generate", "extend", "edit", "reframe")
_LAYERS_PROMPT_LIMIT = 500
_MOST_REFERENCES, _MOST_BESIDE_SOURCE = 9, 8
_SHORT, _LONG = "5s", "10s"
_LAST_FRAMES = {_SHORT: 120, _LONG: 240}
"""Number of the last frame of a video of each duration, at 24 frames a second."""

_LARGEST_SOURCE = 2
"""Maximum width and height of a source's position, in widths and heights of the frame."""

_INSTEAD = {
    "expand_prompt": "leave it out; the server decides",
    "concepts": "describe the motion of the camera in the prompt",
    "notify_hook": "await the task, or pass on_update=...",
}
"""Advice for the fields that the API does not have."""

_SHARE = "a number from 0 to 1"
_CONTROLS: dict[str, dict[str, str]] = {
    "depth": {"blur": _SHARE},
    "face": {},
    "normals": {"augmentation": _SHARE},
    "pose": {"strength": "'precise' or 'coarse'"},
    "trajectory": {"sparsity": _SHARE},
}
"""Allowed values of each control, besides `enabled`."""

_VIDEO_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
}
"""Media types of videos by the suffix of their URL. The API wants one to be named."""


def check_request(request: JobRequest) -> None:
    """Check a request against the rules of the API.

    Raises:
        UnsupportedError: the API does not have one of the fields.
        InvalidRequestError: a field breaks a rule. All problems are in the error.

    """
    kind, fields = request.kind, vars(request)
    check = RequestCheck(request, SERVER)
    for name, instead in _INSTEAD.items():
        check.unsupported((name,), instead)
    if not request.prompt.strip():
        check.add("prompt", f"is empty; {SERVER} needs one")
    check.prompt(at_most=_LAYERS_PROMPT_LIMIT if kind == "layers" else PROMPT_LIMIT)
    check.allowed("model", _MODELS[kind])
    check.allowed("duration", (_SHORT, _LONG))
    if kind in _VIDEO_KINDS:
        check.allowed("aspect_ratio", _VIDEO_RATIOS)
        check.allowed("resolution", _RESOLUTIONS)
    else:
        check.allowed("aspect_ratio", _ALL_RATIOS)
    for check_fields in _CHECKS[kind]:
        check_fields(check, fields)
    check.raise_problems()


def video_type(url: str) -> str | None:
    """Return the media type of a video by the suffix of its URL, `None` for another suffix."""
    return _VIDEO_TYPES.get(URL(url).suffix.lower())


def _check_hdr(check: RequestCheck, fields: Mapping[str, Any]) -> None:
    """Check the fields for high dynamic range."""
    resolution = fields["resolution"]
    if check.has("hdr") and resolution in _RESOLUTIONS and resolution not in _HDR_RESOLUTIONS:
        allowed = ", ".join(_HDR_RESOLUTIONS)
        check.add(
            "resolution", f"{resolution!r} is not allowed together with hdr; allowed: {allowed}"
        )
    if check.has("exr") and not check.has("hdr"):
        check.add("exr", "is allowed only together with hdr=True")


def _check_frames(check: RequestCheck, fields: Mapping[str, Any]) -> None:
    """Check the fields of a new video that exclude each other."""
    is_long = fields["duration"] == _LONG
    if is_long and (others := _set(check, "image", "image_end", "hdr")):
        advice = "" if check.has("hdr") else "; keyframe 0 is the first frame of a longer video"
        check.add(
            "duration",
            f"{_LONG!r} is not allowed together with {others}; allowed: {_SHORT}{advice}",
        )
    others = _set(check, "hdr", "image_end", "keyframes", and_long=is_long)
    if check.has("loop") and others:
        check.add("loop", f"is not allowed together with {others}; leave one of them out")
    keyframes = fields["keyframes"]
    if not keyframes:
        return
    if others := _set(check, "image", "image_end", "loop"):
        check.add(
            "keyframes",
            f"is not allowed together with {others}; keyframe 0 is the first frame",
        )
    last = _LAST_FRAMES[_LONG if is_long else _SHORT]
    beyond = [str(frame) for frame in keyframes if frame > last]
    if beyond:
        advice = "" if is_long else f", or to {_LAST_FRAMES[_LONG]} with duration={_LONG!r}"
        check.add(
            "keyframes",
            f"frame {', '.join(beyond)} is after the end of the video; allowed: 0 to "
            f"{last}{advice}",
        )


def _set(check: RequestCheck, *names: str, and_long: bool = False) -> str:
    """Return the names of the fields that are set, as a text; of the long duration as well."""
    found = [name for name in names if check.has(name)]
    return ", ".join(found + [f"duration={_LONG!r}"] * and_long)


def _check_extension(check: RequestCheck, fields: Mapping[str, Any]) -> None:
    """Check the fields of an extension. Its source takes the place of one of the two frames."""
    if fields["duration"] == _LONG:
        check.add("duration", f"{_LONG!r} is not allowed for an extension; allowed: {_SHORT}")
    if check.has("backward"):
        taken, end, advice = "image_end", "beginning", "the first frame is image"
    else:
        taken, end, advice = "image", "end", "the last frame is image_end"
    if check.has(taken):
        check.add(taken, f"is not allowed, for it is the {end} of the source; {advice}")


def _check_edit(check: RequestCheck, fields: Mapping[str, Any]) -> None:
    if check.has("keyframes") and check.has("image"):
        check.add("keyframes", "is not allowed together with image; leave one of them out")
    for problem in _problems_of_controls(as_object(fields["controls"])):
        check.add("controls", problem)


def _problems_of_controls(controls: Mapping[str, Any]) -> Iterator[str]:
    for name, control in controls.items():
        values = _CONTROLS.get(name)
        if values is None:
            yield f"{shown_value(name)} is not a control; allowed: {', '.join(_CONTROLS)}"
        elif not isinstance(control, Mapping):
            got = shown_value(control)
            yield f"{name} must be an object such as {{'enabled': True}}, got {got}"
        else:
            allowed = {"enabled": "True or False", **values}
            for key, value in control.items():
                if key not in allowed:
                    yield f"{name} has no {shown_value(key)}; allowed: {', '.join(allowed)}"
                elif not _is_valid(allowed[key], value):
                    yield f"{name}.{key} must be {allowed[key]}, got {shown_value(value)}"


def _is_valid(allowed: str, value: object) -> bool:
    if allowed == _SHARE:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and 0 <= value <= 1  # type: ignore[operator]
    return isinstance(value, bool) if allowed == "True or False" else value in ("precise", "coarse")


def _check_position(check: RequestCheck, fields: Mapping[str, Any]) -> None:
    position: SourcePosition | None = fields["source_position"]
    if position is None:
        return
    if not (math.isfinite(position.x) and math.isfinite(position.y)):
        check.add("source_position", "x and y must be finite numbers")
    for name in ("width", "height"):
        if (value := getattr(position, name)) > _LARGEST_SOURCE:
            check.add("source_position", f"{name} must be at most {_LARGEST_SOURCE}, got {value:g}")


def _check_references(check: RequestCheck, fields: Mapping[str, Any]) -> None:
    most = _MOST_BESIDE_SOURCE if "media" in fields else _MOST_REFERENCES
    if len(fields["references"]) > most:
        check.add("references", f"has {len(fields['references'])} images; allowed: {most}")


def _check_video_type(check: RequestCheck, fields: Mapping[str, Any]) -> None:
    """Check that the type of a video at a URL is known, because the API must be told."""
    if not is_url(fields["media"]):
        return
    named = as_object(as_object(fields["extra"]).get("source")).get("media_type")
    if named is None and video_type(fields["media"]) is None:
        check.add(
            "media",
            f"is a URL without the suffix of a video, such as .mp4; {SERVER} needs the type: pass "
            '{"source": {"media_type": "video/mp4"}} as extra',
        )


_CHECKS: dict[Kind, Sequence[Callable[[RequestCheck, Mapping[str, Any]], None]]] = {
    "generate": (_check_hdr, _check_frames),
    "extend": (_check_hdr, _check_extension),
    "edit": (_check_hdr, _check_edit, _check_video_type),
    "reframe": (_check_position, _check_video_type),
    "image": (_check_references,),
    "edit_image": (_check_references,),
    "layers": (),
}
"""Checks of the fields of each kind of request."""
