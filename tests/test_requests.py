"""Requests are validated before anything is sent, and cannot be changed."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError, field_validator

from luma_async import (
    AgentsDialect,
    EditRequest,
    ExtendRequest,
    GenerateRequest,
    Image,
    InvalidRequestError,
    SourcePosition,
    image_from,
)
from luma_async.request_kinds import REQUESTS
from luma_async.requests import Kind
from tests.media.image_files import an_image, as_data_uri

PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "x"},
        {"prompt": "x" * 6000},
        {"prompt": "ein Kätzchen 🐈 tanzt"},
        *(
            {"aspect_ratio": ratio}
            for ratio in ["1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21"]
        ),
        {"loop": True},
        {"loop": False, "image_end": "https://host/end.png"},
        {"image": "http://host:8080/a.png?b=c", "image_end": PNG},
        {"image": "https://[::1]/a.png"},
        {"notify_hook": "https://me/hook"},
        {"model": "ray-v2", "resolution": "720p", "duration": "5s", "expand_prompt": True},
        {"extra": {"a": [1, None, {"b": "c"}]}},
    ],
    ids=repr,
)
def test_what_is_allowed_is_taken_as_it_is(fields: dict[str, Any]) -> None:
    """Every documented value passes unchanged."""
    request = GenerateRequest.from_mapping({"prompt": "a cat", **fields})

    assert {name: getattr(request, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"prompt": ""}, "prompt", "is empty"),
        ({"prompt": " \n "}, "prompt", "is empty"),
        ({"prompt": "x" * 6001}, "prompt", "6001 characters; at most 6000"),
        ({"prompt": "\ud800"}, "prompt", "lone surrogates"),
        ({"prompt": 7}, "prompt", "string"),
        ({"aspect_ratio": "5:4"}, "aspect_ratio", "1:1, 4:3, 3:4, 16:9, 9:16, 21:9, 9:21, 3:2"),
        ({"loop": True, "image_end": PNG}, "loop", "loop or image_end, not both"),
        ({"image": "ftp://host/cat.png"}, "image", "http(s)://host/"),
        ({"image": "https://"}, "image", "http(s)://host/"),
        ({"image": "https://host:port/"}, "image", "http(s)://host/"),
        ({"image": "https://ho st/"}, "image", "http(s)://host/"),
        ({"image": "data:text/html;base64,AAAA"}, "image", "data:image/...;base64,"),
        ({"image": "data:image/png;base64,"}, "image", "Base64"),
        ({"image_end": "data:image/png;base64,@@@@"}, "image_end", "Base64"),
        ({"notify_hook": "me/hook"}, "notify_hook", "http(s)://host/"),
        ({"duration": 5}, "duration", "string"),
        ({"loop": "yes"}, "loop", "boolean"),
        ({"model": ""}, "model", "at least 1 character"),
        ({"extra": {"a": ...}}, "extra", "JSON"),
        ({"seed": 7}, "seed", "extra={...}"),
    ],
    ids=repr,
)
def test_what_is_not_allowed_is_refused_with_its_field_and_what_is(
    fields: dict[str, Any], field: str, allowed: str
) -> None:
    """The error names the field and what is allowed there."""
    with pytest.raises(InvalidRequestError) as caught:
        GenerateRequest.from_mapping({"prompt": "a cat", **fields})

    assert list(caught.value.fields) == [field]
    assert str(caught.value).startswith(f"{field}: ")
    assert allowed in str(caught.value)


POSITION = {"x": 0, "y": -0.5, "width": 1, "height": 2}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        *(("generate", {"aspect_ratio": ratio}) for ratio in ("3:2", "2:3", "2:1", "1:3")),
        ("generate", {"keyframes": {0: PNG, 240: "https://host/b.png"}}),
        ("generate", {"hdr": True, "exr": True, "concepts": ("dolly_zoom",), "user_id": "u-1"}),
        ("extend", {"backward": True, "image": PNG}),
        ("edit", {"media": "https://host/a.mp4", "strength": "flex_3", "auto_controls": True}),
        ("edit", {"controls": {"pose": {"enabled": True}}, "keyframes": {431: PNG}}),
        ("reframe", {"prompt": "", "source_position": SourcePosition(**POSITION)}),
        ("image", {"references": (PNG, "https://host/a.png"), "format": "png", "style": "manga"}),
        ("edit_image", {"media": PNG, "web_search": False}),
        ("layers", {"prompt": "", "media": PNG, "resolution": "2k"}),
    ],
    ids=repr,
)
def test_the_fields_of_each_kind_are_taken_as_they_are(kind: Kind, fields: dict[str, Any]) -> None:
    """Every documented value passes unchanged, and again from JSON."""
    base = {"prompt": "a cat", **({"aspect_ratio": "1:1"} if kind == "reframe" else {})}

    request = REQUESTS[kind].from_mapping({**base, **fields})

    assert {name: getattr(request, name) for name in fields} == fields
    assert REQUESTS[kind].model_validate_json(request.model_dump_json()) == request
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301
    assert {request: 1}[REQUESTS[kind].of(request)] == 1


@pytest.mark.parametrize(
    ("kind", "fields", "field", "allowed"),
    [
        ("generate", {"keyframes": {}}, "keyframes", "leave it out, or give a keyframe"),
        ("generate", {"keyframes": {-1: PNG}}, "keyframes", "the first is 0"),
        ("generate", {"keyframes": {"last": PNG}}, "keyframes", "integer"),
        ("generate", {"keyframes": {0: "ftp://host/a.png"}}, "keyframes", "http(s)://host/"),
        ("generate", {"keyframes": dict.fromkeys(range(65), PNG)}, "keyframes", "at most 64"),
        ("generate", {"user_id": ""}, "user_id", "at least 1 character"),
        ("generate", {"concepts": [""]}, "concepts", "at least 1 character"),
        ("extend", {"loop": True}, "loop", "is not a field of this request"),
        ("extend", {"keyframes": {0: PNG}}, "keyframes", "is not a field of this request"),
        ("edit", {"strength": "much"}, "strength", "adhere_1, adhere_2, adhere_3, flex_1"),
        ("edit", {"media": "ftp://host/a.mp4"}, "media", "http(s)://host/"),
        ("edit", {"duration": "5s"}, "duration", "is not a field of this request"),
        ("edit", {"controls": {"pose": ...}}, "controls", "JSON"),
        ("reframe", {"aspect_ratio": "7:7"}, "aspect_ratio", "1:1, 4:3, 3:4"),
        ("reframe", {"source_position": {"x": 0}}, "source_position", "required"),
        ("reframe", {"source_position": {**POSITION, "width": 0}}, "source_position", "than 0"),
        ("image", {"references": [7]}, "references", "allowed is a URL"),
        ("image", {"references": PNG}, "references", "must be a list, got a single text"),
        ("generate", {"concepts": "zoom"}, "concepts", "got a single text; pass ['zoom']"),
        ("image", {"format": "gif"}, "format", "allowed: png, jpeg"),
        ("image", {"style": "oil"}, "style", "allowed: auto, manga"),
        ("image", {"prompt": " "}, "prompt", "is empty"),
        ("edit_image", {"prompt": ""}, "prompt", "is empty"),
        ("layers", {"resolution": "4k"}, "resolution", "allowed: 1k, 2k"),
        ("layers", {"prompt": "x" * 6001}, "prompt", "at most 6000"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_each_kind_refuses_what_no_server_takes(
    kind: Kind, fields: dict[str, Any], field: str, allowed: str
) -> None:
    """The error names the field and what is allowed there."""
    base = {"prompt": "a cat", **({"aspect_ratio": "1:1"} if kind == "reframe" else {})}
    with pytest.raises(InvalidRequestError) as caught:
        REQUESTS[kind].from_mapping({**base, **fields})

    assert list(caught.value.fields) == [field]
    assert allowed in str(caught.value)


def test_the_position_of_a_source_refuses_what_no_server_takes() -> None:
    """In Python it is an `InvalidRequestError`, as for requests; in another model it is not."""
    with pytest.raises(InvalidRequestError) as caught:
        SourcePosition(x=0, y="top", width=0, height=1)  # type: ignore[arg-type]

    assert set(caught.value.fields) == {"y", "width"}
    with pytest.raises(ValidationError, match="greater than 0"):
        SourcePosition.model_validate({**POSITION, "width": 0})


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Two bad fields are two problems of one error."""
    with pytest.raises(InvalidRequestError) as caught:
        GenerateRequest("", aspect_ratio="7:7")  # type: ignore[arg-type]

    assert set(caught.value.fields) == {"prompt", "aspect_ratio"}


