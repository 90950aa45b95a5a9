"""Agents routes: the generations of Luma's own API (wire format 4)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import uuid
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from luma_async.simulator.acceptance import Acceptance
from luma_async.simulator.agents_requests import (
    VIDEO_TYPES,
    GenerationBody,
    ReferenceBody,
    VideoBody,
    check_combination,
)
from luma_async.simulator.answers import SignedLinks, as_json, detail_refusal
from luma_async.simulator.clock import Clock
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.media_probe import Media, UnusableMediaError, probe
from luma_async.simulator.minute_limit import MinuteLimit
from luma_async.simulator.next_jobs import Rejection
from luma_async.simulator.official_bodies import parsed
from luma_async.simulator.official_calls import RejectedError, api_key, json_object
from luma_async.simulator.simulated_jobs import JobSpec, SimulatedJob
from luma_async.simulator.uploaded_files import UploadedFiles

VERSION = "2026-04-01"

FAILURES = {
    "content_moderated": "The content was flagged by moderation",
    "generation_failed": "The generation failed",
    "budget_exhausted": "The budget of the generation is used up",
    "output_not_found": "The output was not found",
    "image_too_large": "The image is too large",
    "unsupported_format": "The format of the media is not supported",
    "corrupt_input": "The media could not be read",
    "invalid_request": "The request is not valid",
    "rate_limited": "The upstream model is rate limited",
}
"""Failure codes with their usual reasons."""

LAYERS = (
    ("caption", "A dark band with the prompt in white letters", "hard"),
    ("discs", "Five soft-edged discs in bright colours", "soft"),
    ("background", "A gradient of related colours", "none"),
)
"""Label, description and edges of the layers of each image, from front to back."""

_EMPTY = Rejection(402, "", "Insufficient balance", None)
_FULL = Rejection(429, "", "Too many concurrent jobs", 60)
_STATES = {
    "pending": "queued",
    "processing": "processing",
    "completed": "completed",
    "failed": "failed",
}
_LONGEST_SOURCE = {"video_edit": 18, "video_reframe": 30}
_FRAME = 1 / 24
"""Seconds of a frame: the first and the last one of a video are both within its duration."""

_ENDS = ("video.start_frame", "video.end_frame")
_LAYER_SIDES = {"1k": 1024, "2k": 2048}


def mark(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that all answers of the API have, unlike those of a proxy."""
    response.headers["X-API-Version"] = VERSION
    response.headers["X-Request-Id"] = request.headers.get("X-Request-Id") or str(uuid.uuid4())


