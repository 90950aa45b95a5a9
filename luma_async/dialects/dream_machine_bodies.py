"""Dream Machine bodies: the path and the JSON of each kind of request. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from luma_async.image_sources import GenerationReference
from luma_async.requests import JobRequest

VIDEO_PATH = "/generations/video"
"""Path of the call for new and extended videos."""

DEFAULT_VIDEO_MODEL = "ray-2"
DEFAULT_IMAGE_MODEL = "photon-1"
"""Models that are sent if a request has none, because the API requires one."""

VIDEO_MODELS = ("ray-2", "ray-flash-2")
IMAGE_MODELS = ("photon-1", "photon-flash-1")

_FORMATS = {"jpeg": "jpg", "png": "png"}


def path_of(request: JobRequest) -> str | None:
    """Return the path of the call for a request, or `None` for new and extended videos."""
    if request.kind == "reframe" and makes_image(request):
        return "/generations/image/reframe"
    return {
        "edit": "/generations/video/modify",
        "reframe": "/generations/video/reframe",
        "image": "/generations/image",
        "edit_image": "/generations/image",
    }.get(request.kind)


def makes_image(request: JobRequest) -> bool:
    """Return `True` if the output of a request is an image."""
    model = vars(request).get("model")
    return request.kind in ("image", "edit_image") or (
        request.kind == "reframe" and model in IMAGE_MODELS
    )


def linked_outputs(request: JobRequest, source_id: str | None) -> dict[str, str]:
    """Return the places of outputs that are sent as a link, each with the id of its job.

    Only the frames of new and extended videos may be ids of jobs.
    """
    if request.kind in ("generate", "extend"):
        return {}
    references = {
        place: image.id
        for place, image in request.images().items()
        if isinstance(image, GenerationReference)
    }
    return references if source_id is None else {"media": source_id, **references}


def body_of(request: JobRequest, source_id: str | None) -> dict[str, Any]:
    """Return the body of a submission. Fields that are not set are left out."""
    fields = vars(request)
    body = {
        "prompt": request.prompt,
        "model": fields["model"]
        or (DEFAULT_IMAGE_MODEL if makes_image(request) else DEFAULT_VIDEO_MODEL),
        **_BODIES[request.kind](fields, source_id),
        "callback_url": fields["notify_hook"],
    }
    return {**{name: value for name, value in body.items() if value is not None}, **fields["extra"]}


def _video(fields: dict[str, Any], source_id: str | None) -> dict[str, Any]:
    frames = {"frame0": _frame(fields["image"]), "frame1": _frame(fields["image_end"])}
    if source_id is not None:
        # A video is extended by one that begins with it, or backward by one that ends with it.
        frames["frame1" if fields["backward"] else "frame0"] = _generation(source_id)
    keyframes = {name: frame for name, frame in frames.items() if frame is not None}
    concepts = fields["concepts"]
    return {
        "aspect_ratio": fields["aspect_ratio"],
        "loop": fields.get("loop"),
        "keyframes": keyframes or None,
        "resolution": fields["resolution"],
        "duration": fields["duration"],
        "concepts": None if concepts is None else [{"key": concept} for concept in concepts],
    }


def _edit(fields: dict[str, Any], source_id: str | None) -> dict[str, Any]:  # noqa: ARG001  as _video
    return {
        "generation_type": "modify_video",
        "media": _link(fields["media"]),
        "first_frame": _link(fields["image"]),
        "mode": fields["strength"],
    }


def _reframe(fields: dict[str, Any], source_id: str | None) -> dict[str, Any]:  # noqa: ARG001  as _video
    kind = "image" if fields["model"] in IMAGE_MODELS else "video"
    return {
        "prompt": fields["prompt"] or None,
        "generation_type": f"reframe_{kind}",
        "media": _link(fields["media"]),
        "aspect_ratio": fields["aspect_ratio"],
    }


def _image(fields: dict[str, Any], source_id: str | None) -> dict[str, Any]:  # noqa: ARG001  as _video
    return {
        "generation_type": "image",
        "aspect_ratio": fields["aspect_ratio"],
        "format": _FORMATS.get(fields["format"] or ""),
        "image_ref": [_link(image) for image in fields["references"]] or None,
        "modify_image_ref": _link(fields.get("media")),
    }


_BODIES: dict[str, Callable[[dict[str, Any], str | None], dict[str, Any]]] = {
    "generate": _video,
    "extend": _video,
    "edit": _edit,
    "reframe": _reframe,
    "image": _image,
    "edit_image": _image,
}


def _frame(image: Any) -> dict[str, str] | None:
    if isinstance(image, GenerationReference):
        return _generation(image.id)
    return None if image is None else {"type": "image", "url": image}


def _generation(id: str) -> dict[str, str]:
    return {"type": "generation", "id": id}


def _link(media: Any) -> dict[str, str] | None:
    return None if media is None else {"url": media}
