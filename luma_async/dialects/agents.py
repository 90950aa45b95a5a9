"""Agents dialect: Luma's current official API, `/v1/generations`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from luma_async.dialects.agents_file_calls import AgentsFileCalls
from luma_async.dialects.agents_rules import SERVER, check_request, video_type
from luma_async.dialects.dialect import Mark
from luma_async.dialects.fields import (
    JSONObject,
    as_number,
    as_object,
    as_reason,
    as_text,
    as_time,
    as_word,
)
from luma_async.dialects.file_calls import FileCalls
from luma_async.dialects.job_rows import StateWords, escaped_id, read_job
from luma_async.dialects.no_account_calls import NoAccountCalls
from luma_async.dialects.task_rows import id_of_row, ids_of_row
from luma_async.errors import UnsupportedError
from luma_async.generation import Asset, Generation, Layer, State, first_video
from luma_async.image_sources import FileReference, GenerationReference, Image
from luma_async.requests import JobRequest, Kind
from luma_async.transport.call import Base64, Body, Call, has_images

VIDEO_MODEL = "ray-3.2"
"""Model of videos if the request names none. For images, the server has a default."""

_PATH = "/v1/generations"
_OWN_HEADER = "X-API-Version"
_OWN_REJECTIONS = frozenset({503})
"""Image ingestion is unavailable: this comes before the job. A 502 may come after it."""

_TYPES: dict[Kind, str] = {
    "generate": "video",
    "extend": "video",
    "edit": "video_edit",
    "reframe": "video_reframe",
    "image": "image",
    "edit_image": "image_edit",
    "layers": "layering",
}
_VIDEO_TYPES = frozenset({"video", "video_edit", "video_reframe"})
_NAMES = {
    "model": "model",
    "aspect_ratio": "aspect_ratio",
    "format": "output_format",
    "style": "style",
    "web_search": "web_search",
    "user_id": "user_id",
}
"""Names of the fields of the body itself."""

_VIDEO_NAMES = {
    "resolution": "resolution",
    "duration": "duration",
    "loop": "loop",
    "hdr": "hdr",
    "exr": "exr_export",
}
"""Names of the fields in the body's `video`."""

_EDIT_NAMES = {"strength": "strength", "auto_controls": "auto_controls", "controls": "controls"}
"""Names of the fields in the `edit` of `video`."""


class AgentsDialect(NoAccountCalls):
    """Format of the Agents API, Luma's current official one.

    >>> AgentsDialect().default_base_url
    'https://agents.lumalabs.ai'

    Videos are made by `ray-3.2`, unless the request names another model, and images by the server's
    default. The API has no callbacks, no list of jobs, no deletion and no status request for many
    jobs. It reports no progress.
    """

    default_base_url = "https://agents.lumalabs.ai"
    name = "agents"
    path_prefix = "/v1"
    supports_batch = False
    supports_callbacks = False
    files: FileCalls = AgentsFileCalls()
    list_instead = "keep your jobs in a journal"
    credits_instead = "Luma shows it on its website"

    def __init__(self) -> None:
        self._words = StateWords()

    def check(self, request: JobRequest, *, has_source: bool) -> None:  # noqa: ARG002  only the kind counts
        """Check a request against the rules of the API.

        Raises:
            UnsupportedError: the API does not have one of the fields.
            InvalidRequestError: a field breaks a rule.

        """
        check_request(request)

    def linked_outputs(self, request: JobRequest, source_id: str | None) -> dict[str, str]:  # noqa: ARG002  of the protocol
        """Return no places: the API takes the ids of jobs everywhere."""
        return {}

    def submission(self, request: JobRequest, source_id: str | None) -> Call[Generation]:
        """Build the call that submits a job: `POST /v1/generations`."""
        body = _merged(_body(request, source_id), vars(request)["extra"])
        return Call(
            "POST",
            _PATH,
            self._read_accepted,
            body=Body(body) if has_images(body) else to_json(body),
            submits=True,
            sent_ids=request.reference_ids(source_id),
            own_header=_OWN_HEADER,
            own_rejections=_OWN_REJECTIONS,
            missing="Check base_url: this host does not offer Luma's Agents API",
        )

    def get(self, id: str) -> Call[JSONObject]:
        """Build the call that polls one job: `GET /v1/generations/{id}`."""
        return Call("GET", f"{_PATH}/{escaped_id(id)}", read_job, looks=True)

    def get_many(self, ids: Sequence[str]) -> Call[dict[str, JSONObject]]:  # noqa: ARG002  of the protocol
        """Raise an error, because the API has no such call.

        Raises:
            UnsupportedError: always.

        """
        raise UnsupportedError.of(
            "get_many", f"{SERVER} has no call for many jobs; poll them one by one with get()"
        )

    def watermark_free_url(self, id: str) -> Call[str]:  # noqa: ARG002  of the protocol
        """Raise an error, because the files of this API have no watermark.

        Raises:
            UnsupportedError: always.

        """
        raise UnsupportedError.of(
            "watermark_free_url",
            f"{SERVER} has no such links, for its files have no watermark; use the generation's "
            "url, or download()",
        )

    def generation(self, row: JSONObject) -> Generation:
        """Parse a row."""
        items = row.get("output")
        outputs = tuple(
            asset
            for item in (items if isinstance(items, list) else ())
            if (asset := _asset(as_object(item))) is not None
        )
        word = as_text(row.get("state"))
        state = (self._words.state(word) or State.PROCESSING) if word else State.PENDING
        # The conversions return valid values, so they are not validated again.
        return Generation.of_checked(
            {
                "id": id_of_row(row) or "",
                "state": state,
                "prompt": as_text(row.get("prompt")),
                "video": first_video(outputs),
                "video_raw": None,
                "thumbnail": None,
                "last_frame": None,
                "created_at": as_time(row.get("created_at")),
                "failure_reason": as_reason(row.get("failure_reason")),
                "progress": None,
                "queue_state": None,
                "estimate_wait_seconds": None,
                "outputs": outputs,
                "failure_code": as_word(row.get("failure_code")),
                "model": as_word(row.get("model")),
                "type": as_word(row.get("type")),
                "raw": row,
            }
        )

    def mark(self, row: JSONObject) -> Mark:
        """Return the state of a row, and if it has outputs. The API reports no other progress."""
        return row.get("state"), bool(row.get("output"))

    def ids(self, row: JSONObject) -> Sequence[str]:
        """Return all ids of a row."""
        return ids_of_row(row)

    def _read_accepted(self, body: bytes) -> Generation:
        return self.generation(read_job(body))