def test_an_extension_has_no_loop() -> None:
    """`loop` is not a field of `ExtendRequest`."""
    with pytest.raises(InvalidRequestError, match="loop: is not a field"):
        ExtendRequest("on and on", loop=True)  # type: ignore[call-arg]


def test_a_missing_prompt_in_a_mapping_is_an_invalid_request() -> None:
    """Rows of a file may lack anything."""
    with pytest.raises(InvalidRequestError, match="prompt: is required"):
        GenerateRequest.from_mapping({"aspect_ratio": "1:1"})


def test_a_request_can_be_the_beginning_of_another() -> None:
    """`of` sets fields on top of a request, and checks the result."""
    request = GenerateRequest("a cat", aspect_ratio="1:1")

    assert GenerateRequest.of(request) is request
    assert GenerateRequest.of(request, loop=True) == GenerateRequest(
        "a cat", aspect_ratio="1:1", loop=True
    )
    with pytest.raises(InvalidRequestError, match="resolution"):
        GenerateRequest.of(request, resolution="")
    with pytest.raises(InvalidRequestError, match="must be of the class EditRequest, got a Gen"):
        EditRequest.of(request)  # type: ignore[arg-type]


def test_requests_are_values() -> None:
    """They are frozen, hashable, and can be copied and pickled."""
    request = GenerateRequest("a cat", extra={"seed": 7})

    with pytest.raises(ValidationError, match="frozen"):
        request.prompt = "a dog"  # type: ignore[misc]
    assert {request: 1}[GenerateRequest("a cat", extra={"seed": 7})] == 1
    assert copy.deepcopy(request) == pickle.loads(pickle.dumps(request)) == request  # noqa: S301


