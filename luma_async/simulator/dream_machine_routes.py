"""Dream Machine routes: the calls of Luma's earlier API, under `/dream-machine/v1`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from luma_async.simulator.acceptance import Acceptance
from luma_async.simulator.answers import as_json, detail_refusal
from luma_async.simulator.clock import Clock
from luma_async.simulator.dream_machine_answers import DreamMachineAnswers, makes_image
from luma_async.simulator.dream_machine_requests import (
    CONCEPTS,
    AddedSound,
    MachineBody,
    ModifiedVideo,
    NewImage,
    NewVideo,
    ReframedImage,
    ReframedVideo,
    UpscaledVideo,
    read_body,
)
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.next_jobs import Rejection
from luma_async.simulator.official_calls import RejectedError, api_key, json_object
from luma_async.simulator.simulated_jobs import VIDEO_FILES, JobSpec, SimulatedJob

PRICE = 40
"""US cents that each job costs."""

BALANCE = 100_000
"""US cents of an account without a limit, before its first job."""

LARGEST_PAGE = 100
"""Maximum number of jobs in one page of the list. A larger `limit` is reduced to it."""

_ROOT = "/dream-machine/v1"
_EMPTY = Rejection(402, "insufficient_credits", "Insufficient credits", None)
_FULL = Rejection(429, "too_many_jobs", "Too many concurrent jobs", None)
_WHOLE_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)
_MEDIA = re.compile(r"/media/([^/]+)/[^/]+")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DreamMachineRoutes:
    """Handlers of the Dream Machine API for its jobs in a ledger."""

    def __init__(
        self, *, clock: Clock, ledger: Ledger, answers: DreamMachineAnswers, acceptance: Acceptance
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._answers = answers
        self._acceptance = acceptance
        self._deleted: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, named like the calls in faults and the ledger."""
        jobs = f"{_ROOT}/generations"
        one = f"{jobs}/{{id:(?!(?:image|video)$)[^/]+}}"  # these are paths of other calls
        return [
            # `POST /generations` came first, and clients of both kinds are in use.
            _post(f"{jobs}{{path:(/video)?}}", self._submission(NewVideo), "generate"),
            _post(f"{jobs}/image", self._submission(NewImage), "image"),
            _post(f"{jobs}/video/modify", self._submission(ModifiedVideo), "modify"),
            _post(f"{jobs}/video/reframe", self._submission(ReframedVideo), "reframe_video"),
            _post(f"{jobs}/image/reframe", self._submission(ReframedImage), "reframe_image"),
            _post(f"{one}/upscale", self._submission(UpscaledVideo), "upscale"),
            _post(f"{one}/audio", self._submission(AddedSound), "audio"),
            _get(f"{jobs}/concepts/list", self._concepts, "concepts"),
            _get(jobs, self._list, "list"),
            _get(one, self._one, "get"),
            web.delete(one, self._delete, name="dream-machine.delete"),
            _get(f"{_ROOT}/credits", self._credits, "credits"),
            _get(f"{_ROOT}/ping", self._ping, "ping"),
        ]

    def _submission(self, kind: type[MachineBody]) -> _Handler:
        async def submit(request: web.Request) -> web.StreamResponse:
            document = await json_object(request)
            return await self._submit(request, read_body(kind, document), document)

        return submit

    async def _submit(
        self, request: web.Request, body: MachineBody, document: dict[str, Any]
    ) -> web.StreamResponse:
        parent, follower = self._sources(request, body)
        rejection = self._acceptance.rejection(empty=_EMPTY, full=_FULL)
        if rejection is not None:
            return rejection.answer(detail_refusal)
        accepted: list[SimulatedJob] = []

        def answer(job: SimulatedJob) -> web.Response:
            accepted.append(job)
            return as_json(self._answers.generation(job), body.status)

        response = self._acceptance.take(
            request,
            _spec(body, document, parent, follower, api_key(request)),
            answer=answer,
            describe=self._answers.generation,
        )
        if isinstance(body, NewImage) and body.sync and accepted:
            (job,) = accepted
            end = min(job.ends_at, self._clock.now() + body.sync_timeout)
            await self._clock.sleep_until(end)
            return as_json(self._answers.generation(job), body.status)
        return response

    def _sources(
        self, request: web.Request, body: MachineBody
    ) -> tuple[SimulatedJob | None, SimulatedJob | None]:
        """Return the job before a new one, and the one after it.

        Raises:
            RejectedError: a job is not there, or has no video.

        """
        if "id" in request.match_info:
            return self._source(self._job(request), "id"), None
        if isinstance(body, ModifiedVideo | ReframedVideo | ReframedImage):
            # A file of this server shows the video or image of its job.
            found = _MEDIA.fullmatch(urlsplit(body.media.url).path)
            return (self._ledger.find(found[1]) if found is not None else None), None
        frames: dict[str, SimulatedJob] = {}
        if isinstance(body, NewVideo):
            for name, id in body.generation_frames():
                frames[name] = self._keyframe(id, f"keyframes.{name}.id", api_key(request))
        return frames.get("frame0"), frames.get("frame1")

    def _keyframe(self, id: str, field: str, owner: str) -> SimulatedJob:
        job = self._ledger.find(id)
        if job is None or not self._is_there(job, owner):
            raise RejectedError(400, f"{field}: generation not found")
        return self._source(job, field)

    def _source(self, job: SimulatedJob, field: str) -> SimulatedJob:
        if makes_image(job):
            raise RejectedError(400, f"{field}: the generation is not a video")
        if job.phase(self._clock.now()) != "completed":
            raise RejectedError(400, f"{field}: the generation is not completed")
        return job

    def _job(self, request: web.Request) -> SimulatedJob:
        """Return the job of a request's path."""
        job = self._ledger.find(request.match_info["id"])
        if job is None or not self._is_there(job, api_key(request)):
            raise RejectedError(404, "Generation not found")
        return job

    def _is_there(self, job: SimulatedJob, owner: str) -> bool:
        return job.api == "dream-machine" and job.owner == owner and job.id not in self._deleted

    async def _one(self, request: web.Request) -> web.Response:
        self._ledger.jobs_looked_at += 1
        return as_json(self._answers.generation(self._job(request)))

    async def _list(self, request: web.Request) -> web.Response:
        numbers = {}
        for name, default, least in (("limit", LARGEST_PAGE, 1), ("offset", 0, 0)):
            value = request.query.get(name, str(default))
            if not _WHOLE_NUMBER.fullmatch(value):
                raise RejectedError(422, f"{name}: must be an integer")
            numbers[name] = int(value)
            if numbers[name] < least:
                raise RejectedError(400, f"{name}: must be at least {least}")
        limit = min(numbers["limit"], LARGEST_PAGE)
        owner = api_key(request)
        jobs = [job for job in reversed(self._ledger.jobs) if self._is_there(job, owner)]
        return as_json(self._answers.page(jobs, limit=limit, offset=numbers["offset"]))

    async def _delete(self, request: web.Request) -> web.Response:
        self._deleted.add(self._job(request).id)
        return web.Response(status=204)

    async def _concepts(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return as_json(CONCEPTS)

    async def _credits(self, request: web.Request) -> web.Response:  # noqa: ARG002
        left = self._acceptance.credits
        balance = BALANCE - PRICE * len(self._ledger.jobs) if left is None else PRICE * left
        return as_json({"credit_balance": float(balance)})

    async def _ping(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return as_json({"message": "pong"})


def _spec(
    body: MachineBody,
    document: dict[str, Any],
    parent: SimulatedJob | None,
    follower: SimulatedJob | None,
    owner: str,
) -> JobSpec:
    """Return the specification of an accepted job."""
    shown, frames, model = body.shown_prompt, body.frames, document.get("model", "ray-2")
    files: tuple[str, ...] = VIDEO_FILES
    if parent is not None:
        shown = shown or parent.prompt
        if body.shows_source and not makes_image(parent):
            frames = frames or parent.frames
        if "model" not in document:
            model = parent.model
    if isinstance(body, NewImage | ReframedImage):
        files = (f"image.{body.format}",)
    return JobSpec(
        api="dream-machine",
        type=body.generation_type,
        request=document,
        model=model,
        prompt=shown,
        aspect_ratio=document.get("aspect_ratio"),
        short_side=body.short_side,
        frames=frames,
        parent=parent,
        follower=follower,
        changes_parent=parent is not None and body.shows_source,
        files=files,
        owner=owner,
        hook=body.callback_url,
    )


def _post(path: str, handler: _Handler, name: str) -> web.RouteDef:
    return web.post(path, handler, name=f"dream-machine.{name}")


def _get(path: str, handler: _Handler, name: str) -> web.RouteDef:
    return web.get(path, handler, name=f"dream-machine.{name}")
