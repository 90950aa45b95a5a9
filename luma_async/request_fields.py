"""Request fields: the types of the fields that kinds of requests share, with their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, PydanticCustomError, to_json

from luma_async.errors import InvalidRequestError
from luma_async.field_docs import leave_out_python
from luma_async.image_sources import ImageField
from luma_async.text_values import (
    has_lone_surrogate,
    is_web_url,
    shown_link,
    shown_value,
    unwrapped,
)

PROMPT_LIMIT = 6000
"""Maximum characters of a prompt at any server. The limit of a dialect may be lower."""

MAX_KEYFRAMES = 64
"""Maximum number of keyframes of a request at any server."""

AspectRatio = Literal[
    "1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21", "3:2", "2:3", "2:1", "1:2", "3:1", "1:3"
]
EditStrength = Literal[
    "adhere_1",
    "adhere_2",
    "adhere_3",
    "flex_1",
    "flex_2",
    "flex_3",
    "reimagine_1",
    "reimagine_2",
    "reimagine_3",
]
ImageFormat = Literal["png", "jpeg"]
ImageStyle = Literal["auto", "manga"]
LayerResolution = Literal["1k", "2k"]


def _check_prompt(prompt: str) -> str:
    if not prompt.strip():
        raise PydanticCustomError("prompt", "is empty; it must describe the result")
    return _check_text(prompt)


def _check_text(prompt: str) -> str:
    if len(prompt) > PROMPT_LIMIT:
        raise PydanticCustomError(
            "prompt",
            "has {length} characters; at most {limit} are allowed",
            {"length": len(prompt), "limit": PROMPT_LIMIT},
        )
    if has_lone_surrogate(prompt):
        raise PydanticCustomError("prompt", "must not contain lone surrogates")
    return prompt


def _check_web_url(url: str) -> str:
    if not is_web_url(url):
        raise PydanticCustomError(
            "url",
            "{url} is not a URL; allowed is http(s)://host/...",
            {"url": repr(shown_link(url))},
        )
    return url


def _check_json(object: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        to_json(dict(object))
    except ValueError as error:
        raise PydanticCustomError(
            "extra", "cannot be written as JSON: {reason}", {"reason": str(error)}
        ) from None
    return dict(object)


def _with_numbers(keyframes: Any) -> Any:
    """Return keyframes with whole numbers in place of the texts that JSON has as names."""
    if not isinstance(keyframes, Mapping):
        return keyframes
    return {
        int(frame) if isinstance(frame, str) and frame.strip().isdecimal() else frame: image
        for frame, image in keyframes.items()
    }


def _check_keyframes(keyframes: Mapping[int, Any]) -> Mapping[int, Any]:
    if not keyframes:
        raise PydanticCustomError("keyframes", "is empty; leave it out, or give a keyframe")
    if len(keyframes) > MAX_KEYFRAMES:
        raise PydanticCustomError(
            "keyframes",
            "has {number} keyframes; at most {limit} are allowed",
            {"number": len(keyframes), "limit": MAX_KEYFRAMES},
        )
    if min(keyframes) < 0:
        raise PydanticCustomError(
            "keyframes",
            "{frame} is not the number of a frame; the first is 0",
            {"frame": min(keyframes)},
        )
    return dict(sorted(keyframes.items()))


Prompt = Annotated[
    str,
    AfterValidator(_check_prompt),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": PROMPT_LIMIT, "pattern": r"\S"}),
]
OptionalPrompt = Annotated[
    str, AfterValidator(_check_text), WithJsonSchema({"type": "string", "maxLength": PROMPT_LIMIT})
]
WebURL = Annotated[
    str,
    BeforeValidator(unwrapped),
    AfterValidator(_check_web_url),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
Word = Annotated[str, Field(min_length=1)]
Words = Annotated[Sequence[Word], AfterValidator(tuple)]
JSONFields = Annotated[Mapping[str, Any], AfterValidator(_check_json)]
References = Annotated[Sequence[ImageField], AfterValidator(tuple)]
Keyframes = Annotated[
    Mapping[int, ImageField],
    BeforeValidator(_with_numbers),
    AfterValidator(_check_keyframes),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]+$"},
            "additionalProperties": {"type": "string", "format": "uri"},
            "minProperties": 1,
            "maxProperties": MAX_KEYFRAMES,
        }
    ),
]


class SourcePosition(BaseModel):
    """Place of the source in a frame of another ratio, in fractions of that frame's size.

    `x` and `y` are the upper left corner. Parts outside of the frame (below 0, or beyond 1) are cut
    off.

    Raises:
        InvalidRequestError: a field breaks a rule.

    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra=leave_out_python
    )

    x: float
    y: float
    width: float = Field(gt=0)
    height: float = Field(gt=0)

    def __init__(self, *, x: float, y: float, width: float, height: float) -> None:
        """Check the fields."""
        try:
            super().__init__(x=x, y=y, width=width, height=height)
        except ValidationError as error:
            problems = problems_of(error)
        else:
            return
        raise InvalidRequestError(problems)

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see JobRequest


def problems_of(error: ValidationError) -> dict[str, str]:
    """Return the problems of fields, by their names, from an error of pydantic."""
    found: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=True):
        name = str(detail["loc"][0]) if detail["loc"] else detail["type"]
        found.setdefault(name, _problem(detail))
    return found


def _problem(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "literal_error":
            allowed = detail.get("ctx", {}).get("expected", "").replace("'", "")
            shown = shown_value(detail["input"])
            return f"{shown} is not valid; allowed: {allowed.replace(' or ', ', ')}"
        case "extra_forbidden":
            return "is not a field of this request; pass unknown fields in extra={...}"
        case "missing":
            return "is required"
        case "sequence_str":
            return f"must be a list, got a single text; pass [{shown_value(detail['input'])}]"
        case _:
            message = detail["msg"]
            return message[:1].lower() + message[1:]


IMAGE_FORMS = (
    "an http(s) URL or a data URI. In Python, it may also be a path, bytes, a file that is open "
    "for reading bytes, a Pillow image, an `Image` that `image_from` made of one of them, or the "
    "output of a job: its `Generation`, or `GenerationReference(id)`"
)

MODEL: Any = Field(
    default=None,
    description="Model, such as `ray-2`, if the server offers a choice.",
    examples=["ray-2"],
)
RESOLUTION: Any = Field(
    default=None,
    description="Resolution, such as `720p`, if the server offers a choice.",
    examples=["720p"],
)
NOTIFY_HOOK: Any = Field(
    default=None,
    description="URL that the server calls when the state of the job changes.",
    examples=["https://example.com/hook"],
)
USER_ID: Any = Field(
    default=None,
    description="Your own opaque id of the person for whom the job is, for the server's records. "
    "It does not change the result.",
)
EXTRA: Any = Field(
    default={},
    description="Further fields for the body. They are sent unchanged, and override the other "
    "fields.",
    examples=[{"seed": 7}],
)
HDR: Any = Field(
    default=None, description="Make a video of high dynamic range, if the server offers it."
)
EXR: Any = Field(
    default=None,
    description="Deliver OpenEXR files beside the video. Only together with `hdr`.",
)
MEDIA_DESCRIPTION = (
    "The {noun} to work on, in place of a source that is a job: " + IMAGE_FORMS + "."
)
