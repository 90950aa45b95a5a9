"""Simulated jobs: their states over time are decided when they are accepted."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from luma_async.simulator.clock import Clock
from luma_async.simulator.durations import Durations

Api = Literal["gateway", "agents", "dream-machine"]
Phase = Literal["pending", "processing", "completed", "failed"]

CLIP_SECONDS = 121 / 24
"""Duration of a new video: 121 frames at 24 per second. An extension adds 120 frames, because its
first frame is the last one of its parent."""

FAILURE = "the prompt could not be rendered"
"""Reason for the failure of a job, unless a test gives another."""

VIDEO_FILES = ("video.mp4", "clean.mp4", "thumbnail.jpg", "last.jpg")
"""Names of the files of a video: with and without watermark, first and last frame."""

_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """Specification of a job, in the same words for each API.

    Args:
        api: API that received the submission.
        type: kind of job, in the words of the API.
        request: body of the submission as it was received.
        prompt: text that the video or image shows.
        aspect_ratio: ratio such as `16:9`; the parent's one or 16:9 if not given.
        short_side: pixels of the shorter side; the parent's ones or a default if not given.
        frames: number of frames; that of a new video or of an extension if not given.
        parent: job that this one continues, or changes.
        follower: job whose first frame is the last frame of this one.
        changes_parent: `True` if the job shows its parent anew (edit, reframe, upscale), in place
            of continuing it.
        files: names of the files of the completed job. A name says how the file is rendered: see
            `luma_async.simulator.media_host`.
        model: model that makes the output, if the API has several.
        owner: API key of the submission.
        hook: URL for callbacks.

    """

    api: Api
    type: str
    request: Mapping[str, Any]
    prompt: str
    aspect_ratio: str | None = None
    short_side: int | None = None
    frames: int | None = None
    parent: SimulatedJob | None = None
    follower: SimulatedJob | None = None
    changes_parent: bool = False
    files: tuple[str, ...] = VIDEO_FILES
    model: str = ""
    owner: str = field(default="", repr=False)
    hook: str | None = None


@dataclass(frozen=True, slots=True)
class SimulatedJob:
    """Job of the simulator. Times are simulated seconds, sizes are pixels.

    `request` is the body of its submission as it was received, in the words of the job's API.
    """

    id: str
    number: int
    request: Mapping[str, Any]
    parent: SimulatedJob | None
    taken_at: float
    starts_at: float
    ends_at: float
    failure: str | None
    width: int
    height: int
    frames: int
    prompt: str
    api: Api = "gateway"
    type: str = "generate"
    follower: SimulatedJob | None = None
    changes_parent: bool = False
    files: tuple[str, ...] = VIDEO_FILES
    model: str = ""
    owner: str = field(default="", repr=False)

    def phase(self, now: float) -> Phase:
        """Return the phase of the job at a simulated time."""
        if now < self.starts_at:
            return "pending"
        if now < self.ends_at:
            return "processing"
        return "failed" if self.failure else "completed"

    def progress(self, now: float) -> float:
        """Return the progress of the job at a simulated time, from 0 to 1."""
        if self.ends_at <= self.starts_at:
            return 1.0
        return min(max((now - self.starts_at) / (self.ends_at - self.starts_at), 0.0), 1.0)


class JobFactory:
    """Factory of jobs that draws their ids, durations and failures at random."""

    def __init__(
        self,
        clock: Clock,
        chance: random.Random,
        *,
        durations: Durations,
        failure_rate: float,
        short_side: int,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._durations = durations
        self.failure_rate = failure_rate
        self._short_side = short_side
        self._count = 0

    def make(
        self,
        spec: JobSpec,
        *,
        failure: str | None = None,
        delay: float = 0.0,
    ) -> SimulatedJob:
        """Create the job of an accepted request.

        The job fails with the reason `failure`, if there is one, and takes `delay` simulated
        seconds longer. Neither affects the random numbers of this job or of later ones.
        """
        now = self._clock.now()
        duration = self._durations.draw(self._chance)
        failed = self._chance.random() < self.failure_rate
        self._count += 1
        width, height = self._size(spec)
        continued = 0 if spec.parent is None else spec.parent.frames - 1
        return SimulatedJob(
            id=str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            number=self._count,
            request=spec.request,
            parent=spec.parent,
            taken_at=now,
            starts_at=now + 0.1 * duration,
            ends_at=now + duration + delay,
            failure=failure or (FAILURE if failed else None),
            width=width,
            height=height,
            frames=spec.frames or 121 + continued,
            prompt=spec.prompt,
            api=spec.api,
            type=spec.type,
            follower=spec.follower,
            changes_parent=spec.changes_parent,
            files=spec.files,
            model=spec.model,
            owner=spec.owner,
        )

    def _size(self, spec: JobSpec) -> tuple[int, int]:
        across, down = 16, 9
        side = spec.short_side or self._short_side
        if (source := spec.parent or spec.follower) is not None:
            if not spec.aspect_ratio and not spec.short_side:
                return source.width, source.height
            across, down = source.width, source.height
            side = spec.short_side or min(across, down)
        if spec.aspect_ratio:
            across, down = (int(part) for part in spec.aspect_ratio.split(":"))
        scale = side / min(across, down)
        return _even(across * scale), _even(down * scale)


def is_known_ratio(ratio: Any) -> bool:
    """Return `True` if the gateway supports this aspect ratio. `None` and "" mean the default."""
    return ratio in (None, "") or ratio in _RATIOS


def _even(pixels: float) -> int:
    return round(pixels / 2) * 2
