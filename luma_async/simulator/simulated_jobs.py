"""Simulated jobs: their states over time are decided when they are accepted."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from luma_async.simulator.clock import Clock
from luma_async.simulator.durations import Durations

Phase = Literal["pending", "processing", "completed", "failed"]

CLIP_SECONDS = 121 / 24
"""Duration of a new video: 121 frames at 24 per second. An extension adds 120 frames, because its
first frame is the last one of its parent."""

FAILURE = "the prompt could not be rendered"
"""Reason for the failure of a job, unless a test gives another."""

_RATIOS = {
    "16:9": (16, 9),
    "9:16": (9, 16),
    "1:1": (1, 1),
    "4:3": (4, 3),
    "3:4": (3, 4),
    "21:9": (21, 9),
    "9:21": (9, 21),
}


@dataclass(frozen=True, slots=True)
class SimulatedJob:
    """Job of the simulator. Times are simulated seconds, sizes are pixels."""

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

    @property
    def prompt(self) -> str:
        """Prompt of the request."""
        return str(self.request.get("user_prompt", ""))

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
        request: Mapping[str, Any],
        parent: SimulatedJob | None = None,
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
        width, height = self._size(request, parent)
        return SimulatedJob(
            id=str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            number=self._count,
            request=request,
            parent=parent,
            taken_at=now,
            starts_at=now + 0.1 * duration,
            ends_at=now + duration + delay,
            failure=failure or (FAILURE if failed else None),
            width=width,
            height=height,
            frames=121 if parent is None else parent.frames + 120,
        )

    def _size(self, request: Mapping[str, Any], parent: SimulatedJob | None) -> tuple[int, int]:
        if parent is not None:
            return parent.width, parent.height
        across, down = _RATIOS[request.get("aspect_ratio") or "16:9"]
        resolution = str(request.get("resolution") or "").removesuffix("p")
        side = int(resolution) if resolution in ("540", "720", "1080") else self._short_side
        scale = side / min(across, down)
        return _even(across * scale), _even(down * scale)


def is_known_ratio(ratio: Any) -> bool:
    """Return `True` if the gateway supports this aspect ratio. `None` and "" mean the default."""
    return ratio in (None, "") or ratio in _RATIOS


def _even(pixels: float) -> int:
    return round(pixels / 2) * 2
