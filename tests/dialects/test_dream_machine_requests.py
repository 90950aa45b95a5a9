"""Requests of the Dream Machine dialect, as data: path and body by Luma's contract, and rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from luma_async import (
    ConfigurationError,
    DreamMachineDialect,
    EditImageRequest,
    EditRequest,
    ExtendRequest,
    FileReference,
    GenerateRequest,
    GenerationReference,
    ImageRequest,
    InvalidRequestError,
    JobRequest,
    LayersRequest,
    ReframeRequest,
    SourcePosition,
    UnsupportedError,
)
from tests.contracts.openapi import contract

DIALECT = DreamMachineDialect()
PATH = "/dream-machine/v1/generations"
A, B = "https://h/a.png", "https://h/b.png"
CLIP = "https://h/clip.mp4"
JOB, OTHER = "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174001"
IMAGE_A, IMAGE_B = ({"type": "image", "url": url} for url in (A, B))
OF_JOB, OF_OTHER = ({"type": "generation", "id": id} for id in (JOB, OTHER))
REF = GenerationReference(OTHER)
MODIFY = {"model": "ray-2", "generation_type": "modify_video", "mode": "flex_1"}
WIDE = {"model": "ray-2", "generation_type": "reframe_video", "aspect_ratio": "16:9"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return the contract, in which objects have no fields but those that it names."""
    found = contract("dream-machine")
    for schema in _objects(found["components"]["schemas"]):
        schema["additionalProperties"] = False
    return found


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            yield schema
        for value in schema.values():
            yield from _objects(value)


