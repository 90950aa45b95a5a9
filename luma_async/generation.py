"""Generation: one status of a job, as the server reported it. Frozen."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import to_json

from luma_async.errors import LumaError, NoVideoError
from luma_async.field_docs import leave_out_python, with_field_docs
from luma_async.moderation import flagged_in, is_moderation
from luma_async.packed_row import PackedRow
from luma_async.text_values import shown_link


class State(StrEnum):
    """State of a job. A job moves down this list, and never up."""

    PENDING = "pending"
    """The job waits for its turn at the server."""
    PROCESSING = "processing"
    """The server works on the job."""
    COMPLETED = "completed"
    """The job has its output. This state is final."""
    FAILED = "failed"
    """The job has no output, and never will have one. This state is final."""

    @property
    def terminal(self) -> bool:
        """`True` if the state is final."""
        return self in (State.COMPLETED, State.FAILED)


class FrozenModel(BaseModel):
    """Base of all models. Instances cannot be changed."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, json_schema_extra=leave_out_python)

    @classmethod
    def of_checked(cls, fields: Mapping[str, Any]) -> Self:
        """Return the model with these fields, without validation. All fields must be given.

        The model takes half the memory of one that pydantic makes. Attributes that are set one by
        one share their names with all instances of the class, and all instances share one set of
        the names that were set.
        """
        model = cls.__new__(cls)
        put = object.__setattr__
        put(model, "__pydantic_fields_set__", _names_of(cls))
        put(model, "__pydantic_extra__", None)
        put(model, "__pydantic_private__", None)
        for name, value in fields.items():
            put(model, name, value)
        return model


@with_field_docs("Attributes")
class Layer(FrozenModel):
    """Position and content of an image that is a layer of another image."""

    index: int | None = Field(
        default=None, description="Position of the layer, from the front to the background."
    )
    label: str | None = Field(default=None, description="Name of the layer, in one or two words.")
    description: str | None = Field(default=None, description="Content of the layer.")
    alpha_hint: str | None = Field(
        default=None,
        description="Edges of the layer: soft, hard, or none for an opaque background.",
    )