def test_a_request_shows_what_is_set_and_no_whole_image() -> None:
    """`repr` of a request with a megabyte of Base64 fits on a screen."""
    request = GenerateRequest("a cat", image="data:image/png;base64," + "A" * 2**20)

    assert repr(GenerateRequest("a cat")) == "GenerateRequest(prompt='a cat')"
    assert len(repr(request)) < 300


def test_no_text_about_a_request_has_a_whole_image() -> None:
    """Neither the images in `extra`, nor a value of another field that is not valid."""
    image = "data:image/png;base64," + "A" * 2**20
    body = {"image_ref": [{"data": image}, image]}
    wrong: dict[str, Any]
    assert len(repr(GenerateRequest("a cat", extra=body))) < 900
    assert len(repr(EditRequest("a cat", controls=body))) < 900
    for wrong in ({"aspect_ratio": image}, {"aspect_ratio": image.encode()}, {"concepts": image}):
        with pytest.raises(InvalidRequestError) as caught:
            GenerateRequest.from_mapping({"prompt": "a cat", **wrong})
        assert len(str(caught.value)) < 300
    for wrong in ({"model": image}, {"controls": {image: {}}}, {"controls": {"pose": image}}):
        request = EditRequest.from_mapping({"prompt": "a cat", **wrong})
        with pytest.raises(InvalidRequestError) as caught:
            AgentsDialect().check(request, has_source=True)
        assert len(str(caught.value)) < 300


class Order(BaseModel):
    request: GenerateRequest | ExtendRequest


ADAPTER = TypeAdapter(GenerateRequest)


