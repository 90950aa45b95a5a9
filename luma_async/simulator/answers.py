"""Answers: the JSON bodies of the gateway about jobs, in each of its variants."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from luma_async.simulator.clock import Clock
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.simulated_jobs import SimulatedJob
from luma_async.simulator.variant import Variant

Refusal = Callable[[int, str, str], web.Response]
"""Function that returns an error answer for a status, a code and a message."""

_WORDS = {
    "luma": ("pending", "processing", "completed", "failed"),
    "task": ("NOT_START", "IN_PROGRESS", "SUCCESS", "FAILURE"),
    "official": ("queued", "dreaming", "completed", "failed"),
    "odd": ("warming_up", "almost_there", "Succeeded", "CANCELED"),
}
_PHASES = ("pending", "processing", "completed", "failed")


class Answers:
    """Writer of answers in the format of one variant of the gateway."""

    def __init__(self, variant: Variant, clock: Clock, links: SignedLinks, ledger: Ledger) -> None:
        self._variant = variant
        self._clock = clock
        self._ledger = ledger
        self.links = links

    def accepted(self, job: SimulatedJob) -> Any:
        """Return the answer to a submission."""
        moment = self._time(job.taken_at)
        match self._variant.submission:
            case "envelope":
                data = {
                    "task_id": job.id,
                    "task_status": "submitted",
                    "created_at": moment,
                    "updated_at": moment,
                }
                return {"code": 0, "message": "success", "request_id": "r-1", "data": data}
            case "id":
                return {"code": "success", "message": "", "data": job.id}
        task = {
            self._variant.id_name: job.id,
            "prompt": "" if job.parent else job.prompt,
            "state": self._word("pending"),
            "queue_state": self._place(job),
            "created_at": moment,
            "batch_id": "",
            "video": None,
            "video_raw": None,
            "liked": None,
            "estimate_wait_seconds": self._estimate(job),
            "thumbnail": None,
            "last_frame": None,
        }
        if self._variant.progress:
            task["progress"] = f"{job.progress(self._clock.now()):.0%}"
        match self._variant.submission:
            case "array":
                return [task]
            case "wrapped":
                return {"gen_api_response": task, "gen_api_status": 201}
        return task

    def one(self, job: SimulatedJob) -> Any:
        """Return the answer to "get one"."""
        if self._variant.one == "row":
            row = self.row(job)
            if self._variant.upstream_ids:
                task = self._by_upstream(row["data"], job) if row["data"] else None
                row |= {"task_id": _upstream_id(job), "data": task}
            return {"code": "success", "message": "", "data": row}
        task = self._by_upstream(self.task(job), job)
        match self._variant.one:
            case "array":
                return [task]
            case "wrapped":
                return {"data": task}
        return task

    def callback(self, job: SimulatedJob) -> Any:
        """Return the body of a callback, or `None` if it has none."""
        match self._variant.callback:
            case "row":
                return self.row(job)
            case "none":
                return None
        return self.one(job)

    def many(self, jobs: list[SimulatedJob]) -> Any:
        """Return the answer to "get many"."""
        if self._variant.batch == "rows":
            return {"code": "success", "message": "", "data": [self.row(job) for job in jobs]}
        tasks = [self.task(job) for job in jobs]
        if self._variant.batch == "wrapped":
            return {"data": tasks}
        return tasks

    def task(self, job: SimulatedJob) -> dict[str, Any]:
        """Return the current task object."""
        now = self._clock.now()
        phase = job.phase(now)
        task: dict[str, Any] = {
            self._variant.id_name: job.id,
            "state": self._word(phase),
            "failure_reason": self._reason(job, now),
            "request": {
                "prompt": job.prompt,
                "aspect_ratio": job.request.get("aspect_ratio") or "16:9",
            },
            "created_at": self._time(job.taken_at),
            "estimate_wait_seconds": self._estimate(job),
            "video": None,
        }
        if self._variant.progress:
            task |= {"progress": f"{job.progress(now):.0%}", "queue_state": self._place(job)}
        if self._has_link(job, now):
            task |= self._assets(job)
        return task

    def row(self, job: SimulatedJob) -> dict[str, Any]:
        """Return the current row around the task object."""
        now = self._clock.now()
        phase = job.phase(now)
        data: Mapping[str, Any] | None = self.task(job)
        if self._variant.row_data == "null":
            data = None
        elif self._variant.row_data == "stale":
            data = {**self.task(job), "state": "pending", "video": None}
            data = {name: value for name, value in data.items() if name in _STALE_FIELDS}
        finished = phase in ("completed", "failed")
        return {
            "id": 13000 + job.number,
            "task_id": job.id,
            "platform": "luma",
            "action": "LUMA_VIDEO",
            "status": _WORDS["task"][_PHASES.index(phase)],
            "progress": f"{job.progress(now):.0%}",
            "fail_reason": self._reason(job, now) or "",
            "submit_time": int(self._clock.real(job.taken_at)),
            "start_time": int(self._clock.real(job.starts_at)) if phase != "pending" else 0,
            "finish_time": int(self._clock.real(job.ends_at)) if finished else 0,
            "created_at": self._time(job.taken_at),
            "updated_at": self._time(now),
            "data": data,
        }

    def _by_upstream(self, task: dict[str, Any], job: SimulatedJob) -> dict[str, Any]:
        if not self._variant.upstream_ids:
            return task
        return {**task, self._variant.id_name: _upstream_id(job)}

    def _has_link(self, job: SimulatedJob, now: float) -> bool:
        return job.phase(now) == "completed" and now >= job.ends_at + self._variant.link_delay

    def _reason(self, job: SimulatedJob, now: float) -> str | None:
        if self._variant.video == "reason" and self._has_link(job, now):
            return self.links.to(job, "video.mp4")
        return job.failure if job.phase(now) == "failed" else None

    def _assets(self, job: SimulatedJob) -> dict[str, Any]:
        size = {"width": job.width, "height": job.height}
        clean = self.links.to(job, "clean.mp4")
        video = {"url": self.links.to(job, "video.mp4"), **size, "download_url": clean}
        raw = {"url": clean, **size, "duration": job.frames / 24, "media_type": "video"}
        thumbnail = {"url": self.links.to(job, "thumbnail.jpg"), **size, "media_type": "image"}
        last = {"url": self.links.to(job, "last.jpg"), **size, "media_type": "image"}
        match self._variant.video:
            case "text":
                return {"video": video["url"], "thumbnail": thumbnail["url"]}
            case "artifact":
                parts = {"video": video, "video_raw": raw, "thumbnail": thumbnail}
                artifact = {"created_at": "0001-01-01T00:00:00Z", **parts, "last_frame": last}
                return {"artifact": artifact}
            case "raw":
                return {"video_raw": raw, "thumbnail": thumbnail}
            case "assets":
                return {"assets": {"video": video["url"]}}
            case "reason":
                return {}
        return {"video": video, "video_raw": raw, "thumbnail": thumbnail, "last_frame": last}

    def _estimate(self, job: SimulatedJob) -> float | None:
        left = (job.ends_at - self._clock.now()) / self._clock.speed
        return round(left, 3) if self._variant.estimates and left > 0 else None

    def _place(self, job: SimulatedJob) -> str | None:
        place = self._ledger.place_in_queue(job) if self._variant.progress else None
        return None if place is None else f"position {place}"

    def _word(self, phase: str) -> str:
        return _WORDS[self._variant.words][_PHASES.index(phase)]

    def _time(self, moment: float) -> Any:
        seconds = self._clock.real(moment)
        when = datetime.fromtimestamp(seconds, UTC)
        match self._variant.times:
            case "no_fraction":
                return when.strftime("%Y-%m-%dT%H:%M:%SZ")
            case "no_zone":
                return when.strftime("%Y-%m-%dT%H:%M:%S.%f")
            case "epoch":
                return int(seconds)
            case "epoch_ms":
                return int(seconds * 1000)
            case "zero":
                return "0001-01-01T00:00:00Z"
        return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def refusal(self, status: int, code: str, message: str) -> web.Response:
        """Return an error answer in the variant's format."""
        match self._variant.errors:
            case "task":
                body: Any = {"code": code, "message": message, "data": None}
            case "task_200":
                return as_json({"code": code, "message": message, "data": None}, 200)
            case "detail":
                body = {"detail": message}
            case "reason":
                body = {"detail": {"reason": message, "code": 1}}
            case "list":
                body = {"detail": [{"loc": ["body", "user_prompt"], "msg": message}]}
            case "page":
                page = f"<html><title>{status} {message}</title></html>"
                return web.Response(status=status, text=page, content_type="text/html")
            case _:
                error = {"message": message, "type": "luma_error", "param": "", "code": code}
                body = {"error": error}
        return as_json(body, status)


