"""Fields are documented in help, signatures and JSON schemas, in the same words."""

from __future__ import annotations

import inspect
import json
import pydoc
from collections.abc import Callable
from typing import Any, TypedDict, Unpack

import pytest
from pydantic import BaseModel, Field, ValidationError
from pydantic.json_schema import JsonSchemaMode

from luma_async import (
    Asset,
    EditImageRequest,
    EditRequest,
    ExtendRequest,
    GenerateRequest,
    Generation,
    ImageRequest,
    Layer,
    LayersRequest,
    LumaClient,
    ReframeRequest,
)
from luma_async.field_docs import with_field_docs, with_fields_of
from luma_async.request_kinds import REQUESTS as KINDS
from luma_async.requests import JobRequest
from tests.docstrings import problems

VIDEO_REQUESTS = [GenerateRequest, ExtendRequest]
REQUESTS = list(KINDS.values())
MODELS = [*REQUESTS, Generation, Asset, Layer]
METHODS = [
    (LumaClient.generate, GenerateRequest),
    (LumaClient.extend, ExtendRequest),
    (LumaClient.edit, EditRequest),
    (LumaClient.reframe, ReframeRequest),
    (LumaClient.generate_image, ImageRequest),
    (LumaClient.edit_image, EditImageRequest),
    (LumaClient.extract_layers, LayersRequest),
]

models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
requests = pytest.mark.parametrize("model", REQUESTS, ids=lambda model: model.__name__)
videos = pytest.mark.parametrize("model", VIDEO_REQUESTS, ids=lambda model: model.__name__)
methods = pytest.mark.parametrize(
    ("method", "model"), METHODS, ids=[method.__name__ for method, _ in METHODS]
)


def words(text: str) -> str:
    return " ".join(text.split()).lower()


@models
def test_every_field_is_described_in_the_schema(model: type[BaseModel]) -> None:
    """The description is a plain sentence, and the same for bodies and for responses."""
    modes: tuple[JsonSchemaMode, ...] = ("validation", "serialization")
    for mode in modes:
        schema = model.model_json_schema(mode=mode)
        for name, field in schema["properties"].items():
            assert field["description"] == model.model_fields[name].description, name
            assert field["description"].endswith("."), name
            assert problems(field["description"]) == [], name


@models
def test_help_has_every_field_with_its_description(model: type[BaseModel]) -> None:
    """`help(model)` prints the words of the schema, before the section of errors."""
    text = words(pydoc.plain(pydoc.render_doc(model)).replace("|", ""))

    for name, field in model.model_fields.items():
        assert words(f"{name}: {field.description}") in text
    lines = (model.__doc__ or "").splitlines()
    sections = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert sections in (["Args:", "Raises:"], ["Attributes:"])


@requests
def test_the_signature_of_a_request_has_its_fields(model: type[BaseModel]) -> None:
    """Each has its type and its default; only what a request is about has a place."""
    places = ["aspect_ratio", "prompt"] if model is ReframeRequest else ["prompt"]
    for callable in (model, model.__init__):
        parameters = dict(inspect.signature(callable).parameters)
        parameters.pop("self", None)

        assert set(parameters) == set(model.model_fields)
        assert list(parameters)[: len(places)] == places
        assert parameters["prompt"].annotation is str
        assert "16:9" in str(parameters.get("aspect_ratio") or "16:9")
        assert "PathLike" in str(parameters.get("image") or parameters.get("media") or "PathLike")
        assert "Validator" not in str(inspect.signature(callable))
        for name, parameter in parameters.items():
            if name in places:
                assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            else:
                assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
                assert parameter.default == model.model_fields[name].default


@methods
def test_the_help_of_a_method_has_the_fields(
    method: Callable[..., Any], model: type[BaseModel]
) -> None:
    """`help(luma.generate)` shows each field in its signature and among its arguments.

    The file that a request has for itself is the source of the call.
    """
    text = words(inspect.getdoc(method) or "")
    parameters = inspect.signature(method).parameters

    for name, field in model.model_fields.items():
        assert (name in parameters) is (name != "media")
        if name == "media":
            assert "source" in parameters
            continue
        own = name == "prompt" or parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY
        assert own or words(f"{name}: {field.description}") in text
    assert "fields:" not in text
    assert not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())


