"""Requests to edit and reframe videos, and to make, edit and take apart images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

from pydantic import Field

from luma_async.field_docs import with_field_docs
from luma_async.image_sources import ImageField, ImageLike, MediaKind, VideoField
from luma_async.request_fields import (
    EXR,
    EXTRA,
    HDR,
    IMAGE_FORMS,
    MEDIA_DESCRIPTION,
    MODEL,
    NOTIFY_HOOK,
    RESOLUTION,
    USER_ID,
    AspectRatio,
    EditStrength,
    ImageFormat,
    ImageStyle,
    JSONFields,
    Keyframes,
    LayerResolution,
    OptionalPrompt,
    References,
    SourcePosition,
    WebURL,
    Word,
)
from luma_async.requests import JobRequest, Kind, SharedFields, SourceNeed

_RATIO: Any = Field(default=None, description="Ratio of width to height.", examples=["16:9"])


class EditFields(SharedFields, total=False):
    """Keyword arguments of `edit()`, as documented in `EditRequest`."""

    strength: EditStrength | None
    auto_controls: bool | None
    controls: Mapping[str, Any] | None
    image: ImageLike | None
    keyframes: Mapping[int, ImageLike] | None
    resolution: str | None
    hdr: bool | None
    exr: bool | None


class ReframeFields(SharedFields, total=False):
    """Keyword arguments of `reframe()`, as documented in `ReframeRequest`."""

    source_position: SourcePosition | None
    resolution: str | None


class ImageFields(SharedFields, total=False):
    """Keyword arguments of `generate_image()` and `edit_image()`: see `ImageRequest`."""

    references: Sequence[ImageLike]
    aspect_ratio: AspectRatio | None
    format: ImageFormat | None
    style: ImageStyle | None
    web_search: bool | None


class LayersFields(SharedFields, total=False):
    """Keyword arguments of `extract_layers()`, as documented in `LayersRequest`."""

    resolution: LayerResolution | None


@with_field_docs("Args", EditFields)
class EditRequest(JobRequest):
    """Request to change a video by a prompt.

    Raises:
        InvalidRequestError: a field breaks a rule. The error names the field and the allowed
            values. Inside pydantic it is a `ValidationError`, as with `GenerateRequest`.

    """

    kind: ClassVar[Kind] = "edit"
    source_need: ClassVar[SourceNeed] = "optional"
    media_kind: ClassVar[MediaKind] = "video"
    _image_fields: ClassVar[tuple[str, ...]] = ("media", "image", "keyframes")

    media: VideoField | None = Field(
        default=None, description=MEDIA_DESCRIPTION.format(noun="video")
    )
    strength: EditStrength | None = Field(
        default=None,
        description="Freedom to change the video, from `adhere_1` (little) to `reimagine_3` (all "
        "but its course).",
    )
    auto_controls: bool | None = Field(
        default=None, description="Let the server derive the controls from the video."
    )
    controls: JSONFields | None = Field(
        default=None,
        description="Signals of the video to keep, in the server's own form: `depth`, `face`, "
        "`normals`, `pose` and `trajectory`.",
        examples=[{"pose": {"enabled": True}}],
    )
    image: ImageField | None = Field(
        default=None, description=f"First frame of the result: {IMAGE_FORMS}."
    )
    keyframes: Keyframes | None = Field(
        default=None,
        description="Images by the number of the video's frame where each is shown. Not allowed "
        "together with `image`.",
    )
    model: Word | None = MODEL
    resolution: Word | None = RESOLUTION
    hdr: bool | None = HDR
    exr: bool | None = EXR
    notify_hook: WebURL | None = NOTIFY_HOOK
    user_id: Word | None = USER_ID
    extra: JSONFields = EXTRA

    def __init__(
        self, prompt: str, *, media: ImageLike | None = None, **fields: Unpack[EditFields]
    ) -> None:
        """Check the fields."""
        self._set({"prompt": prompt, "media": media, **fields})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see _set()


@with_field_docs("Args", ReframeFields)
class ReframeRequest(JobRequest):
    """Request to give a video another aspect ratio. The server paints what is missing.

    Raises:
        InvalidRequestError: a field breaks a rule. The error names the field and the allowed
            values. Inside pydantic it is a `ValidationError`, as with `GenerateRequest`.

    """

    kind: ClassVar[Kind] = "reframe"
    source_need: ClassVar[SourceNeed] = "optional"
    media_kind: ClassVar[MediaKind] = "video"
    _image_fields: ClassVar[tuple[str, ...]] = ("media",)

    prompt: OptionalPrompt = Field(
        default="", description="Text that describes the added parts; some servers require it."
    )
    aspect_ratio: AspectRatio = Field(
        description="New ratio of width to height.", examples=["9:16"]
    )
    media: VideoField | None = Field(
        default=None, description=MEDIA_DESCRIPTION.format(noun="video")
    )
    source_position: SourcePosition | None = Field(
        default=None,
        description="Place of the video in the new frame; by default, the server centers it.",
    )
    model: Word | None = MODEL
    resolution: Word | None = RESOLUTION
    notify_hook: WebURL | None = NOTIFY_HOOK
    user_id: Word | None = USER_ID
    extra: JSONFields = EXTRA

    def __init__(
        self,
        aspect_ratio: AspectRatio,
        prompt: str = "",
        *,
        media: ImageLike | None = None,
        **fields: Unpack[ReframeFields],
    ) -> None:
        """Check the fields."""
        self._set({"aspect_ratio": aspect_ratio, "prompt": prompt, "media": media, **fields})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see _set()


class _AnyImageRequest(JobRequest):
    references: References = Field(
        default=(),
        description="Images to take the style or content from, each in the forms of `image` of a "
        "`GenerateRequest`.",
    )
    aspect_ratio: AspectRatio | None = _RATIO
    format: ImageFormat | None = Field(default=None, description="File format of the image.")
    style: ImageStyle | None = Field(default=None, description="Style of the image.")
    web_search: bool | None = Field(
        default=None, description="Let the server search the web for the prompt."
    )
    model: Word | None = MODEL
    notify_hook: WebURL | None = NOTIFY_HOOK
    user_id: Word | None = USER_ID
    extra: JSONFields = EXTRA


@with_field_docs("Args", ImageFields)
class ImageRequest(_AnyImageRequest):
    """Request for a new image.

    Raises:
        InvalidRequestError: a field breaks a rule. The error names the field and the allowed
            values. Inside pydantic it is a `ValidationError`, as with `GenerateRequest`.

    """

    kind: ClassVar[Kind] = "image"
    _image_fields: ClassVar[tuple[str, ...]] = ("references",)

    def __init__(self, prompt: str, **fields: Unpack[ImageFields]) -> None:
        """Check the fields."""
        self._set({"prompt": prompt, **fields})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see _set()


@with_field_docs("Args", ImageFields)
class EditImageRequest(_AnyImageRequest):
    """Request to change an image by a prompt.

    Raises:
        InvalidRequestError: a field breaks a rule. The error names the field and the allowed
            values. Inside pydantic it is a `ValidationError`, as with `GenerateRequest`.

    """

    kind: ClassVar[Kind] = "edit_image"
    source_need: ClassVar[SourceNeed] = "optional"
    _image_fields: ClassVar[tuple[str, ...]] = ("media", "references")

    media: ImageField | None = Field(
        default=None, description=MEDIA_DESCRIPTION.format(noun="image")
    )

    def __init__(
        self, prompt: str, *, media: ImageLike | None = None, **fields: Unpack[ImageFields]
    ) -> None:
        """Check the fields."""
        self._set({"prompt": prompt, "media": media, **fields})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see _set()


@with_field_docs("Args", LayersFields)
class LayersRequest(JobRequest):
    """Request to take an image apart into layers with transparency.

    Raises:
        InvalidRequestError: a field breaks a rule. The error names the field and the allowed
            values. Inside pydantic it is a `ValidationError`, as with `GenerateRequest`.

    """

    kind: ClassVar[Kind] = "layers"
    source_need: ClassVar[SourceNeed] = "optional"
    _image_fields: ClassVar[tuple[str, ...]] = ("media",)

    prompt: OptionalPrompt = Field(
        default="", description="Text that says how to split the image; some servers require it."
    )
    media: ImageField | None = Field(
        default=None, description=MEDIA_DESCRIPTION.format(noun="image")
    )
    resolution: LayerResolution | None = Field(
        default=None, description="Resolution of each layer."
    )
    model: Word | None = MODEL
    notify_hook: WebURL | None = NOTIFY_HOOK
    user_id: Word | None = USER_ID
    extra: JSONFields = EXTRA

    def __init__(
        self, prompt: str = "", *, media: ImageLike | None = None, **fields: Unpack[LayersFields]
    ) -> None:
        """Check the fields."""
        self._set({"prompt": prompt, "media": media, **fields})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see _set()