def detail_refusal(status: int, code: str, message: str) -> web.Response:  # noqa: ARG001
    """Return an error answer in the format of Luma's own APIs: the message, without a code."""
    return as_json({"detail": message}, status)


_HOST: ContextVar[str] = ContextVar("host")
"""Base URL by which the current request's client reached this server."""


class SignedLinks:
    """Signed links to the files of jobs, with an expiry time.

    Links begin with the base URL of the current request, because a server on all addresses is
    reached by a different name by each of its clients. Links in a callback begin with the base URL
    of the job's submission.
    """

    def __init__(self, clock: Clock, *, lifetime: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self.host = ""

    def use_host(self, host: str) -> None:
        """Set the base URL of links in the answer to the current request."""
        _HOST.set(host)

    def to(self, job: SimulatedJob, name: str) -> str:
        """Return a link to a file of a job that is valid from now on for the lifetime."""
        until = self._clock.now() + self._lifetime
        host = _HOST.get(self.host)
        return f"{host}/media/{job.id}/{name}?X-Amz-Expires=3600&until={until:.6f}"

    def to_upload(self, id: str) -> tuple[str, float]:
        """Return a link for the upload of a file, and the time when it expires."""
        until = self._clock.now() + self._lifetime
        host = _HOST.get(self.host)
        return f"{host}/uploads/{id}?X-Amz-Expires=3600&until={until:.6f}", until

    def is_valid(self, until: str) -> bool:
        """Return `True` if a link has not expired."""
        try:
            return float(until) >= self._clock.now()
        except ValueError:
            return False


def _upstream_id(job: SimulatedJob) -> str:
    return f"upstream-{job.number}"


_STALE_FIELDS = ("id", "task_id", "taskId", "state", "request", "created_at", "video")


def as_json(document: Any, status: int = 200) -> web.Response:
    """Return a document as an answer."""
    return web.Response(
        body=json.dumps(document).encode(), status=status, content_type="application/json"
    )
