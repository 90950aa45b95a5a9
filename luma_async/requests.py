"""Requests for new jobs and extensions: frozen, and validated before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypedDict, Unpack

from pydantic import (
    AfterValidator,
    AnyUrl,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError, to_json
from yarl import URL

from luma_async.errors import InvalidRequestError
from luma_async.field_docs import leave_out_python, with_field_docs
from luma_async.generation import FrozenModel
from luma_async.image_sources import ImageField, ImageLike
from luma_async.text_values import has_lone_surrogate, is_web_url, shown_link, unwrapped

PROMPT_LIMIT = 5000
"""Maximum characters of a prompt, as documented by the official service."""

AspectRatio = Literal["1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21"]


def _check_prompt(prompt: str) -> str:
    if not prompt.strip():
        raise PydanticCustomError("prompt", "is empty; it must describe the video")
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


def _check_extra(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        to_json(dict(extra))
    except ValueError as error:
        raise PydanticCustomError(
            "extra", "cannot be written as JSON: {reason}", {"reason": str(error)}
        ) from None
    return dict(extra)


Prompt = Annotated[
    str,
    AfterValidator(_check_prompt),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": PROMPT_LIMIT, "pattern": r"\S"}),
]
WebURL = Annotated[
    str,
    BeforeValidator(unwrapped),
    AfterValidator(_check_web_url),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
Word = Annotated[str, Field(min_length=1)]
Extra = Annotated[Mapping[str, Any], AfterValidator(_check_extra)]


class ExtendFields(TypedDict, total=False):
    """Keyword arguments of `extend()`, as documented in `ExtendRequest`."""

    image: ImageLike | None
    image_end: ImageLike | None
    aspect_ratio: AspectRatio | None
    expand_prompt: bool | None
    model: str | None
    resolution: str | None
    duration: str | None
    notify_hook: str | URL | AnyUrl | None
    extra: Mapping[str, Any]


class GenerateFields(ExtendFields, total=False):
    """Keyword arguments of `generate()`, as documented in `GenerateRequest`."""

    loop: bool | None


def _describe(schema: dict[str, Any]) -> None:
    leave_out_python(schema)
    # Web pages that try an API fill in all fields otherwise, and `loop` excludes `image_end`.
    schema["examples"] = [{"prompt": "a cat dances", "aspect_ratio": "16:9"}]


class _Request(FrozenModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", strict=True, json_schema_extra=_describe
    )

    prompt: Prompt = Field(
        description=f"Text that describes the video, of at most {PROMPT_LIMIT} characters.",
        examples=["a cat dances"],
    )
    image: ImageField | None = Field(
        default=None,
        description="First frame: an http(s) URL or a data URI. In Python, it may also be a path, "
        "bytes, a file that is open for reading bytes, a Pillow image, or an `Image` that "
        "`image_from` made of one of them. It is read when the job is submitted.",
        examples=["https://example.com/first.png"],
    )
    image_end: ImageField | None = Field(
        default=None,
        description="Last frame, in the same forms as `image`.",
        examples=["https://example.com/last.png"],
    )
    aspect_ratio: AspectRatio | None = Field(
        default=None, description="Ratio of width to height.", examples=["16:9"]
    )
    expand_prompt: bool | None = Field(
        default=None, description="Let the server improve the prompt."
    )
    model: Word | None = Field(
        default=None,
        description="Model, such as `ray-v2`, if the gateway offers a choice.",
        examples=["ray-v2"],
    )
    resolution: Word | None = Field(
        default=None,
        description="Resolution, such as `720p`, if the gateway offers a choice.",
        examples=["720p"],
    )
    duration: Word | None = Field(
        default=None,
        description="Duration, such as `5s`, if the gateway offers a choice.",
        examples=["5s"],
    )
    notify_hook: WebURL | None = Field(
        default=None,
        description="URL that the gateway calls when the state of the job changes.",
        examples=["https://example.com/hook"],
    )
    extra: Extra = Field(
        default={},
        description="Further fields for the body. They are sent unchanged, and override the other "
        "fields.",
        examples=[{"seed": 7}],
    )

    def _set(self, fields: Mapping[str, Any]) -> None:
        """Check the fields, and set them.

        Only Python code comes here. When pydantic validates a request itself, it would call a
        custom `__init__`, and an `InvalidRequestError` would pass through all models around the
        request. `__pydantic_base_init__` tells it that `__init__` does no more than that of
        `BaseModel`.
        """
        try:
            super().__init__(**{str(name): value for name, value in fields.items()})
        except ValidationError as error:
            problems = _problems(error)
        else:
            return
        raise InvalidRequestError(problems)

    @classmethod
    def of(cls, prompt: str | Self, **fields: Any) -> Self:
        """Return a request from a prompt or from another request, with `fields` set on top."""
        if not isinstance(prompt, cls):
            return cls.from_mapping({"prompt": prompt, **fields})
        return cls.from_mapping({**dict(prompt), **fields}) if fields else prompt

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Self:
        """Return the request with these fields.

        Raises:
            InvalidRequestError: a field breaks a rule, or the prompt is missing.

        """
        request = cls.__new__(cls)
        request._set(fields)  # noqa: SLF001  an instance of this class
        return request

    def __hash__(self) -> int:
        return hash((type(self), self.prompt))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show the fields that are set, and shorten images."""
        for name, value in dict(self).items():
            if value is not None and value != {}:
                if isinstance(value, str) and len(value) > 200:
                    value = f"{value[:197]}..."  # noqa: PLW2901
                elif isinstance(value, bytes | bytearray) and len(value) > 200:
                    value = f"<{len(value)} bytes>"  # noqa: PLW2901
                yield name, value