@with_field_docs("Attributes")
class Asset(FrozenModel):
    """Output file of a job."""

    url: str | None = Field(default=None, description="Link to the file. It may expire.")
    width: int | None = Field(default=None, description="Width in pixels.")
    height: int | None = Field(default=None, description="Height in pixels.")
    duration: float | None = Field(default=None, description="Duration in seconds.")
    download_url: str | None = Field(
        default=None,
        description="Link to the same file without a watermark, if the server offers it.",
    )
    media_type: str | None = Field(
        default=None, description="Type of the file, as the server reported it."
    )
    layer: Layer | None = Field(
        default=None, description="Position and content of the layer, if the file is one."
    )

    @property
    def is_video(self) -> bool:
        """`True` if the server reported the file as a video."""
        return (self.media_type or "").lower().startswith("video")

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show links without signatures, so that readers of a log cannot fetch the file."""
        for name, value in super().__repr_args__():
            is_link = name in ("url", "download_url") and isinstance(value, str)
            yield name, shown_link(value) if is_link else value


def _unpacked(value: Any) -> Any:
    return value.unpacked() if type(value) is PackedRow else value


@with_field_docs("Attributes")
class Generation(FrozenModel):
    """Status of a job at one moment, as the server reported it."""

    id: str = Field(description="Id of the job at the server.")
    state: State = Field(description="State of the job.")
    prompt: str | None = Field(default=None, description="Prompt of the job.")
    video: Asset | None = Field(default=None, description="The finished video.")
    video_raw: Asset | None = Field(
        default=None, description="The video without a watermark, if the server offers it."
    )
    thumbnail: Asset | None = Field(default=None, description="Small still of the video.")
    last_frame: Asset | None = Field(
        default=None, description="Last frame of the video, if the server offers it."
    )
    created_at: datetime | None = Field(
        default=None, description="Time when the job was created, as the server reported it."
    )
    failure_reason: str | None = Field(
        default=None, description="Reason why the job failed, as the server reported it."
    )
    progress: float | None = Field(
        default=None, description="Progress of the job, from 0 to 1, if the server reports it."
    )
    queue_state: str | None = Field(
        default=None, description="Place of the job in the server's queue, in its own words."
    )
    estimate_wait_seconds: float | None = Field(
        default=None, description="The server's own estimate of the remaining time, in seconds."
    )
    outputs: tuple[Asset, ...] = Field(
        default=(),
        description="All output files of the job, in the server's order: a video, images, layers. "
        "Without a list from the server, only the video.",
    )
    failure_code: str | None = Field(
        default=None, description="Code of the reason why the job failed, if the server has codes."
    )
    model: str | None = Field(default=None, description="Model of the job, if the server says it.")
    type: str | None = Field(
        default=None, description="Kind of the job, in the server's own word, if it has one."
    )
    # The server may put private data into it, and web apps return generations to strangers.
    raw: Mapping[str, Any] = Field(
        default={},
        repr=False,
        exclude=True,
        description="The server's unchanged JSON object, including unknown fields. It is left out "
        "of `model_dump()`, JSON and schemas of responses, because it may contain private data.",
    )

    @model_validator(mode="after")
    def _complete_outputs(self) -> Self:
        """Let the video be among the outputs, and the outputs name the video."""
        if self.video is None:
            vars(self)["video"] = first_video(self.outputs)
        elif not self.outputs:
            vars(self)["outputs"] = (self.video,)
        return self

    @property
    def output(self) -> Asset | None:
        """The video, or the first output of a job without one. `None` if there is none yet."""
        return self.video or (self.outputs[0] if self.outputs else None)

    @property
    def url(self) -> str:
        """Best link to the output that the server reported: the video, or else the first output.

        The link leads to a video without a watermark if possible. Links expire: use it soon, or
        `LumaClient.download()`, which requests a new one.

        Raises:
            GenerationFailedError: the job failed.
            NoVideoError: the job is not completed, or was completed without a link.

        """
        if self.state is State.FAILED:
            raise failure_of(self)
        if self.state is not State.COMPLETED:
            raise NoVideoError(
                f"Job {self.id} was {self.state}, so it has no link to a video yet. Await its task "
                "first: the generation that this returns has the link.",
                task_id=self.id,
            )
        best = next(iter(urls_without_watermark(self)), None) or url_with_watermark(self)
        if best is None:
            raise NoVideoError(
                f"Job {self.id} is completed, but the server reported no link to an output. "
                "LumaClient.download() asks for one in every known way.",
                task_id=self.id,
            )
        return best

    def __hash__(self) -> int:
        return hash((self.id, self.state))

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:  # noqa: PYI058  as pydantic has it
        yield from ((name, _unpacked(value)) for name, value in super().__iter__())

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": dict(self)}


def complete_json(generation: Generation) -> bytes:
    """Return a generation as JSON with `raw`, and without the fields that are `None`.

    `Generation.model_validate_json()` makes an equal generation of it.

    Raises:
        ValueError: `raw` contains a value that JSON cannot represent.

    """
    fields = {name: value for name, value in generation if value is not None}
    if generation.outputs in ((), (generation.video,)):
        del fields["outputs"]  # it is made of the video again
    return to_json(fields, exclude_none=True, inf_nan_mode="null")


class GenerationFailedError(LumaError):
    """The job failed at the server.

    Attributes:
        generation: the last status of the job.
        refunded: `True` if the server refunds such a failure, `False` if it may charge a part of
            the price, and `None` if its documentation does not say.

    """

    for_users = "The server could not do this. Please try again."

    def __init__(self, generation: Generation) -> None:
        reason = generation.failure_reason or "no reason given"
        code, refunded = generation.failure_code, _REFUNDED.get(generation.failure_code or "")
        if code:
            reason = f"{reason.rstrip('. ')} (code {code})"
        super().__init__(f"Job {generation.id} failed: {reason}{_PAYMENTS[refunded]}")
        self.generation = generation
        self.refunded = refunded


class ModerationError(GenerationFailedError):
    """The job failed because of its content, such as a prompt or image that was moderated.

    Attributes:
        flagged: the flagged subjects, such as `violence`, if the server names them.

    """

    def __init__(self, generation: Generation) -> None:
        super().__init__(generation)
        self.flagged: tuple[str, ...] = flagged_in(generation.failure_reason, generation.raw)
        subjects = f" ({', '.join(self.flagged)})" if self.flagged else ""
        self.for_users: str = (
            f"The server rejected the content{subjects}. Please change the request."
        )


_REFUNDED = {
    "content_moderated": True,
    "generation_failed": True,
    "output_not_found": True,
    "budget_exhausted": False,
}
"""Failure codes of the Agents API that are refunded, or charged in part, by its documentation."""

_PAYMENTS = {
    True: "; the server refunds it",
    False: "; the server may charge a part of its price",
    None: "",
}


def failure_of(generation: Generation) -> GenerationFailedError:
    """Return the error of a failed job: `ModerationError` if it failed because of its content."""
    if is_moderation(generation.failure_code, generation.failure_reason):
        return ModerationError(generation)
    return GenerationFailedError(generation)


def urls_in(asset: Asset | None) -> list[str]:
    """Return the links to a file, the ordinary one first."""
    return [url for url in (asset.url, asset.download_url) if url] if asset else []


def urls_without_watermark(generation: Generation) -> list[str]:
    """Return the links to the video without a watermark, the best one first.

    The raw video has no watermark either.
    """
    video = generation.output
    clean = [video.download_url] if video and video.download_url else []
    return list(dict.fromkeys([*clean, *urls_in(generation.video_raw)]))


def url_with_watermark(generation: Generation) -> str | None:
    """Return the link to the video as it is shown, unless it is the raw video's.

    Without a video it is the link to the first output.
    """
    url = generation.output.url if generation.output else None
    return url if url and url not in urls_in(generation.video_raw) else None


def lacks_output(generation: Generation) -> bool:
    """Return `True` if a job is completed, but the server has reported no link yet."""
    return generation.state is State.COMPLETED and generation.output is None


def first_video(outputs: Iterable[Asset]) -> Asset | None:
    """Return the first video among some outputs, if there is one."""
    return next((each for each in outputs if each.is_video), None)


@cache
def _names_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


class _Raw:
    """Descriptor that unpacks the row of a generation at each access to `raw`.

    On the class it raises `AttributeError`, as other fields of pydantic do. Subclasses of
    `Generation` depend on this.
    """

    def __get__(self, generation: Generation | None, _: type[Generation]) -> Mapping[str, Any]:
        if generation is None or "raw" not in vars(generation):
            raise AttributeError("raw")
        raw: Mapping[str, Any] = _unpacked(vars(generation)["raw"])
        return raw

    def __set__(self, generation: Generation, raw: object) -> None:
        vars(generation)["raw"] = raw


setattr(Generation, "raw", _Raw())  # noqa: B010  a type checker must see the field only

for _model in (Layer, Asset, Generation):
    # Python shares the names of attributes only among the first thirty instances of a class that
    # set them. Instances that pydantic makes set none, and would use these up.
    _model.of_checked(dict.fromkeys(_model.model_fields))


def pack(generation: Generation, source: bytes | None = None) -> None:
    """Compress the row of a generation, so that a job that is watched takes less memory.

    A row as dictionaries and texts takes five times the memory, and is rarely read before the job
    has ended. `source` is the JSON from which the row was parsed, if it is known. The value of
    `Generation.raw` does not change.
    """
    fields = vars(generation)
    raw = fields["raw"]
    if raw and type(raw) is dict and (packed := PackedRow.of(raw, source)) is not None:
        fields["raw"] = packed
