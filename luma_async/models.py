"""What goes in and what comes out: requests, generations, outcomes. All of it is frozen."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Self, TypedDict, Unpack

from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WrapSerializer,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError, to_json
from yarl import URL

from luma_async.errors import InvalidRequestError, LumaError
from luma_async.image_sources import ImageField, ImageLike
from luma_async.lone_surrogates import holds_half_character
from luma_async.packed_row import PackedRow
from luma_async.setting_types import unwrapped
from luma_async.web_url import is_web_url, shown_link

PROMPT_LIMIT = 5000
"""The longest prompt in characters, as the official service states it."""

AspectRatio = Literal["1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21"]


class State(StrEnum):
    """Where a job stands. It moves down this list only."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow."""
        return self in (State.COMPLETED, State.FAILED)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)

    @classmethod
    def of_checked(cls, fields: Mapping[str, Any]) -> Self:
        """Return the model with these fields, all of them, whose values need no second check.

        It takes half the memory of one that pydantic makes: what is set one by one shares its names
        with all others of its class, and the set of names that were set is one for all.
        """
        model = cls.__new__(cls)
        put = object.__setattr__
        put(model, "__pydantic_fields_set__", _names_of(cls))
        put(model, "__pydantic_extra__", None)
        put(model, "__pydantic_private__", None)
        for name, value in fields.items():
            put(model, name, value)
        return model


class Asset(_Frozen):
    """One file that the server made. Sizes are in pixels, `duration` in seconds.

    `download_url`, where the server gives one, is the same file without a watermark.
    """

    url: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    download_url: str | None = None
    media_type: str | None = None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show links without what they are signed with: whoever reads that could fetch the file."""
        for name, value in super().__repr_args__():
            is_link = name in ("url", "download_url") and isinstance(value, str)
            yield name, shown_link(value) if is_link else value


def _unpacked(value: Any) -> Any:
    return value.unpacked() if type(value) is PackedRow else value


# Without types, it is written and described as the mapping that it wraps.
Row = Annotated[Mapping[str, Any], WrapSerializer(lambda row, write: write(_unpacked(row)))]


class Generation(_Frozen):
    """One look at a job: what the server said of it at one moment.

    `progress` runs from 0 to 1. `estimate_wait_seconds` is the server's own guess of the time
    left. `raw` is the server's object as it came, unknown fields included.
    """

    id: str
    state: State
    prompt: str | None = None
    video: Asset | None = None
    video_raw: Asset | None = None
    thumbnail: Asset | None = None
    last_frame: Asset | None = None
    created_at: datetime | None = None
    failure_reason: str | None = None
    progress: float | None = None
    queue_state: str | None = None
    estimate_wait_seconds: float | None = None
    raw: Row = Field(default={}, repr=False)

    def __hash__(self) -> int:
        return hash((self.id, self.state))

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:  # noqa: PYI058  as pydantic has it
        yield from ((name, _unpacked(value)) for name, value in super().__iter__())

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": dict(self)}


@cache
def _names_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


class _Raw:
    """`Generation.raw`, made from the packed row each time that it is asked for.

    The class itself has no such attribute, as with other fields, so that it can be inherited from.
    """

    def __get__(self, generation: Generation | None, _: type[Generation]) -> Mapping[str, Any]:
        if generation is None or "raw" not in vars(generation):
            raise AttributeError("raw")
        raw: Mapping[str, Any] = _unpacked(vars(generation)["raw"])
        return raw

    def __set__(self, generation: Generation, raw: object) -> None:
        vars(generation)["raw"] = raw


setattr(Generation, "raw", _Raw())  # noqa: B010  a type checker knows the field, and no more


def pack(generation: Generation, source: bytes | None = None) -> None:
    """Keep the row of a generation as compressed JSON, with nothing else changed.

    The objects and texts of a row take five times the memory, and nearly nobody reads them of a
    job that waits. `source` is the JSON that the row was read from, if that is at hand.
    """
    fields = vars(generation)
    raw = fields["raw"]
    if raw and type(raw) is dict and (packed := PackedRow.of(raw, source)) is not None:
        fields["raw"] = packed


def _check_prompt(prompt: str) -> str:
    if not prompt.strip():
        raise PydanticCustomError("prompt", "is empty; say what the video shall show")
    if len(prompt) > PROMPT_LIMIT:
        raise PydanticCustomError(
            "prompt",
            "has {length} characters; at most {limit} are allowed",
            {"length": len(prompt), "limit": PROMPT_LIMIT},
        )
    if holds_half_character(prompt):
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


class _Request(_Frozen):
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request of `run_many`: a generation or an error, exactly one of the two.

    `request` is what was asked for; if it was no valid request, the thing as it was given. `id` is
    the server's id of the job, if there is one: with it the job can be found again. `key` is its
    name in the journal, if there is one.
    """

    request: GenerateRequest | Any
    generation: Generation | None = None
    error: LumaError | None = None
    id: str | None = None
    key: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a generation."""
        return self.error is None
