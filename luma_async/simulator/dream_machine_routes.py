"""Dream Machine routes: the calls of Luma's earlier API, under `/dream-machine/v1`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from luma_async.simulator.acceptance import Acceptance
from luma_async.simulator.answers import detail_refusal
from luma_async.simulator.body_fields import read_object
from luma_async.simulator.clock import Clock
from luma_async.simulator.dream_machine_answers import (
    DreamMachineAnswers,
    json_answer,
    makes_image,
)
from luma_async.simulator.dream_machine_requests import (
    AUDIO,
    CONCEPTS,
    IMAGE,
    MODIFY,
    REFRAME_IMAGE,
    REFRAME_VIDEO,
    UPSCALE,
    VIDEO,
    Kind,
    frames,
    short_side,
)
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.next_jobs import Rejection
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
            _post(f"{jobs}{{path:(/video)?}}", self._submission(VIDEO), "generate"),
            _post(f"{jobs}/image", self._submission(IMAGE), "image"),
            _post(f"{jobs}/video/modify", self._submission(MODIFY), "modify"),
            _post(f"{jobs}/video/reframe", self._submission(REFRAME_VIDEO), "reframe_video"),
            _post(f"{jobs}/image/reframe", self._submission(REFRAME_IMAGE), "reframe_image"),
            _post(f"{one}/upscale", self._submission(UPSCALE), "upscale"),
            _post(f"{one}/audio", self._submission(AUDIO), "audio"),
            _get(f"{jobs}/concepts/list", self._concepts, "concepts"),
            _get(jobs, self._list, "list"),
            _get(one, self._one, "get"),
            web.delete(one, self._delete, name="dream-machine.delete"),
            _get(f"{_ROOT}/credits", self._credits, "credits"),
            _get(f"{_ROOT}/ping", self._ping, "ping"),
            web.route(hdrs.METH_ANY, f"{_ROOT}{{rest:(/.*)?}}", self._other),
        ]

    def _submission(self, kind: Kind) -> _Handler:
        async def submit(request: web.Request) -> web.StreamResponse:
            return await self._submit(request, kind)

        return submit

    async def _submit(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        body = read_object(await request.read())
        if isinstance(body, str):
            return detail_refusal(422, "", body)
        if problem := kind.problem(body):
            return detail_refusal(400, "", problem)
        try:
            parent, follower = self._sources(request, body)
        except _SourceError as error:
            return detail_refusal(error.status, "", str(error))
        rejection = self._acceptance.rejection(empty=_EMPTY, full=_FULL)
        if rejection is not None:
            return rejection.answer(detail_refusal)
        accepted: list[SimulatedJob] = []

        def answer(job: SimulatedJob) -> web.Response:
            accepted.append(job)
            return self._created(kind, job)

        spec = JobSpec(
            api="dream-machine",
            type=kind.name,
            request=body,
            prompt=_shown(kind, body, parent),
            aspect_ratio=body.get("aspect_ratio") if parent is None or kind.changes else None,
            short_side=short_side(kind, body),
            frames=parent.frames if parent is not None and kind.changes else frames(body),
            parent=parent,
            follower=follower,
            changes_parent=parent is not None and kind.changes,
            files=_files(kind, body),
            hook=body.get("callback_url"),
        )
        response = self._acceptance.take(
            request, spec, answer=answer, describe=self._answers.generation
        )
        if body.get("sync") and accepted:
            timeout = body.get("sync_timeout", 60)
            (job,) = accepted
            await self._clock.sleep_until(min(job.ends_at, self._clock.now() + timeout))
            return self._created(kind, job)
        return response

    def _created(self, kind: Kind, job: SimulatedJob) -> web.Response:
        status = 200 if kind in (UPSCALE, AUDIO) else 201  # as the contract has it
        return json_answer(self._answers.generation(job), status)

    def _sources(
        self, request: web.Request, body: dict[str, Any]
    ) -> tuple[SimulatedJob | None, SimulatedJob | None]:
        """Return the job before a new one, and the one after it.

        Raises:
            _SourceError: a job is not there, or has no video.

        """
        if (id := request.match_info.get("id")) is not None:
            return self._source(id, "id", status=404), None
        if "media" in body:  # a file of this server shows the video of its job
            found = _MEDIA.fullmatch(urlsplit(body["media"]["url"]).path)
            return (self._ledger.find(found[1]) if found is not None else None), None
        frames = body.get("keyframes", {})
        first, last = (
            self._source(frame["id"], f"keyframes.{name}.id", status=400)
            if (frame := frames.get(name, {})).get("type") == "generation"
            else None
            for name in ("frame0", "frame1")
        )
        return first, last

    def _source(self, id: str, field: str, *, status: int) -> SimulatedJob:
        job = self._find(id)
        if job is None:
            raise _SourceError(status, f"{field}: generation not found")
        if makes_image(job):
            raise _SourceError(400, f"{field}: the generation is not a video")
        if job.phase(self._clock.now()) != "completed":
            raise _SourceError(400, f"{field}: the generation is not completed")
        return job

    def _find(self, id: str) -> SimulatedJob | None:
        job = self._ledger.find(id)
        return job if job is not None and self._is_there(job) else None

    def _is_there(self, job: SimulatedJob) -> bool:
        return job.api == "dream-machine" and job.id not in self._deleted

    async def _one(self, request: web.Request) -> web.Response:
        self._ledger.jobs_looked_at += 1
        job = self._find(request.match_info["id"])
        return _not_found() if job is None else json_answer(self._answers.generation(job))

    async def _list(self, request: web.Request) -> web.Response:
        numbers = {}
        for name, default, least in (("limit", LARGEST_PAGE, 1), ("offset", 0, 0)):
            value = request.query.get(name, str(default))
            if not _WHOLE_NUMBER.fullmatch(value):
                return detail_refusal(422, "", f"{name}: must be an integer")
            numbers[name] = int(value)
            if numbers[name] < least:
                return detail_refusal(400, "", f"{name}: must be at least {least}")
        limit = min(numbers["limit"], LARGEST_PAGE)
        jobs = [job for job in reversed(self._ledger.jobs) if self._is_there(job)]
        return json_answer(self._answers.page(jobs, limit=limit, offset=numbers["offset"]))

    async def _delete(self, request: web.Request) -> web.Response:
        job = self._find(request.match_info["id"])
        if job is None:
            return _not_found()
        self._deleted.add(job.id)
        return web.Response(status=204)

    async def _concepts(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return json_answer(CONCEPTS)

    async def _credits(self, request: web.Request) -> web.Response:  # noqa: ARG002
        left = self._acceptance.credits
        balance = BALANCE - PRICE * len(self._ledger.jobs) if left is None else PRICE * left
        return json_answer({"credit_balance": float(balance)})

    async def _ping(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return json_answer({"message": "pong"})

    async def _other(self, request: web.Request) -> web.Response:
        """Reject a path that is not there, or a method that its path does not have."""
        methods = await _methods(request)
        if not methods:
            return detail_refusal(404, "", "Not Found")
        response = detail_refusal(405, "", "Method Not Allowed")
        response.headers["Allow"] = ", ".join(sorted(methods))
        return response


class _SourceError(Exception):
    """A job that a submission names cannot be its source."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _shown(kind: Kind, body: dict[str, Any], parent: SimulatedJob | None) -> str:
    """Return the text that a video or image shows; the prompt of a sound is not in the picture."""
    prompt = "" if kind is AUDIO else body.get("prompt", "")
    return str(prompt) or (parent.prompt if parent is not None else "")


def _files(kind: Kind, body: dict[str, Any]) -> tuple[str, ...]:
    return (f"image.{body.get('format', 'jpg')}",) if kind.output == "image" else VIDEO_FILES


async def _methods(request: web.Request) -> set[str]:
    """Return the methods that the path of a request has."""
    methods: set[str] = set()
    for resource in request.app.router.resources():
        _, allowed = await resource.resolve(request)
        methods |= allowed
    return methods - {hdrs.METH_ANY}


def _post(path: str, handler: _Handler, name: str) -> web.RouteDef:
    return web.post(path, handler, name=f"dream-machine.{name}")


def _get(path: str, handler: _Handler, name: str) -> web.RouteDef:
    return web.get(path, handler, name=f"dream-machine.{name}")


def _not_found() -> web.Response:
    return detail_refusal(404, "", "Generation not found")
