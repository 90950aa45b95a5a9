"""Calls of the Agents API as data: method, path and body."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from luma_async import AgentsDialect, InvalidRequestError, UnsupportedError
from luma_async.image_sources import FileReference, GenerationReference, Image
from luma_async.request_kinds import REQUESTS
from luma_async.requests import Kind

DIALECT = AgentsDialect()
URL = "https://host/a.png"
PNG = Image(memoryview(b"a png"), "image/png", "digest")
DATA = {"data": base64.b64encode(b"a png").decode(), "media_type": "image/png"}
MP4 = {"url": "https://host/a.MP4?token=1", "media_type": "video/mp4"}


def body_of(kind: Kind, source_id: str | None, **fields: Any) -> dict[str, Any]:
    request = REQUESTS[kind].from_mapping({"prompt": "a cat", **fields})
    call = DIALECT.submission(request, source_id)
    assert (call.method, call.path, call.submits) == ("POST", "/v1/generations", True)
    body: dict[str, Any] = json.loads(bytes(call.body or b""))
    assert body.pop("prompt") == "a cat"
    return body


VIDEO = {"type": "video", "model": "ray-3.2"}
EDIT = {"type": "video_edit", "model": "ray-3.2"}
REFRAME = {"type": "video_reframe", "model": "ray-3.2", "aspect_ratio": "9:16"}
SOURCE = {"source": {"generation_id": "job-1"}}
JOB = {"generation_id": "job-1"}


@pytest.mark.parametrize(
    ("kind", "source_id", "fields", "body"),
    [
        ("generate", None, {}, VIDEO),
        ("generate", None, {"model": "ray-4"}, {**VIDEO, "model": "ray-4"}),
        (
            "generate",
            None,
            {"aspect_ratio": "16:9", "user_id": "u-1", "expand_prompt": False},
            {**VIDEO, "aspect_ratio": "16:9", "user_id": "u-1"},
        ),
        (
            "generate",
            None,
            {"resolution": "1080p", "duration": "5s", "loop": False, "hdr": True, "exr": True},
            {
                **VIDEO,
                "video": {
                    "resolution": "1080p",
                    "duration": "5s",
                    "loop": False,
                    "hdr": True,
                    "exr_export": True,
                },
            },
        ),
        ("generate", None, {"image": URL}, {**VIDEO, "video": {"start_frame": {"url": URL}}}),
        (
            "generate",
            None,
            {"image": PNG, "image_end": FileReference("f-1")},
            {**VIDEO, "video": {"start_frame": DATA, "end_frame": {"file_id": "f-1"}}},
        ),
        (
            "generate",
            None,
            {"keyframes": {60: GenerationReference("g-1"), "0": PNG}},
            {
                **VIDEO,
                "video": {
                    "keyframes": [DATA, {"generation_id": "g-1"}],
                    "keyframe_indexes": [0, 60],
                },
            },
        ),
        ("extend", "job-1", {}, {**VIDEO, "video": {"start_frame": JOB}}),
        (
            "extend",
            "job-1",
            {"image_end": URL},
            {**VIDEO, "video": {"start_frame": JOB, "end_frame": {"url": URL}}},
        ),
        ("extend", "job-1", {"backward": True}, {**VIDEO, "video": {"end_frame": JOB}}),
        (
            "extend",
            "job-1",
            {"backward": True, "image": PNG},
            {**VIDEO, "video": {"start_frame": DATA, "end_frame": JOB}},
        ),
        ("edit", "job-1", {}, {**EDIT, **SOURCE}),
        ("edit", None, {"media": "https://host/a.MP4?token=1"}, {**EDIT, "source": MP4}),
        (
            "edit",
            None,
            {"media": "https://host/v", "extra": {"source": {"media_type": "video/webm"}}},
            {**EDIT, "source": {"url": "https://host/v", "media_type": "video/webm"}},
        ),
        (
            "edit",
            "job-1",
            {
                "strength": "flex_2",
                "auto_controls": False,
                "controls": {"pose": {"enabled": True}},
                "keyframes": {300: PNG},
                "resolution": "720p",
            },
            {
                **EDIT,
                **SOURCE,
                "video": {
                    "resolution": "720p",
                    "edit": {
                        "strength": "flex_2",
                        "auto_controls": False,
                        "controls": {"pose": {"enabled": True}},
                        "keyframes": [DATA],
                        "keyframe_indexes": [300],
                    },
                },
            },
        ),
        (
            "edit",
            "job-1",
            {"image": URL},
            {**EDIT, **SOURCE, "video": {"start_frame": {"url": URL}}},
        ),
        ("reframe", "job-1", {"aspect_ratio": "9:16"}, {**REFRAME, **SOURCE}),
        (
            "reframe",
            None,
            {
                "aspect_ratio": "9:16",
                "media": FileReference("f-1"),
                "source_position": {"x": 0, "y": -0.5, "width": 1, "height": 2},
                "resolution": "540p",
            },
            {
                **REFRAME,
                "source": {"file_id": "f-1"},
                "video": {
                    "resolution": "540p",
                    "source_position": {"x_norm": 0, "y_norm": -0.5, "w_norm": 1, "h_norm": 2},
                },
            },
        ),
        ("image", None, {}, {"type": "image"}),
        (
            "image",
            None,
            {
                "references": [URL, PNG],
                "aspect_ratio": "3:1",
                "format": "jpeg",
                "style": "manga",
                "web_search": True,
                "model": "uni-1-max",
            },
            {
                "type": "image",
                "model": "uni-1-max",
                "aspect_ratio": "3:1",
                "output_format": "jpeg",
                "style": "manga",
                "web_search": True,
                "image_ref": [{"url": URL}, DATA],
            },
        ),
        ("edit_image", "job-1", {}, {"type": "image_edit", **SOURCE}),
        (
            "edit_image",
            None,
            {"media": URL, "references": [PNG]},
            {"type": "image_edit", "source": {"url": URL}, "image_ref": [DATA]},
        ),
        (
            "layers",
            None,
            {"media": PNG, "resolution": "2k"},
            {"type": "layering", "source": DATA, "layering": {"resolution": "2k"}},
        ),
    ],
    ids=repr,
)
def test_each_kind_has_its_body(
    kind: Kind, source_id: str | None, fields: dict[str, Any], body: dict[str, Any]
) -> None:
    """Fields that are set are sent in their places, and no others. Videos are made by `ray-3.2`."""
    assert body_of(kind, source_id, **fields) == body


def test_further_fields_are_merged_into_the_objects_of_the_body() -> None:
    """`extra` adds to `video` and `source`, and replaces other values, lists among them."""
    extra = {"video": {"seed": 7, "edit": {"strength": "new"}}, "model": "next", "tags": ["a"]}
    fields = {"resolution": "720p", "strength": "flex_1", "auto_controls": True}

    assert body_of("edit", "job-1", **fields, extra=extra) == {
        **EDIT,
        **SOURCE,
        "model": "next",
        "tags": ["a"],
        "video": {
            "resolution": "720p",
            "seed": 7,
            "edit": {"strength": "new", "auto_controls": True},
        },
    }


def test_jobs_are_polled_one_by_one() -> None:
    """The id is escaped. There is no call for many jobs, and none for links without a watermark."""
    call = DIALECT.get("a/b")

    assert (str(call), call.looks, call.submits) == ("GET /v1/generations/a%2Fb", True, False)
    assert not DIALECT.supports_batch
    with pytest.raises(UnsupportedError, match=r"the agents dialect .* one by one with get"):
        DIALECT.get_many(["a"])
    with pytest.raises(UnsupportedError, match=r"the agents dialect .* have no watermark"):
        DIALECT.watermark_free_url("a")
    with pytest.raises(InvalidRequestError, match="id: "):
        DIALECT.get("..")
