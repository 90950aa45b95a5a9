"""Requests of the Dream Machine API: their fields, and the combinations that the API rejects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field

from luma_async.simulator.official_bodies import OfficialBody, WebURL, parsed
from luma_async.simulator.official_calls import RejectedError

CONCEPTS = (
    "aerial",
    "aerial_drone",
    "bolt_cam",
    "crane_down",
    "crane_up",
    "dolly_zoom",
    "handheld",
    "hyperlapse",
    "orbit_left",
    "orbit_right",
    "pan_left",
    "pan_right",
    "pov",
    "push_in",
    "static",
    "tilt_up",
    "timelapse",
    "zoom_in",
    "zoom_out",
)
"""Keys of the concepts that a video can follow."""

_SHORT_SIDES = {"540p": 540, "720p": 720, "1080p": 1080, "4k": 2160}
_FRAMES = {"5s": 121, "9s": 217}


def _check_prompt(prompt: str) -> str:
    if len(prompt.strip()) < 3:
        raise ValueError("Prompt is too short, minimum length is 3 characters")
    return prompt


def _check_concept(key: str) -> str:
    if key not in CONCEPTS:
        raise ValueError(f"must be one of {', '.join(CONCEPTS)}")
    return key


Prompt = Annotated[str, AfterValidator(_check_prompt), Field(max_length=5000)]
AspectRatio = Literal["1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"]
Resolution = Literal["540p", "720p", "1080p", "4k"]
VideoModel = Literal["ray-2", "ray-flash-2"]
ImageModel = Literal["photon-1", "photon-flash-1"]
Mode = Literal[
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


class MachineBody(OfficialBody):
    """Body of a submission.

    Attributes:
        output: kind of file that the job makes.
        shows_source: `True` if the job shows its source anew, in place of continuing it.
        status: HTTP status of the answer.

    """

    output: ClassVar[Literal["video", "image"]] = "video"
    shows_source: ClassVar[bool] = False
    status: ClassVar[int] = 201

    generation_type: str
    prompt: str | None = None
    callback_url: WebURL | None = None

    @property
    def shown_prompt(self) -> str:
        """Text that the video or image shows, or an empty text for that of its source."""
        return self.prompt or ""

    @property
    def short_side(self) -> int | None:
        """Pixels of the shorter side, if the request says."""
        return None

    @property
    def frames(self) -> int | None:
        """Number of frames, if the request says."""
        return 1 if self.output == "image" else None

    def problems(self) -> Iterator[str]:
        """Yield the reasons for which the API rejects the combination of fields."""
        yield from ()


Machine = TypeVar("Machine", bound=MachineBody)


class _Media(OfficialBody):
    url: WebURL


class _WeightedImage(OfficialBody):
    url: WebURL | None = None
    weight: float | None = Field(None, ge=0, le=1)


class _ImageFrame(OfficialBody):
    type: Literal["image"]
    url: WebURL


class GenerationFrame(OfficialBody):
    """Keyframe that is the first or the last frame of a job's video."""

    type: Literal["generation"]
    id: str


Keyframe = Annotated[GenerationFrame | _ImageFrame, Field(discriminator="type")]


class _Keyframes(OfficialBody):
    frame0: Keyframe | None = None
    frame1: Keyframe | None = None


class _Concept(OfficialBody):
    key: Annotated[str, AfterValidator(_check_concept)]


class _Identity(OfficialBody):
    images: list[WebURL] | None = Field(None, max_length=4)


class _Character(OfficialBody):
    identity0: _Identity | None = None


