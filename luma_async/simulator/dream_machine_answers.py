"""Dream Machine answers: the JSON bodies about jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from luma_async.simulator.answers import SignedLinks
from luma_async.simulator.clock import Clock
from luma_async.simulator.simulated_jobs import SimulatedJob

_STATES = {"pending": "queued", "processing": "dreaming"}


class DreamMachineAnswers:
    """Writer of answers in the format of the Dream Machine API."""

    def __init__(self, clock: Clock, links: SignedLinks) -> None:
        self._clock = clock
        self._links = links

    def generation(self, job: SimulatedJob) -> dict[str, Any]:
        """Return the current state of a job.

        `failure_reason` and `assets` are null until there is something to tell.
        """
        now = self._clock.now()
        phase = job.phase(now)
        when = datetime.fromtimestamp(self._clock.real(job.taken_at), UTC)
        return {
            "id": job.id,
            "generation_type": "image" if makes_image(job) else "video",
            "state": _STATES.get(phase, phase),
            "failure_reason": job.failure if phase == "failed" else None,
            "created_at": when.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "assets": self._assets(job) if phase == "completed" else None,
            "model": job.model,
            "request": {"generation_type": job.type, **job.request},
        }

    def page(self, jobs: Sequence[SimulatedJob], *, limit: int, offset: int) -> dict[str, Any]:
        """Return one page of jobs."""
        page = [self.generation(job) for job in jobs[offset : offset + limit]]
        return {
            "has_more": offset + limit < len(jobs),
            "count": len(page),
            "limit": limit,
            "offset": offset,
            "generations": page,
        }

    def _assets(self, job: SimulatedJob) -> dict[str, Any]:
        if makes_image(job):
            return {"image": self._links.to(job, f"image.{job.request.get('format', 'jpg')}")}
        return {
            "video": self._links.to(job, "clean.mp4"),
            "progress_video": self._links.to(job, "video.mp4"),
        }


def makes_image(job: SimulatedJob) -> bool:
    """Return `True` if the output of a job is an image."""
    return job.type in ("image", "reframe_image")
