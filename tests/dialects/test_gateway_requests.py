"""What the gateway dialect sends: method, path and body, as data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luma_async import (
    EditRequest,
    ExtendRequest,
    FileReference,
    GatewayDialect,
    GenerateRequest,
    GenerationReference,
    ImageRequest,
    InvalidRequestError,
    JobRequest,
    LayersRequest,
    ReframeRequest,
    UnsupportedError,
)

DIALECT = GatewayDialect()


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({}, {}),
        ({"expand_prompt": False}, {"expand_prompt": False}),
        ({"image": "https://h/a.png"}, {"image_url": "https://h/a.png"}),
        ({"image_end": "https://h/b.png"}, {"image_end_url": "https://h/b.png"}),
        ({"notify_hook": "https://h/hook"}, {"notify_hook": "https://h/hook"}),
        ({"aspect_ratio": "9:21"}, {"aspect_ratio": "9:21"}),
        ({"resolution": "720p"}, {"resolution": "720p"}),
        ({"duration": "5s"}, {"duration": "5s"}),
        ({"model": "ray-v2"}, {"model_name": "ray-v2"}),
        ({"extra": {"seed": 7, "nothing": None}}, {"seed": 7, "nothing": None}),
        ({"model": "ray-v1", "extra": {"model_name": "ray-v9"}}, {"model_name": "ray-v9"}),
    ],
    ids=repr,
)
def test_each_field_has_its_name_on_the_wire(fields: dict[str, Any], body: dict[str, Any]) -> None:
    """What is set is sent under the server's name, what is not set is left out."""
    generate = DIALECT.submission(GenerateRequest("a cat", **fields), None)
    extend = DIALECT.submission(ExtendRequest("a cat", **fields), "job-1")

    assert (generate.method, generate.path) == ("POST", "/luma/generations")
    assert (extend.method, extend.path) == ("POST", "/luma/generations/job-1/extend")
    for call in (generate, extend):
        assert call.submits
        assert json.loads(bytes(call.body or b"")) == {"user_prompt": "a cat", **body}


def test_loop_is_sent_with_generate() -> None:
    """`loop` is a field of generate alone."""
    call = DIALECT.submission(GenerateRequest("a cat", loop=True), None)

    assert json.loads(bytes(call.body or b"")) == {"user_prompt": "a cat", "loop": True}


def test_the_reading_calls() -> None:
    """Looks and links only read, whatever their verb."""
    one, many, link = (
        DIALECT.get("a"),
        DIALECT.get_many(["a", "b"]),
        DIALECT.watermark_free_url("a"),
    )

    assert [str(call) for call in (one, many, link)] == [
        "GET /luma/generations/a",
        "POST /luma/tasks",
        "GET /luma/generations/a/download_video_url",
    ]
    assert json.loads(bytes(many.body or b"")) == {"ids": ["a", "b"]}
    assert not any(call.submits for call in (one, many, link))


@pytest.mark.parametrize(
    ("id", "path"),
    [
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        ("../x", "..%2Fx"),
        ("100%", "100%25"),
        ("ä b\n", "%C3%A4%20b%0A"),
    ],
)
def test_ids_are_escaped(id: str, path: str) -> None:
    """No id reaches another path than its own."""
    assert DIALECT.get(id).path == f"/luma/generations/{path}"


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_ids_that_no_path_can_hold_are_refused(id: str) -> None:
    """An empty id would ask for the list, dots for the folder above."""
    with pytest.raises(InvalidRequestError, match="id: "):
        DIALECT.get(id)


@pytest.mark.parametrize(
    ("fields", "place", "problem"),
    [
        ({"prompt": "x" * 5001}, "prompt", "5001 characters; the gateway dialect allows 5000"),
        ({"aspect_ratio": "2:1"}, "aspect_ratio", "'2:1' is not valid here; allowed: 1:1, 4:3"),
        ({"image": FileReference("f-1")}, "image", "must be a URL or a file"),
        ({"image_end": GenerationReference("j-1")}, "image_end", "must be a URL or a file"),
    ],
    ids=repr,
)
def test_the_limits_of_gateways_are_checked_before_anything_is_sent(
    fields: dict[str, Any], place: str, problem: str
) -> None:
    """Other servers allow more, so these are rules of the dialect and not of the request."""
    request = GenerateRequest.from_mapping({"prompt": "a cat", **fields})

    with pytest.raises(InvalidRequestError) as caught:
        DIALECT.check(request, has_source=False)

    assert problem in caught.value.fields[place]


@pytest.mark.parametrize(
    "fields",
    [
        {"keyframes": {0: "https://h/a.png"}},
        {"hdr": True},
        {"exr": True},
        {"concepts": ["dolly_zoom"]},
        {"user_id": "u-1"},
    ],
    ids=repr,
)
def test_fields_of_other_apis_are_refused_with_advice(fields: dict[str, Any]) -> None:
    """A field that gateways would ignore is an error, because the job would be paid for."""
    with pytest.raises(UnsupportedError, match=r"use the (agents|dream-machine) ") as caught:
        DIALECT.check(GenerateRequest("a cat", **fields), has_source=False)

    assert set(caught.value.fields) == set(fields)


def test_fields_that_are_switched_off_are_allowed() -> None:
    """`hdr=False` asks for nothing that gateways do not have, and is not sent."""
    request = GenerateRequest("a cat", hdr=False, exr=False, loop=False)

    DIALECT.check(request, has_source=False)

    assert json.loads(bytes(DIALECT.submission(request, None).body or b"")) == {
        "user_prompt": "a cat",
        "loop": False,
    }


@pytest.mark.parametrize(
    ("request_", "dialects"),
    [
        (EditRequest("rain"), "the agents or the dream-machine dialect"),
        (ReframeRequest("9:16"), "the agents or the dream-machine dialect"),
        (ImageRequest("a cat"), "the agents or the dream-machine dialect"),
        (LayersRequest("a cat"), "the agents dialect"),
    ],
    ids=repr,
)
def test_kinds_of_jobs_that_gateways_do_not_have_are_refused(
    request_: JobRequest, dialects: str
) -> None:
    """The error names the dialects that have them."""
    with pytest.raises(UnsupportedError, match="the gateway dialect does not offer it") as caught:
        DIALECT.check(request_, has_source=True)

    assert str(caught.value).endswith(f"; use {dialects}")
