"""Requests for jobs: frozen, and validated before anything is sent.

`JobRequest` is the base of all kinds of requests. Here are those for videos; edit_requests.py has
the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, TypedDict, Unpack

from pydantic import AnyUrl, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from yarl import URL

from luma_async.errors import InvalidRequestError
from luma_async.field_docs import leave_out_python, with_field_docs
from luma_async.generation import FrozenModel
from luma_async.image_sources import ImageField, ImageLike, MediaKind, is_reference
from luma_async.request_fields import (
    EXR,
    EXTRA,
    HDR,
    IMAGE_FORMS,
    MODEL,
    NOTIFY_HOOK,
    PROMPT_LIMIT,
    RESOLUTION,
    USER_ID,
    AspectRatio,
    JSONFields,
    Keyframes,
    Prompt,
    WebURL,
    Word,
    Words,
    problems_of,
)
from luma_async.text_values import bounded

Kind = Literal["generate", "extend", "edit", "reframe", "image", "edit_image", "layers"]
"""Kinds of requests."""

SourceNeed = Literal["none", "optional", "required"]
"""Need of a kind of request for a source: the job whose output it works on."""


class SharedFields(TypedDict, total=False):
    """Keyword arguments of all requests, as documented in `GenerateRequest`."""

    model: str | None
    notify_hook: str | URL | AnyUrl | None
    user_id: str | None
    extra: Mapping[str, Any]


class VideoFields(SharedFields, total=False):
    """Keyword arguments of requests for new and extended videos."""

    image: ImageLike | None
    image_end: ImageLike | None
    aspect_ratio: AspectRatio | None
    expand_prompt: bool | None
    resolution: str | None
    duration: str | None
    hdr: bool | None
    exr: bool | None
    concepts: Sequence[str] | None


class ExtendFields(VideoFields, total=False):
    """Keyword arguments of `extend()`, as documented in `ExtendRequest`."""

    backward: bool | None


class GenerateFields(VideoFields, total=False):
    """Keyword arguments of `generate()`, as documented in `GenerateRequest`."""

    keyframes: Mapping[int, ImageLike] | None
    loop: bool | None


def _describe(schema: dict[str, Any]) -> None:
    leave_out_python(schema)
    # Web pages that try an API fill in all fields otherwise, and `loop` excludes `image_end`.
    example = {"prompt": "a cat dances", "aspect_ratio": "16:9"}
    schema["examples"] = [{name: example[name] for name in example if name in schema["properties"]}]


class JobRequest(FrozenModel):
    """Base of all requests for a job.

    Attributes:
        kind: the kind of the request.
        source_need: `"required"` if the request works on the output of a job, `"optional"` if it
            may have a file of its own instead.
        media_kind: the kind of file that the field `media` takes.

    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", strict=True, json_schema_extra=_describe
    )
    kind: ClassVar[Kind]
    source_need: ClassVar[SourceNeed] = "none"
    media_kind: ClassVar[MediaKind] = "image"
    _image_fields: ClassVar[tuple[str, ...]] = ()

    prompt: Prompt = Field(
        description=f"Text that describes the result, of at most {PROMPT_LIMIT} characters; some "
        "servers allow fewer.",
        examples=["a cat dances"],
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
            problems = problems_of(error)
        else:
            return
        raise InvalidRequestError(problems)

    @classmethod
    def of(cls, prompt: str | Self, /, **fields: Any) -> Self:
        """Return a request from a prompt or from another request, with `fields` set on top.

        Raises:
            InvalidRequestError: a field breaks a rule, or the other request is of another kind.

        """
        if isinstance(prompt, JobRequest) and not isinstance(prompt, cls):
            raise InvalidRequestError.of(
                "request", f"must be of the class {cls.__name__}, got a {type(prompt).__name__}"
            )
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

    def images(self) -> dict[str, Any]:
        """Return the images of the request by their place, such as `image` or `keyframes[48]`."""
        found: dict[str, Any] = {}
        for name in self._image_fields:
            value = self.__dict__[name]
            if isinstance(value, Mapping):
                found |= {f"{name}[{frame}]": image for frame, image in value.items()}
            elif isinstance(value, tuple):
                found |= {f"{name}[{index}]": image for index, image in enumerate(value)}
            elif value is not None:
                found[name] = value
        return found

    def reference_ids(self, source_id: str | None = None) -> frozenset[str]:
        """Return the ids of all files and jobs that the request refers to, with its source."""
        ids = {image.id for image in self.images().values() if is_reference(image)}
        return frozenset(ids if source_id is None else (*ids, source_id))

    def kind_at(self, place: str) -> MediaKind:
        """Return the kind of file that belongs at one of the places that `images()` returns."""
        return self.media_kind if place == "media" else "image"

    def with_images(self, images: Mapping[str, Any]) -> Self:
        """Return the request with other images at some of the places that `images()` returns."""
        changed: dict[str, Any] = {}
        for name in self._image_fields:
            value = self.__dict__[name]
            if isinstance(value, Mapping):
                changed[name] = {
                    frame: images.get(f"{name}[{frame}]", image) for frame, image in value.items()
                }
            elif isinstance(value, tuple):
                changed[name] = tuple(
                    images.get(f"{name}[{index}]", image) for index, image in enumerate(value)
                )
            elif name in images:
                changed[name] = images[name]
        return self.model_copy(update=changed)

    def __hash__(self) -> int:
        return hash((type(self), self.prompt))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show the fields that are set, and shorten images."""
        for name, value in dict(self).items():
            if value is not None and value not in ({}, ()):
                yield name, _shortened(value)


class _VideoRequest(JobRequest):
    image: ImageField | None = Field(
        default=None,
        description=f"First frame: {IMAGE_FORMS}. It is read when the job is submitted.",
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
    model: Word | None = MODEL
    resolution: Word | None = RESOLUTION
    duration: Word | None = Field(
        default=None,
        description="Duration, such as `5s`, if the server offers a choice.",
        examples=["5s"],
    )
    hdr: bool | None = HDR
    exr: bool | None = EXR
    concepts: Words | None = Field(
        default=None,
        description="Names of the server's concepts, such as camera motions "
        "(`dolly_zoom`), if it has any.",
        examples=[["dolly_zoom"]],
    )
    notify_hook: WebURL | None = NOTIFY_HOOK
    user_id: Word | None = USER_ID
    extra: JSONFields = EXTRA


@with_field_docs("Args", GenerateFields)
class GenerateRequest(_VideoRequest):
    """Request for a new video.

    Only the prompt is required. Fields that are not set are not sent, and the server decides.

    >>> GenerateRequest("a cat dances", aspect_ratio="16:9", loop=True).loop
    True

    Raises:
        InvalidRequestError: a field breaks a rule. The error names the field and the allowed
            values. Inside pydantic, as a field of another model or the body of a web app, it is
            a `ValidationError`, as that of any other model.

    """

    kind: ClassVar[Kind] = "generate"
    _image_fields: ClassVar[tuple[str, ...]] = ("image", "image_end", "keyframes")

    keyframes: Keyframes | None = Field(
        default=None,
        description="Images by the number of the frame where each is shown, at 24 frames a second, "
        "in the same forms as `image`. Not allowed together with `image`, `image_end` or `loop`.",
        examples=[{"0": "https://example.com/first.png", "60": "https://example.com/mid.png"}],
    )
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
class ExtendRequest(_VideoRequest):
    """Request to extend a completed video by about five seconds.

    Only the prompt is required. Fields that are not set are not sent, and the server decides.

    Raises:
        InvalidRequestError: a field breaks a rule. The error names the field and the allowed
            values. Inside pydantic it is a `ValidationError`, as with `GenerateRequest`.

    """

    kind: ClassVar[Kind] = "extend"
    source_need: ClassVar[SourceNeed] = "required"
    _image_fields: ClassVar[tuple[str, ...]] = ("image", "image_end")

    backward: bool | None = Field(
        default=None,
        description="`True` to add before the beginning of the video, and not after its end.",
    )

    def __init__(self, prompt: str, **fields: Unpack[ExtendFields]) -> None:
        """Check the fields."""
        self._set({"prompt": prompt, **fields})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see _set()


def _shortened(value: Any) -> Any:
    """Return a value of a field for `repr()`, with long texts and bytes shortened."""
    if isinstance(value, Mapping):
        return {name: _shortened(item) for name, item in value.items()}
    if isinstance(value, list):
        return list(map(_shortened, value))
    if isinstance(value, tuple):
        return tuple(map(_shortened, value))
    if isinstance(value, str):
        return bounded(value, 200)
    if isinstance(value, bytes | bytearray) and len(value) > 200:
        return f"<{len(value)} bytes>"
    return value