class NewVideo(MachineBody):
    """Body of `/generations/video`: a new video, an extension or a transition."""

    generation_type: Literal["video"] = "video"
    model: VideoModel
    prompt: Prompt | None = None
    aspect_ratio: AspectRatio | None = None
    loop: bool | None = None
    keyframes: _Keyframes | None = None
    resolution: Resolution | None = None
    duration: Literal["5s", "9s"] | None = None
    concepts: list[_Concept] | None = None

    @property
    def short_side(self) -> int | None:
        """Pixels of the shorter side, if the request says."""
        return None if self.resolution is None else _SHORT_SIDES[self.resolution]

    @property
    def frames(self) -> int | None:
        """Number of frames, if the request says."""
        return None if self.duration is None else _FRAMES[self.duration]

    def problems(self) -> Iterator[str]:
        """Yield the reasons for which the API rejects the combination of fields."""
        keyframes = self.keyframes
        if keyframes is None and self.prompt is None:
            yield "prompt: is required without keyframes"
        if keyframes is not None and keyframes.frame0 is None and keyframes.frame1 is None:
            yield "keyframes: either frame0 or frame1 must be provided"
        if self.loop and keyframes is not None and keyframes.frame1 is not None:
            yield "loop: is not supported with an end frame"

    def generation_frames(self) -> Iterator[tuple[str, str]]:
        """Yield the names of the keyframes that are jobs, with the ids of these."""
        for name in ("frame0", "frame1"):
            frame = getattr(self.keyframes, name, None)
            if isinstance(frame, GenerationFrame):
                yield name, frame.id


class NewImage(MachineBody):
    """Body of `/generations/image`."""

    output = "image"

    generation_type: Literal["image"] = "image"
    model: ImageModel
    prompt: Prompt
    aspect_ratio: AspectRatio | None = None
    format: Literal["jpg", "png"] = "jpg"
    image_ref: list[_WeightedImage] | None = Field(None, max_length=4)
    style_ref: list[_WeightedImage] | None = Field(None, max_length=4)
    character_ref: _Character | None = None
    modify_image_ref: _WeightedImage | None = None
    sync: bool = False
    sync_timeout: float = Field(60, ge=0, allow_inf_nan=False)


class ModifiedVideo(MachineBody):
    """Body of `/generations/video/modify`."""

    shows_source = True

    generation_type: Literal["modify_video"]
    media: _Media
    first_frame: _Media | None = None
    model: VideoModel
    mode: Mode
    prompt: Literal[""] | Prompt | None = None


class _Reframed(MachineBody):
    shows_source = True

    media: _Media
    prompt: Literal[""] | Prompt | None = None
    aspect_ratio: AspectRatio
    grid_position_x: int | None = None
    grid_position_y: int | None = None
    x_start: int | None = None
    x_end: int | None = None
    y_start: int | None = None
    y_end: int | None = None
    resized_width: int | None = None
    resized_height: int | None = None

    def problems(self) -> Iterator[str]:
        """Yield the reasons for which the API rejects the combination of fields."""
        for axis, start, end in (
            ("x", self.x_start, self.x_end),
            ("y", self.y_start, self.y_end),
        ):
            if start is not None and end is not None and start >= end:
                yield f"{axis}_end: must be greater than {axis}_start"


class ReframedVideo(_Reframed):
    """Body of `/generations/video/reframe`."""

    generation_type: Literal["reframe_video"]
    model: VideoModel
    first_frame: _Media | None = None


class ReframedImage(_Reframed):
    """Body of `/generations/image/reframe`."""

    output = "image"

    generation_type: Literal["reframe_image"]
    model: ImageModel
    format: Literal["jpg", "png"] = "jpg"


class UpscaledVideo(MachineBody):
    """Body of `/generations/{id}/upscale`."""

    shows_source = True
    status = 200  # as the contract has it

    generation_type: Literal["upscale_video"] = "upscale_video"
    resolution: Resolution = "1080p"

    @property
    def short_side(self) -> int:
        """Pixels of the shorter side."""
        return _SHORT_SIDES[self.resolution]


class AddedSound(MachineBody):
    """Body of `/generations/{id}/audio`."""

    shows_source = True
    status = 200  # as the contract has it

    generation_type: Literal["add_audio"] = "add_audio"
    prompt: Literal[""] | Prompt | None = None
    negative_prompt: str | None = Field(None, max_length=5000)

    @property
    def shown_prompt(self) -> str:
        """Empty text: the prompt of a sound is not in the picture."""
        return ""


def read_body(kind: type[Machine], document: dict[str, Any]) -> Machine:
    """Return the body of a submission.

    Raises:
        RejectedError: a field is not valid, or fields do not go together.

    """
    body = parsed(kind, document)
    if problems := list(body.problems()):
        raise RejectedError(400, "; ".join(problems))
    return body