@videos
def test_a_schema_says_what_is_allowed(model: type[BaseModel]) -> None:
    """Limits, choices and the forms of URLs; an image is a text in JSON."""
    schema = model.model_json_schema()
    fields = schema["properties"]

    assert schema["required"] == ["prompt"]
    assert schema["additionalProperties"] is False
    assert schema["examples"] == [{"prompt": "a cat dances", "aspect_ratio": "16:9"}]
    assert ">>>" not in schema["description"]
    assert "Args:" not in schema["description"]
    assert "InvalidRequestError" not in schema["description"]
    assert (fields["prompt"]["minLength"], fields["prompt"]["maxLength"]) == (1, 6000)
    assert "9:21" in fields["aspect_ratio"]["anyOf"][0]["enum"]
    for name in ("image", "image_end", "notify_hook"):
        assert fields[name]["anyOf"] == [{"type": "string", "format": "uri"}, {"type": "null"}]
    model.model_validate(schema["examples"][0])
    for name, field in fields.items():
        for example in field.get("examples", ()):
            model.model_validate({"prompt": "a cat", name: example})


@requests
def test_the_example_of_a_schema_is_a_request(model: type[JobRequest]) -> None:
    """Web pages that try an API begin with it. It has what is required, and nothing more."""
    schema = model.model_json_schema()

    (example,) = schema["examples"]
    model.model_validate(example)
    assert set(schema.get("required", ())) <= set(example)
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        for each in field.get("examples", ()):
            model.model_validate({**example, name: each})


def test_the_schema_of_keyframes_has_their_numbers() -> None:
    """In JSON they are names, and a name that is not a number is refused."""
    keyframes = GenerateRequest.model_json_schema()["properties"]["keyframes"]["anyOf"][0]

    assert keyframes["maxProperties"] == 64
    assert keyframes["propertyNames"] == {"pattern": "^[0-9]+$"}
    body = {"prompt": "a cat", "keyframes": {"48": "https://h/b.png", "0": "https://h/a.png"}}
    request = GenerateRequest.model_validate_json(json.dumps(body))
    assert request.keyframes == {0: "https://h/a.png", 48: "https://h/b.png"}
    assert json.loads(request.model_dump_json(exclude_none=True))["keyframes"] == body["keyframes"]
    with pytest.raises(ValidationError, match="keyframes"):
        GenerateRequest.model_validate({**body, "keyframes": {"last": "https://h/b.png"}})


def test_a_class_of_the_users_keeps_its_own_words() -> None:
    """Neither its docstring nor its description is changed, and its field is in its schema."""

    class Mine(GenerateRequest):
        """Request of a user.

        It has an owner.
        """

        owner: str = "me"

    assert inspect.getdoc(Mine) == "Request of a user.\n\nIt has an owner."
    assert Mine.model_json_schema()["description"] == inspect.getdoc(Mine)
    assert Mine.model_json_schema()["properties"]["owner"]["type"] == "string"
    assert Mine.model_validate({"prompt": "a cat", "owner": "you"}).owner == "you"


class Keywords(TypedDict, total=False):
    width: int
    url: str


class Frame(BaseModel):
    width: int = Field(default=1, description="Width of the frame.")
    url: str = Field(default="", description="URL of the frame.")


def test_without_docstrings_there_is_nothing_to_add_to() -> None:
    """`python -OO` removes docstrings; signatures and schemas have the fields all the same."""

    class Bare(Frame):
        pass

    def function(**fields: Unpack[Keywords]) -> None:
        pass

    Bare.__doc__ = None

    assert with_field_docs("Args")(Bare).__doc__ is None
    assert with_fields_of(Frame, Keywords)(function).__doc__ is None
    assert str(inspect.signature(function)) == "(*, width: int = 1, url: str = '') -> None"


def test_the_fields_replace_their_line_of_a_docstring() -> None:
    """With its indentation; a description that begins with an acronym keeps its capitals."""

    def function(**fields: Unpack[Keywords]) -> None:
        """Do something.

        Args:
            fields: the fields of a frame.

        Raises:
            OSError: never.

        """

    assert inspect.getdoc(with_fields_of(Frame, Keywords)(function)) == (
        "Do something.\n\nArgs:\n    width: width of the frame.\n    url: URL of the frame.\n\n"
        "Raises:\n    OSError: never."
    )