class AgentsRoutes:
    """Handlers of `/generations`."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        links: SignedLinks,
        acceptance: Acceptance,
        minute_limit: MinuteLimit,
        files: UploadedFiles,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._links = links
        self._acceptance = acceptance
        self._minute_limit = minute_limit
        self._files = files

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, named like the calls in faults and the ledger."""
        one = "/v1/generations/{id}"
        return [
            web.post("/v1/generations", self._generate, name="agents.generate"),
            web.get(one, self._get, name="agents.get", allow_head=False),
        ]

    async def _generate(self, request: web.Request) -> web.Response:
        if (refused := self._minute_limit.refuse()) is not None:
            return refused
        document = await json_object(request)
        body = parsed(GenerationBody, document)
        check_combination(body)
        owner = api_key(request)
        found = {
            where: await self._media(body, where, each, owner) for where, each in body.references()
        }
        rejection = self._acceptance.rejection(empty=_EMPTY, full=_FULL)
        if rejection is not None:
            return rejection.answer(detail_refusal)
        response = self._acceptance.take(
            request, self._spec(body, document, owner, found), answer=self._accepted
        )
        self._minute_limit.mark(response)
        return response

    async def _get(self, request: web.Request) -> web.Response:
        self._ledger.jobs_looked_at += 1
        return as_json(self._generation(self._job(request.match_info["id"], api_key(request), 404)))

    def _job(self, id: str, owner: str, status: int) -> SimulatedJob:
        job = self._ledger.find(id)
        if job is None or job.api != "agents" or job.owner != owner:
            raise RejectedError(status, f"generation not found: {id}")
        return job

    async def _media(
        self, body: GenerationBody, where: str, reference: ReferenceBody, owner: str
    ) -> Media | SimulatedJob | None:
        """Return the media of a reference, or its job. The content of URLs is not known."""
        media: Media | SimulatedJob | None = None
        if reference.generation_id is not None:
            media = self._source_job(where, reference.generation_id, owner)
        elif reference.file_id is not None:
            media = self._file(where, reference.file_id, owner)
        elif reference.data is not None:
            media = await _decoded(where, reference.data)
        if media is None:
            return None
        kind, seconds = _kind(media)
        if where == "source" and body.type in VIDEO_TYPES:
            longest = _LONGEST_SOURCE[body.type]
            if kind != "video":
                raise RejectedError(422, "source: an image was found, a video is needed")
            if seconds > longest + _FRAME:
                raise RejectedError(422, f"source: the video must last at most {longest} s")
        elif kind != "image" and not (isinstance(media, SimulatedJob) and where in _ENDS):
            raise RejectedError(422, f"{where}: a video was found, an image is needed")
        return media

    def _source_job(self, where: str, id: str, owner: str) -> SimulatedJob:
        job = self._job(id, owner, 422)
        if job.phase(self._clock.now()) != "completed":
            raise RejectedError(422, f"{where}: the generation is not completed")
        if where in _ENDS and (job.request.get("video") or {}).get("hdr"):
            raise RejectedError(422, f"{where}: an HDR video cannot be extended")
        return job

    def _file(self, where: str, id: str, owner: str) -> Media | None:
        file = self._files.find(id, owner)
        state = "unknown" if file is None else file.state(self._clock.now())
        if file is None or state != "ready":
            raise RejectedError(422, f"{where}: the file {id} is not ready ({state})")
        return file.media

    def _spec(
        self,
        body: GenerationBody,
        document: dict[str, Any],
        owner: str,
        found: dict[str, Media | SimulatedJob | None],
    ) -> JobSpec:
        video = body.video or VideoBody()
        source = found.get("source")
        frames: int | None = 1
        side: int | None = None
        if body.type in VIDEO_TYPES:
            frames = _frames(source) or video.frames
            side = int(video.resolution.removesuffix("p")) if video.resolution else None
        elif body.type == "layering" and body.layering is not None:
            side = _LAYER_SIDES[body.layering.resolution]
        ratio: str | None = body.aspect_ratio
        if ratio is None and isinstance(source, Media):
            ratio = _ratio(source)
        before, after = found.get("video.start_frame"), found.get("video.end_frame")
        parent = source or before
        return JobSpec(
            api="agents",
            type=body.type,
            request=document,
            prompt=body.prompt,
            aspect_ratio=ratio,
            short_side=side,
            frames=frames,
            parent=parent if isinstance(parent, SimulatedJob) else None,
            follower=after if isinstance(after, SimulatedJob) else None,
            changes_parent=source is not None,
            files=_file_names(body),
            model=body.used_model,
            owner=owner,
        )

    def _accepted(self, job: SimulatedJob) -> web.Response:
        return as_json(self._generation(job), 201)

    def _generation(self, job: SimulatedJob) -> dict[str, Any]:
        """Return a job as the API tells it, with fresh links."""
        phase = job.phase(self._clock.now())
        failure = job.failure if phase == "failed" and job.failure else None
        code = reason = None
        if failure is not None:
            code = failure if failure in FAILURES else "generation_failed"
            reason = FAILURES.get(failure, failure)
        created = datetime.fromtimestamp(self._clock.real(job.taken_at), UTC)
        return {
            "id": job.id,
            "created_at": created.isoformat(),
            "model": job.model,
            "state": _STATES[phase],
            "type": job.type,
            "failure_code": code,
            "failure_reason": reason,
            "output": self._output(job) if phase == "completed" else [],
        }

    def _output(self, job: SimulatedJob) -> list[dict[str, Any]]:
        outputs = []
        for index, name in enumerate(job.files):
            kind = "video" if name.endswith(".mp4") else "image"
            output: dict[str, Any] = {"type": kind, "url": self._links.to(job, name)}
            if job.type == "layering":
                label, description, alpha = LAYERS[index]
                output["layer"] = {
                    "index": index,
                    "label": label,
                    "description": description,
                    "alpha_hint": alpha,
                }
            outputs.append(output)
        return outputs


def _kind(media: Media | SimulatedJob) -> tuple[str, float]:
    """Return "image" or "video", and the duration in seconds."""
    if isinstance(media, Media):
        return media.kind, media.seconds
    return ("video" if media.type in VIDEO_TYPES else "image"), media.frames / 24


async def _decoded(where: str, data: str) -> Media:
    try:
        content = base64.b64decode(data, validate=True)
        return await asyncio.to_thread(probe, content)
    except (binascii.Error, ValueError):
        raise RejectedError(400, f"{where}.data: is not valid Base64") from None
    except UnusableMediaError as error:
        raise RejectedError(422, f"{where}.data: {error}") from None


def _ratio(media: Media) -> str | None:
    """Return the ratio of a source, or `None` if no output has such a ratio."""
    long, short = max(media.width, media.height), min(media.width, media.height)
    return f"{media.width}:{media.height}" if long <= 3 * short else None


def _frames(source: Media | SimulatedJob | None) -> int | None:
    """Return the number of frames of a source video, if it is known."""
    if isinstance(source, SimulatedJob):
        return source.frames
    return None if source is None else max(round(source.seconds * 24), 1)


def _file_names(body: GenerationBody) -> tuple[str, ...]:
    if body.type == "layering":
        return tuple(f"layer-{number}.png" for number in range(len(LAYERS)))
    if body.type in VIDEO_TYPES:
        exr = body.video is not None and body.video.exr_export
        return ("clean.mp4", "first.exr") if exr else ("clean.mp4",)
    return ("image.png",) if body.output_format == "png" else ("image.jpg",)