@pytest.mark.parametrize(
    "validate",
    [
        lambda: GenerateRequest.model_validate({"prompt": ""}),
        lambda: GenerateRequest.model_validate_json('{"prompt": ""}'),
        lambda: GenerateRequest.model_validate_strings({"prompt": ""}),
        lambda: ADAPTER.validate_python({"prompt": ""}),
        lambda: ADAPTER.validate_json('{"prompt": ""}'),
        lambda: ExtendRequest.model_validate({"prompt": ""}),
    ],
)
def test_pydantic_raises_its_own_error(validate: Callable[[], Any]) -> None:
    """Callers of pydantic's methods handle `ValidationError`, with the place of each problem."""
    with pytest.raises(ValidationError) as caught:
        validate()

    assert [problem["loc"] for problem in caught.value.errors()] == [("prompt",)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: GenerateRequest(""),
        lambda: GenerateRequest.of(""),
        lambda: GenerateRequest.from_mapping({"prompt": ""}),
        lambda: ExtendRequest(""),
        lambda: Order(request=GenerateRequest("")),
    ],
)
def test_python_code_gets_an_invalid_request_error(make: Callable[[], Any]) -> None:
    """A request that is made by hand has one kind of error, and it is not pydantic's."""
    with pytest.raises(InvalidRequestError, match=r"^prompt: is empty"):
        make()


def test_a_request_is_a_field_like_others() -> None:
    """A dict, a JSON object and a request are accepted, and a request is not copied."""
    request = GenerateRequest("a cat", loop=True)
    fields = {"prompt": "a cat", "loop": True}

    assert Order(request=request).request is request
    assert Order.model_validate({"request": fields}).request == request
    assert Order.model_validate_json('{"request": {"prompt": "a cat", "loop": true}}') == Order(
        request=request
    )
    assert ADAPTER.validate_python(fields) == request


def test_a_class_of_the_users_is_validated_as_it_is_written() -> None:
    """Its fields, validators and `__init__` are respected, by hand and by pydantic."""

    class Polite(GenerateRequest):
        owner: str = "me"

        def __init__(self, prompt: str, **fields: Any) -> None:
            super().__init__(f"{prompt}, please", **fields)

        @field_validator("owner")
        @classmethod
        def _owner_is_named(cls, owner: str) -> str:
            assert owner, "has no name"
            return owner

    assert Polite("a cat", owner="you").prompt == "a cat, please"
    assert Polite.model_validate({"prompt": "a cat"}).prompt == "a cat, please"
    with pytest.raises(InvalidRequestError, match=r"^owner: .*has no name"):
        Polite("a cat", owner="")


async def test_a_request_survives_json(tmp_path: Path) -> None:
    """Images are texts in JSON: URLs and paths as they are, and bytes as data URIs."""
    png = an_image()
    path = tmp_path / "cat.png"
    path.write_bytes(png)
    images: dict[Any, str] = {
        "https://host/cat.png": "https://host/cat.png",
        path: str(path),
        png: as_data_uri(png),
        as_data_uri(png): as_data_uri(png),
        await image_from(path): as_data_uri(png),
        b"bytes": "data:application/octet-stream;base64,Ynl0ZXM=",
    }

    for image, text in images.items():
        request = GenerateRequest("a cat", image=image, extra={"seed": 7})
        document = request.model_dump(mode="json", exclude_none=True)

        in_python = request.model_dump()["image"]
        assert in_python == (bytes(image) if isinstance(image, Image) else image)
        assert GenerateRequest.model_validate(request.model_dump()).image == in_python
        assert document == {"prompt": "a cat", "image": text, "extra": {"seed": 7}}
        if image != b"bytes":
            again = GenerateRequest.model_validate(document)
            assert again == GenerateRequest.model_validate_json(request.model_dump_json())
            assert again.model_dump(mode="json") == request.model_dump(mode="json")


def test_an_image_that_would_have_to_be_read_is_not_json() -> None:
    """Writing a request reads no file; the error says what to pass."""
    request = GenerateRequest("a cat", image=io.BytesIO(an_image()))

    with pytest.raises(ValueError, match=r"BytesIO cannot be written as JSON; pass bytes"):
        request.model_dump(mode="json")