def _body(request: JobRequest, source_id: str | None) -> dict[str, Any]:
    """Return the fields of the body, with an `Image` or `Base64` at the place of each image."""
    fields, kind = vars(request), request.kind
    type = _TYPES[kind]
    body = {"type": type, "prompt": request.prompt, **_named(fields, _NAMES)}
    if type in _VIDEO_TYPES:
        body.setdefault("model", VIDEO_MODEL)
        if video := _video(fields, kind, source_id):
            body["video"] = video
    elif kind == "layers":
        if fields["resolution"] is not None:
            body["layering"] = {"resolution": fields["resolution"]}
    elif fields["references"]:
        body["image_ref"] = [_reference(image) for image in fields["references"]]
    media = fields.get("media")
    if media is not None:
        body["source"] = _reference(media)
        if type in _VIDEO_TYPES and isinstance(media, str) and (found := video_type(media)):
            body["source"]["media_type"] = found
    elif source_id is not None and kind != "extend":
        body["source"] = {"generation_id": source_id}
    return body


def _video(fields: Mapping[str, Any], kind: Kind, source_id: str | None) -> dict[str, Any]:
    """Return the body's `video`."""
    video = _named(fields, _VIDEO_NAMES)
    first, last = fields.get("image"), fields.get("image_end")
    if first is not None:
        video["start_frame"] = _reference(first)
    if last is not None:
        video["end_frame"] = _reference(last)
    if kind == "extend":
        frame = "end_frame" if fields["backward"] else "start_frame"
        video[frame] = {"generation_id": source_id}
    edit = _named(fields, _EDIT_NAMES)
    if keyframes := fields.get("keyframes"):
        place = edit if kind == "edit" else video
        place["keyframes"] = [_reference(image) for image in keyframes.values()]
        place["keyframe_indexes"] = list(keyframes)
    if edit:
        video["edit"] = edit
    position = fields.get("source_position")
    if position is not None:
        video["source_position"] = {
            "x_norm": position.x,
            "y_norm": position.y,
            "w_norm": position.width,
            "h_norm": position.height,
        }
    return video


def _named(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {wire: value for name, wire in names.items() if (value := fields.get(name)) is not None}


def _reference(image: Any) -> dict[str, Any]:
    """Return the object that stands for an image: its URL, its content, or an id at the server."""
    if isinstance(image, FileReference):
        return {"file_id": image.id}
    if isinstance(image, GenerationReference):
        return {"generation_id": image.id}
    if isinstance(image, Image):
        return {"data": Base64(image), "media_type": image.media_type}
    return {"url": image}


def _merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with further fields. Objects are merged with the body's own."""
    merged = dict(body)
    for name, value in extra.items():
        own = merged.get(name)
        if isinstance(own, Mapping) and isinstance(value, Mapping):
            merged[name] = _merged(own, value)
        else:
            merged[name] = value
    return merged


def _asset(item: JSONObject) -> Asset | None:
    url = as_text(item.get("url"))
    if url is None:
        return None
    return Asset.of_checked(
        {
            "url": url,
            "width": None,
            "height": None,
            "duration": None,
            "download_url": None,
            "media_type": as_word(item.get("type")),
            "layer": _layer(as_object(item.get("layer"))),
        }
    )


def _layer(layer: JSONObject) -> Layer | None:
    if not layer:
        return None
    index = as_number(layer.get("index"))
    return Layer.of_checked(
        {
            "index": None if index is None else int(index),
            "label": as_text(layer.get("label")),
            "description": as_text(layer.get("description")),
            "alpha_hint": as_word(layer.get("alpha_hint")),
        }
    )