@pytest.mark.parametrize(
    ("request_", "source", "path", "body"),
    [
        (GenerateRequest("a cat"), None, "/video", {"model": "ray-2"}),
        (GenerateRequest("a cat", model="ray-flash-2"), None, "/video", {"model": "ray-flash-2"}),
        (
            GenerateRequest(
                "a cat",
                aspect_ratio="9:21",
                resolution="4k",
                duration="9s",
                loop=True,
                concepts=["dolly_zoom", "pan_left"],
                notify_hook="https://h/hook",
            ),
            None,
            "/video",
            {
                "model": "ray-2",
                "aspect_ratio": "9:21",
                "resolution": "4k",
                "duration": "9s",
                "loop": True,
                "concepts": [{"key": "dolly_zoom"}, {"key": "pan_left"}],
                "callback_url": "https://h/hook",
            },
        ),
        (
            GenerateRequest("a cat", image=A, loop=True),
            None,
            "/video",
            {"model": "ray-2", "loop": True, "keyframes": {"frame0": IMAGE_A}},
        ),
        (
            GenerateRequest("a cat", image_end=B),
            None,
            "/video",
            {"model": "ray-2", "keyframes": {"frame1": IMAGE_B}},
        ),
        (
            GenerateRequest("a cat", image=A, image_end=B),
            None,
            "/video",
            {"model": "ray-2", "keyframes": {"frame0": IMAGE_A, "frame1": IMAGE_B}},
        ),
        (
            GenerateRequest(
                "a cat", image=GenerationReference(JOB), image_end=GenerationReference(OTHER)
            ),
            None,
            "/video",
            {"model": "ray-2", "keyframes": {"frame0": OF_JOB, "frame1": OF_OTHER}},
        ),
        (
            GenerateRequest("a cat", image=A, image_end=GenerationReference(JOB)),
            None,
            "/video",
            {"model": "ray-2", "keyframes": {"frame0": IMAGE_A, "frame1": OF_JOB}},
        ),
        (
            ExtendRequest("a cat"),
            JOB,
            "/video",
            {"model": "ray-2", "keyframes": {"frame0": OF_JOB}},
        ),
        (
            ExtendRequest("a cat", backward=True),
            JOB,
            "/video",
            {"model": "ray-2", "keyframes": {"frame1": OF_JOB}},
        ),
        (
            ExtendRequest("a cat", image_end=B),
            JOB,
            "/video",
            {"model": "ray-2", "keyframes": {"frame0": OF_JOB, "frame1": IMAGE_B}},
        ),
        (
            ExtendRequest("a cat", image_end=GenerationReference(OTHER)),
            JOB,
            "/video",
            {"model": "ray-2", "keyframes": {"frame0": OF_JOB, "frame1": OF_OTHER}},
        ),
        (
            ExtendRequest("a cat", image=A, backward=True),
            JOB,
            "/video",
            {"model": "ray-2", "keyframes": {"frame0": IMAGE_A, "frame1": OF_JOB}},
        ),
        (
            EditRequest("a cat", media=CLIP, strength="flex_1"),
            None,
            "/video/modify",
            {**MODIFY, "media": {"url": CLIP}},
        ),
        (
            EditRequest(
                "a cat",
                media=CLIP,
                strength="reimagine_3",
                image=A,
                model="ray-flash-2",
                notify_hook="https://h/hook",
            ),
            None,
            "/video/modify",
            {
                **MODIFY,
                "media": {"url": CLIP},
                "model": "ray-flash-2",
                "mode": "reimagine_3",
                "first_frame": {"url": A},
                "callback_url": "https://h/hook",
            },
        ),
        (
            ReframeRequest("16:9", "a cat", media=CLIP),
            None,
            "/video/reframe",
            {**WIDE, "media": {"url": CLIP}},
        ),
        (
            ReframeRequest("16:9", "a cat", media=A, model="photon-flash-1"),
            None,
            "/image/reframe",
            {
                **WIDE,
                "media": {"url": A},
                "generation_type": "reframe_image",
                "model": "photon-flash-1",
            },
        ),
        (
            ReframeRequest("16:9", "a cat", media=CLIP, extra={"x_start": 0, "x_end": 640}),
            None,
            "/video/reframe",
            {**WIDE, "media": {"url": CLIP}, "x_start": 0, "x_end": 640},
        ),
        (
            ImageRequest("a cat"),
            None,
            "/image",
            {"model": "photon-1", "generation_type": "image"},
        ),
        (
            ImageRequest(
                "a cat",
                references=[A, B],
                aspect_ratio="1:1",
                format="jpeg",
                model="photon-flash-1",
                extra={"sync": True},
            ),
            None,
            "/image",
            {
                "model": "photon-flash-1",
                "generation_type": "image",
                "aspect_ratio": "1:1",
                "format": "jpg",
                "image_ref": [{"url": A}, {"url": B}],
                "sync": True,
            },
        ),
        (
            EditImageRequest("a cat", media=A, references=[B], format="png"),
            None,
            "/image",
            {
                "model": "photon-1",
                "generation_type": "image",
                "format": "png",
                "image_ref": [{"url": B}],
                "modify_image_ref": {"url": A},
            },
        ),
    ],
    ids=repr,
)
def test_requests_become_bodies_of_the_contract(
    request_: JobRequest,
    source: str | None,
    path: str,
    body: dict[str, Any],
    document: dict[str, Any],
) -> None:
    """A request passes the rules, and its body has the fields of the contract and no others."""
    DIALECT.check(request_, has_source=source is not None)

    call = DIALECT.submission(request_, source)

    sent = json.loads(bytes(call.body or b""))
    assert (call.method, call.path, call.submits) == ("POST", f"{PATH}{path}", True)
    assert sent == {"prompt": "a cat", **body}
    schema = document["paths"][call.path]["post"]["requestBody"]["content"]["application/json"]
    whole = {**schema["schema"], "components": document["components"]}
    jsonschema_rs.validate(whole, sent)


def test_a_reframe_without_a_prompt_sends_none() -> None:
    """The prompt of a reframe is optional."""
    request = ReframeRequest("9:16", media=CLIP)

    DIALECT.check(request, has_source=False)

    assert "prompt" not in json.loads(bytes(DIALECT.submission(request, None).body or b""))


def test_further_fields_override_those_of_the_request() -> None:
    """`extra` reaches fields and models that only a gateway has."""
    request = GenerateRequest("a cat", extra={"model": "ray-9", "seed": 7})

    DIALECT.check(request, has_source=False)

    sent = json.loads(bytes(DIALECT.submission(request, None).body or b""))
    assert sent == {"prompt": "a cat", "model": "ray-9", "seed": 7}