@with_field_docs("Args", GenerateFields)
class GenerateRequest(_Request):
    """Request for a new video.

    Only the prompt is required. Fields that are not set are not sent, and the server decides.

    >>> GenerateRequest("a cat dances", aspect_ratio="16:9", loop=True).loop
    True

    Raises:
        InvalidRequestError: a field breaks a rule. The error names the field and the allowed
            values. Inside pydantic, as a field of another model or the body of a web app, it is
            a `ValidationError`, as that of any other model.

    """

    loop: bool | None = Field(
        default=None,
        description="Make a video whose end leads to its beginning. Not allowed together with "
        "`image_end`.",
    )

    def __init__(self, prompt: str, **fields: Unpack[GenerateFields]) -> None:
        """Check the fields."""
        self._set({"prompt": prompt, **fields})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see _set()

    @field_validator("loop")
    @classmethod
    def _loop_has_no_end(cls, loop: bool | None, info: ValidationInfo) -> bool | None:
        if loop and info.data.get("image_end") is not None:
            raise PydanticCustomError(
                "loop", "a loop ends with its first frame; allowed is loop or image_end, not both"
            )
        return loop


@with_field_docs("Args", ExtendFields)
class ExtendRequest(_Request):
    """Request to extend a completed video by about five seconds.

    Only the prompt is required. Fields that are not set are not sent, and the server decides.

    Raises:
        InvalidRequestError: a field breaks a rule. The error names the field and the allowed
            values. Inside pydantic it is a `ValidationError`, as with `GenerateRequest`.

    """

    def __init__(self, prompt: str, **fields: Unpack[ExtendFields]) -> None:
        """Check the fields."""
        self._set({"prompt": prompt, **fields})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see _set()


def _problems(error: ValidationError) -> dict[str, str]:
    found: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=True):
        name = str(detail["loc"][0]) if detail["loc"] else detail["type"]
        found.setdefault(name, _problem(detail))
    return found


def _problem(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "literal_error":
            allowed = detail.get("ctx", {}).get("expected", "").replace("'", "")
            return f"{detail['input']!r} is not valid; allowed: {allowed.replace(' or ', ', ')}"
        case "extra_forbidden":
            return "is not a field of this request; pass unknown fields in extra={...}"
        case "missing":
            return "is required"
        case _:
            message = detail["msg"]
            return message[:1].lower() + message[1:]
