"""Requests of new jobs and extensions: frozen, and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypedDict, Unpack

from pydantic import (
    AfterValidator,
    AnyUrl,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError, to_json
from yarl import URL

from luma_async.errors import InvalidRequestError
from luma_async.generation import FrozenModel
from luma_async.image_sources import ImageField, ImageLike
from luma_async.text_values import has_lone_surrogate, is_web_url, shown_link, unwrapped

PROMPT_LIMIT = 5000
"""The longest prompt in characters, as the official service states it."""

AspectRatio = Literal["1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21"]


def _check_prompt(prompt: str) -> str:
    if not prompt.strip():
        raise PydanticCustomError("prompt", "is empty; say what the video shall show")
    if len(prompt) > PROMPT_LIMIT:
        raise PydanticCustomError(
            "prompt",
            "has {length} characters; at most {limit} are allowed",
            {"length": len(prompt), "limit": PROMPT_LIMIT},
        )
    if has_lone_surrogate(prompt):
        raise PydanticCustomError("prompt", "holds half a character (a lone surrogate)")
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
            "extra", "cannot be written as JSON: {why}", {"why": str(error)}
        ) from None
    return dict(extra)


Prompt = Annotated[str, AfterValidator(_check_prompt)]
WebURL = Annotated[str, BeforeValidator(unwrapped), AfterValidator(_check_web_url)]
Word = Annotated[str, Field(min_length=1)]
Extra = Annotated[Mapping[str, Any], AfterValidator(_check_extra)]


class ExtendFields(TypedDict, total=False):
    """The keyword arguments of `extend()`, as `ExtendRequest` documents them."""

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
    """The keyword arguments of `generate()`, as `GenerateRequest` documents them."""

    loop: bool | None


class _Request(FrozenModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prompt: Prompt
    image: ImageField | None = None
    """First frame: an http(s) URL, a data URI, a path, bytes, a file that is open for reading
    bytes, a Pillow image, or what `luma_async.media.image_from` made of one of them. It is read
    when the job is submitted. A text that is no URL is a path, so check it if a stranger wrote it.
    """
    image_end: ImageField | None = None
    """Last frame, in the same forms."""
    aspect_ratio: AspectRatio | None = None
    expand_prompt: bool | None = None
    """Let the server improve the prompt."""
    model: Word | None = None
    """Such as `ray-v2`, where the gateway offers a choice."""
    resolution: Word | None = None
    """Such as `720p`, where the gateway offers a choice."""
    duration: Word | None = None
    """Such as `5s`, where the gateway offers a choice."""
    notify_hook: WebURL | None = None
    """A URL of yours that the gateway calls when the job moves."""
    extra: Extra = Field(default={})
    """More fields for the body, sent as they are; they win over the named ones."""

    def _set(self, fields: Mapping[str, Any]) -> None:
        try:
            super().__init__(**{str(name): value for name, value in fields.items()})
        except ValidationError as error:
            problems = _problems(error)
        else:
            return
        raise InvalidRequestError(problems)

    @classmethod
    def of(cls, prompt: str | Self, **fields: Any) -> Self:
        """Return the request that `prompt` is or begins, with `fields` set on top."""
        if not isinstance(prompt, cls):
            return cls.from_mapping({"prompt": prompt, **fields})
        return cls.from_mapping({**dict(prompt), **fields}) if fields else prompt

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Self:
        """Return the request with these fields, a missing prompt being an `InvalidRequestError`."""
        request = cls.__new__(cls)
        request._set(fields)  # noqa: SLF001  of its own class
        return request

    def __hash__(self) -> int:
        return hash((type(self), self.prompt))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show what is set, and no image's whole Base64."""
        for name, value in dict(self).items():
            if value is not None and value != {}:
                if isinstance(value, str) and len(value) > 200:
                    value = f"{value[:197]}..."  # noqa: PLW2901
                elif isinstance(value, bytes | bytearray) and len(value) > 200:
                    value = f"<{len(value)} bytes>"  # noqa: PLW2901
                yield name, value


class GenerateRequest(_Request):
    """What a new video shall show.

    >>> GenerateRequest("a cat dances", aspect_ratio="16:9", loop=True).loop
    True

    Only the prompt is required; what is not set is not sent, and the server decides.

    Raises:
        InvalidRequestError: a field breaks a rule; the text says which, and what is allowed.

    """

    loop: bool | None = None
    """Make the last frame meet the first. Not together with `image_end`."""

    def __init__(self, prompt: str, **fields: Unpack[GenerateFields]) -> None:
        self._set({"prompt": prompt, **fields})

    @model_validator(mode="after")
    def _loop_has_no_end(self) -> Self:
        if self.loop and self.image_end is not None:
            raise PydanticCustomError(
                "loop", "a loop ends where it begins; allowed is loop or image_end, not both"
            )
        return self


class ExtendRequest(_Request):
    """What the next five seconds of a finished video shall show.

    Only the prompt is required; what is not set is not sent, and the server decides.

    Raises:
        InvalidRequestError: a field breaks a rule; the text says which, and what is allowed.

    """

    def __init__(self, prompt: str, **fields: Unpack[ExtendFields]) -> None:
        self._set({"prompt": prompt, **fields})


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
            return f"{detail['input']!r} is not known; allowed: {allowed.replace(' or ', ', ')}"
        case "extra_forbidden":
            return "is not a field of this request; what is not known here goes into extra={...}"
        case "missing":
            return "is required"
        case _:
            message = detail["msg"]
            return message[:1].lower() + message[1:]
