"""Requests of the Agents API: their fields, and the combinations that the API rejects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from luma_async.simulator.official_bodies import OfficialBody
from luma_async.simulator.official_calls import RejectedError

VIDEO_TYPES = ("video", "video_edit", "video_reframe")
IMAGE_TYPES = ("image", "image_edit", "layering")
_SOURCE_TYPES = ("video_edit", "video_reframe", "image_edit", "layering")
_VIDEO_RATIOS = ("9:16", "3:4", "1:1", "4:3", "16:9", "21:9")
_MODELS = {
    **dict.fromkeys(VIDEO_TYPES, ("ray-3.2",)),
    "image": ("uni-1", "uni-1-max"),
    "image_edit": ("uni-1", "uni-1-max"),
    "layering": ("uni-1",),
}
_MOST_REFERENCES = {"image": 9, "image_edit": 8}
_LAYERING_PROMPT_LIMIT = 500

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Purpose = Literal["input", "reference"]
Type = Literal["image", "image_edit", "video", "video_edit", "video_reframe", "layering"]
Ratio = Literal[
    "3:1", "2:1", "21:9", "16:9", "4:3", "3:2", "1:1", "3:4", "2:3", "9:16", "1:2", "1:3"
]
Strength = Literal[
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


class ReferenceBody(OfficialBody):
    """ReferenceBody to an image or a video, in one of four forms."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    generation_id: str | None = None
    file_id: str | None = None

    @property
    def is_video(self) -> bool:
        """`True` if the reference itself says that it is a video."""
        return (self.media_type or "").startswith("video/")

    def problems(self, where: str) -> Iterator[str]:
        """Yield the reasons for which the reference is not valid."""
        forms = {name: getattr(self, name) for name in ("url", "data", "generation_id", "file_id")}
        if sum(value is not None for value in forms.values()) != 1:
            yield f"{where}: exactly one of {', '.join(forms)} is needed"
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            yield f"{where}.url: must be an http or https URL"
        if self.data is not None and not self.media_type:
            yield f"{where}.media_type: is needed with data"


class _Layering(OfficialBody):
    """Options of type `layering`."""

    resolution: Literal["1k", "2k"] = "1k"


class _Position(OfficialBody):
    """Rectangle of the source video within the canvas of a reframed one."""

    x_norm: float = Field(allow_inf_nan=False)
    y_norm: float = Field(allow_inf_nan=False)
    w_norm: float = Field(le=2, allow_inf_nan=False)
    h_norm: float = Field(le=2, allow_inf_nan=False)


class _Control(OfficialBody):
    enabled: bool | None = None


class _Depth(_Control):
    blur: Share | None = None


class _Normals(_Control):
    augmentation: Share | None = None


class _Pose(_Control):
    strength: Literal["precise", "coarse"] | None = None


class _Trajectory(_Control):
    sparsity: Share | None = None


class _Controls(OfficialBody):
    """Signals of the source video that an edit keeps."""

    depth: _Depth | None = None
    face: _Control | None = None
    normals: _Normals | None = None
    pose: _Pose | None = None
    trajectory: _Trajectory | None = None


class EditBody(OfficialBody):
    """Options of type `video_edit`."""

    auto_controls: bool | None = None
    strength: Strength | None = None
    controls: _Controls | None = None
    keyframes: list[ReferenceBody] | None = Field(None, max_length=64)
    keyframe_indexes: list[Annotated[int, Field(ge=0)]] | None = None


class VideoBody(OfficialBody):
    """Options of the video types."""

    resolution: Literal["360p", "540p", "720p", "1080p"] | None = None
    duration: Literal["5s", "10s"] | None = None
    loop: bool = False
    hdr: bool = False
    exr_export: bool = False
    start_frame: ReferenceBody | None = None
    end_frame: ReferenceBody | None = None
    keyframes: list[ReferenceBody] | None = Field(None, min_length=1, max_length=64)
    keyframe_indexes: list[Annotated[int, Field(ge=0, le=240)]] | None = None
    source_position: _Position | None = None
    edit: EditBody | None = None

    @property
    def frames(self) -> int:
        """Number of frames at 24 per second; the last one is at the end of the duration."""
        return 241 if self.duration == "10s" else 121