GENERATE, EDIT = {"prompt": "a cat"}, {"prompt": "a cat", "media": CLIP, "strength": "flex_1"}
REFRAME, IMAGE = {"aspect_ratio": "9:16", "media": CLIP}, {"prompt": "a cat", "media": A}


@pytest.mark.parametrize(
    ("kind", "fields", "problems"),
    [
        (GenerateRequest, {"prompt": "ab"}, {"prompt": "needs 3"}),
        (GenerateRequest, {"prompt": "x" * 5001}, {"prompt": "allows 5000"}),
        (GenerateRequest, {"aspect_ratio": "2:1"}, {"aspect_ratio": "allowed: 1:1, 3:4"}),
        (
            GenerateRequest,
            {"model": "ray-1-6"},
            {"model": "no longer offered; allowed: ray-2"},
        ),
        (GenerateRequest, {"model": "photon-1"}, {"model": "allowed: ray-2, ray-flash-2"}),
        (GenerateRequest, {"image": b"\x89PNG"}, {"image": "must be an http(s) URL"}),
        (GenerateRequest, {"image_end": "a.png"}, {"image_end": "must be an http(s) URL"}),
        (GenerateRequest, {"image": "data:image/png;base64,AAAA"}, {"image": "http(s) URL"}),
        (GenerateRequest, {"image": FileReference("f")}, {"image": "http(s) URL"}),
        (ExtendRequest, {"image": A}, {"image": "the first frame is that of the source"}),
        (
            ExtendRequest,
            {"image_end": A, "backward": True},
            {"image_end": "the last frame is that of the source"},
        ),
        (ExtendRequest, {"prompt": "ab", "model": "x"}, {"prompt": "needs 3", "model": "allowed"}),
        (EditRequest, {"strength": None}, {"strength": "is required"}),
        (EditRequest, {"prompt": "ab"}, {"prompt": "needs 3"}),
        (EditRequest, {"media": b"clip"}, {"media": "http(s) URL"}),
        (EditRequest, {"image": "a.png"}, {"image": "http(s) URL"}),
        (ReframeRequest, {"prompt": "ab"}, {"prompt": "needs 3"}),
        (ReframeRequest, {"aspect_ratio": "3:1"}, {"aspect_ratio": "allowed: 1:1"}),
        (ReframeRequest, {"model": "uni-1"}, {"model": "ray-2, ray-flash-2, photon-1"}),
        (ImageRequest, {"model": "ray-2"}, {"model": "photon-1, photon-flash-1"}),
        (ImageRequest, {"references": [A] * 5}, {"references": "has 5 images"}),
        (ImageRequest, {"references": [A, b"B"]}, {"references[1]": "http(s) URL"}),
        (EditImageRequest, {"media": b"A"}, {"media": "http(s) URL"}),
        (
            GenerateRequest,
            {"prompt": "x" * 5001, "aspect_ratio": "3:2", "model": "y", "image": b"z"},
            {"prompt": "5000", "aspect_ratio": "9:21", "model": "ray-2", "image": "URL"},
        ),
    ],
    ids=repr,
)
def test_the_rules_are_checked_before_anything_is_sent(
    kind: type[JobRequest], fields: dict[str, Any], problems: dict[str, str]
) -> None:
    """All problems of a request are in one error, by the names of our fields."""
    request = _request(kind, fields)

    with pytest.raises(InvalidRequestError) as caught:
        DIALECT.check(request, has_source=kind is ExtendRequest)

    assert not isinstance(caught.value, UnsupportedError)
    assert caught.value.fields.keys() == problems.keys()
    for name, problem in problems.items():
        assert problem in caught.value.fields[name]


