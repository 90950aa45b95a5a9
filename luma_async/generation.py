"""Generation: one status of a job, as the server reported it. Frozen."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WrapSerializer,
)

from luma_async.packed_row import PackedRow
from luma_async.text_values import shown_link


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


class FrozenModel(BaseModel):
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


class Asset(FrozenModel):
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


class Generation(FrozenModel):
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