class GenerationBody(OfficialBody):
    """Body of a submission."""

    prompt: str = Field(min_length=1, max_length=6000)
    type: Type = "image"
    model: Literal["uni-1", "uni-1-max", "ray-3.2"] | None = None
    aspect_ratio: Ratio | None = None
    image_ref: list[ReferenceBody] | None = Field(None, max_length=9)
    source: ReferenceBody | None = None
    output_format: Literal["png", "jpeg"] | None = None
    style: Literal["auto", "manga"] | None = None
    web_search: bool | None = None
    user_id: str | None = None
    layering: _Layering | None = None
    video: VideoBody | None = None

    @property
    def used_model(self) -> str:
        """Model of the request, or the default one of its type."""
        return self.model or _MODELS[self.type][0]

    def references(self) -> Iterator[tuple[str, ReferenceBody]]:
        """Yield all references with their places in the body."""
        video = self.video or VideoBody()
        edit = video.edit or EditBody()
        if self.source is not None:
            yield "source", self.source
        if video.start_frame is not None:
            yield "video.start_frame", video.start_frame
        if video.end_frame is not None:
            yield "video.end_frame", video.end_frame
        for name, several in (
            ("image_ref", self.image_ref),
            ("video.keyframes", video.keyframes),
            ("video.edit.keyframes", edit.keyframes),
        ):
            for index, reference in enumerate(several or ()):
                yield f"{name}[{index}]", reference

    def problems(self) -> Iterator[str]:
        """Yield the reasons for which the API rejects the combination of fields."""
        if self.used_model not in _MODELS[self.type]:
            yield f"model: {self.model} is not available for type {self.type}"
        for where, reference in self.references():
            yield from reference.problems(where)
        if self.type in _SOURCE_TYPES and self.source is None:
            yield f"source: is needed for type {self.type}"
        if self.type not in _SOURCE_TYPES and self.source is not None:
            yield f"source: is not valid for type {self.type}"
        if self.type in VIDEO_TYPES:
            yield from self._video_problems()
        else:
            yield from self._image_problems()

    def _image_problems(self) -> Iterator[str]:
        most = _MOST_REFERENCES.get(self.type, 0)
        if len(self.image_ref or ()) > most:
            yield f"image_ref: at most {most} for type {self.type}"
        if self.type == "layering" and len(self.prompt) > _LAYERING_PROMPT_LIMIT:
            yield f"prompt: at most {_LAYERING_PROMPT_LIMIT} characters for type layering"
        if self.type != "layering" and self.layering is not None:
            yield "layering: only for type layering"
        if self.video is not None:
            yield f"video: is not valid for type {self.type}"

    def _video_problems(self) -> Iterator[str]:
        if self.aspect_ratio is not None and self.aspect_ratio not in _VIDEO_RATIOS:
            yield f"aspect_ratio: must be one of {' '.join(_VIDEO_RATIOS)} for videos"
        for name in ("image_ref", "output_format", "style", "web_search", "layering"):
            if getattr(self, name) is not None:
                yield f"{name}: is not valid for type {self.type}"
        source = self.source
        if source is not None and source.url is not None and not source.is_video:
            yield "source.media_type: a video type is needed with url"
        video = self.video or VideoBody()
        edit = video.edit or EditBody()
        for rejected, problem in (*_type_rules(video, self.type), *_option_rules(video)):
            if rejected:
                yield problem
        yield from _index_problems("video", video.keyframes, video.keyframe_indexes, video.frames)
        yield from _index_problems("video.edit", edit.keyframes, edit.keyframe_indexes, None)


def _type_rules(video: VideoBody, type: str) -> tuple[tuple[object, str], ...]:
    """Return the options that belong to other types: conditions and problems."""
    new, edit, reframe = (type == each for each in VIDEO_TYPES)
    return (
        (video.loop and not new, "video.loop: only for type video"),
        (video.keyframes and not new, "video.keyframes: only for type video"),
        (video.source_position and not reframe, "video.source_position: only for video_reframe"),
        (video.edit and not edit, "video.edit: only for type video_edit"),
        (video.hdr and reframe, "video.hdr: is not valid for type video_reframe"),
        (video.start_frame and reframe, "video.start_frame: is not valid for type video_reframe"),
        (video.end_frame and reframe, "video.end_frame: is not valid for type video_reframe"),
    )


def _option_rules(video: VideoBody) -> tuple[tuple[object, str], ...]:
    """Return the options that are rejected together: conditions and problems."""
    long, loop, draft = video.duration == "10s", video.loop, video.resolution in ("360p", "540p")
    keyframes, edit = video.keyframes, video.edit or EditBody()
    return (
        (long and video.start_frame, "video.duration: 10s is not valid with start_frame"),
        (long and video.end_frame, "video.duration: 10s is not valid with end_frame"),
        (long and video.hdr, "video.duration: 10s is not valid with hdr"),
        (loop and long, "video.loop: is not valid with a duration of 10s"),
        (loop and video.hdr, "video.loop: is not valid with hdr"),
        (loop and video.end_frame, "video.loop: is not valid with end_frame"),
        (loop and keyframes, "video.loop: is not valid with keyframes"),
        (keyframes and video.start_frame, "video.keyframes: are not valid with start_frame"),
        (keyframes and video.end_frame, "video.keyframes: are not valid with end_frame"),
        (edit.keyframes and video.start_frame, "video.edit.keyframes: not with start_frame"),
        (video.hdr and draft, f"video.hdr: is not valid with a resolution of {video.resolution}"),
        (video.exr_export and not video.hdr, "video.exr_export: needs hdr"),
    )


def _index_problems(
    where: str, keyframes: list[ReferenceBody] | None, indexes: list[int] | None, frames: int | None
) -> Iterator[str]:
    found = indexes or []
    if len(keyframes or ()) != len(found):
        yield f"{where}.keyframe_indexes: as many as keyframes are needed"
    if len(set(found)) != len(found):
        yield f"{where}.keyframe_indexes: must be unique"
    if frames is not None and any(index >= frames for index in found):
        yield f"{where}.keyframe_indexes: must be at most {frames - 1} for this duration"


class FileBody(OfficialBody):
    """Body of a request for a presigned upload."""

    nullable: ClassVar[frozenset[str]] = frozenset({"filename", "expires_at", "user_id"})

    mime_type: str
    size_bytes: int = Field(ge=1, le=5 * 2**30)
    filename: str | None = None
    purpose: Purpose = "input"
    expires_at: str | None = None
    user_id: str | None = None


def check_combination(body: GenerationBody) -> None:
    """Check that the fields of a submission are valid together.

    Raises:
        RejectedError: they are not.

    """
    if problems := list(body.problems()):
        raise RejectedError(422, "; ".join(problems))