@pytest.mark.parametrize(
    ("kind", "fields", "advice"),
    [
        (GenerateRequest, {"keyframes": {0: A}}, "pass image and image_end"),
        (GenerateRequest, {"hdr": True}, "the agents dialect"),
        (GenerateRequest, {"hdr": True, "exr": True}, "the agents dialect"),
        (GenerateRequest, {"user_id": "u-1"}, "metadata"),
        (GenerateRequest, {"expand_prompt": True}, "leave it out"),
        (ExtendRequest, {"hdr": True}, "the agents dialect"),
        (EditRequest, {"auto_controls": True}, "strength"),
        (EditRequest, {"controls": {"pose": {}}}, "strength"),
        (EditRequest, {"keyframes": {0: A}}, "pass the first frame as image"),
        (EditRequest, {"resolution": "720p"}, "that of the source"),
        (EditRequest, {"hdr": True}, "the agents dialect"),
        (ReframeRequest, {"resolution": "720p"}, "that of the source"),
        (
            ReframeRequest,
            {"source_position": SourcePosition(x=0, y=0, width=1, height=1)},
            "x_start, x_end, y_start and y_end in extra",
        ),
        (ImageRequest, {"style": "manga"}, "describe the style in the prompt"),
        (ImageRequest, {"web_search": True}, "the agents dialect"),
        (LayersRequest, {}, "the agents dialect"),
    ],
    ids=repr,
)
def test_fields_of_other_apis_are_refused_with_advice(
    kind: type[JobRequest], fields: dict[str, Any], advice: str
) -> None:
    """The error names the dialect and what to do instead, for a field as for a kind of job."""
    request = _request(kind, fields)

    with pytest.raises(UnsupportedError, match="the dream-machine dialect does not") as caught:
        DIALECT.check(request, has_source=kind is ExtendRequest)

    assert advice in str(caught.value)
    assert set(caught.value.fields) == (set(fields) or {"layers"})


def _request(kind: type[JobRequest], fields: dict[str, Any]) -> JobRequest:
    """Return a request that is valid but for some fields."""
    valid = {EditRequest: EDIT, ReframeRequest: REFRAME, EditImageRequest: IMAGE}
    start: dict[str, Any] = valid.get(kind, GENERATE)
    if kind is LayersRequest:
        start = {"media": A}
    return kind.from_mapping({**start, **fields})


@pytest.mark.parametrize(
    ("request_", "source", "places"),
    [
        (EditRequest("a cat"), JOB, {"media": JOB}),
        (ReframeRequest("9:16"), JOB, {"media": JOB}),
        (EditImageRequest("a cat"), JOB, {"media": JOB}),
        (EditRequest("a cat", media=CLIP), None, {}),
        (EditRequest("a cat", media=REF), None, {"media": OTHER}),
        (
            EditRequest("a cat", image=GenerationReference(OTHER)),
            JOB,
            {"media": JOB, "image": OTHER},
        ),
        (
            ImageRequest("a cat", references=[A, GenerationReference(JOB)]),
            None,
            {"references[1]": JOB},
        ),
        (GenerateRequest("a cat", image=REF), None, {}),
        (ExtendRequest("a cat", image_end=REF), JOB, {}),
    ],
    ids=repr,
)
def test_only_frames_of_new_videos_are_ids_of_jobs(
    request_: JobRequest, source: str | None, places: dict[str, str]
) -> None:
    """Elsewhere the API takes a URL, so that the client has to look up the link of the output."""
    assert DIALECT.linked_outputs(request_, source) == places


def test_a_gateway_may_have_the_earlier_path() -> None:
    """`video_path` is for gateways that offer `POST /generations` only."""
    dialect = DreamMachineDialect(video_path="/generations")

    assert dialect.submission(GenerateRequest("a cat"), None).path == PATH
    assert dialect.submission(ExtendRequest("a cat"), JOB).path == PATH
    assert dialect.submission(ImageRequest("a cat"), None).path == f"{PATH}/image"
    assert "video_path" in (DIALECT.submission(GenerateRequest("a cat"), None).missing or "")
    with pytest.raises(ConfigurationError, match="video_path must look like"):
        DreamMachineDialect(video_path="generations")


def test_a_look_reads_one_job() -> None:
    """There is no call for many jobs and none for a link, and both errors say so."""
    assert str(DIALECT.get("a/b")) == f"GET {PATH}/a%2Fb"
    assert DIALECT.get("a").looks
    assert not DIALECT.supports_batch
    with pytest.raises(UnsupportedError, match="one by one"):
        DIALECT.get_many(["a", "b"])
    with pytest.raises(UnsupportedError, match="no watermark"):
        DIALECT.watermark_free_url("a")
