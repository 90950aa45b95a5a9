"""Gateway routes: the calls of the API, and the errors with which a gateway rejects them."""

from __future__ import annotations

import json
import random
from typing import Any

from aiohttp import web

from luma_async.simulator.acceptance import Acceptance
from luma_async.simulator.answers import Answers, as_json
from luma_async.simulator.clock import Clock
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.next_jobs import Rejection
from luma_async.simulator.simulated_jobs import JobSpec, SimulatedJob, is_known_ratio
from luma_async.simulator.variant import Variant

PROMPT_LIMIT = 5000

_EMPTY = Rejection(403, "insufficient_user_quota", "balance is not enough", None)
_FULL = Rejection(429, "too_many_jobs", "too many jobs at once", None)
_RESOLUTIONS = ("540p", "720p", "1080p")


class GatewayRoutes:
    """Handlers of the API calls (wire format 1) for the jobs in a ledger."""

    def __init__(
        self,
        *,
        variant: Variant,
        clock: Clock,
        chance: random.Random,
        ledger: Ledger,
        answers: Answers,
        acceptance: Acceptance,
    ) -> None:
        self._variant = variant
        self._clock = clock
        self._chance = chance
        self._ledger = ledger
        self._answers = answers
        self._acceptance = acceptance

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, named like the calls in faults and the ledger."""
        one = "/luma/generations/{id}"
        return [
            # The best-known web client adds a slash at the end.
            web.post("/luma/generations{slash:/?}", self._generate, name="generate"),
            web.post(f"{one}/extend", self._extend, name="extend"),
            web.get(one, self._get, name="get"),
            web.post("/luma/tasks", self._tasks, name="tasks"),
            web.get(f"{one}/download_video_url", self._link, name="link"),
        ]

    async def _generate(self, request: web.Request) -> web.Response:
        body = await _json_body(request)
        if (refused := self._check(body, extends=False)) is not None:
            return refused
        return self._accept(request, body, None)

    async def _extend(self, request: web.Request) -> web.Response:
        if self._variant.extend != "offered":
            return web.Response(status=int(self._variant.extend), text="not here")
        parent = self._ledger.find(request.match_info["id"])
        if parent is None:
            return self._unknown()
        if parent.phase(self._clock.now()) != "completed":
            return self._answers.refusal(400, "not_completed", "the generation is not completed")
        body = await _json_body(request)
        if (refused := self._check(body, extends=True)) is not None:
            return refused
        return self._accept(request, body, parent)

    async def _get(self, request: web.Request) -> web.Response:
        self._ledger.jobs_looked_at += 1
        job = self._ledger.find(request.match_info["id"])
        if job is None:
            return self._unknown()
        if self._variant.mixes_up and self._chance.random() < self._variant.mixes_up:
            job = self._chance.choice(
                [each for each in self._ledger.jobs if each is not job] or [job]
            )
        return as_json(self._answers.one(job))

    async def _tasks(self, request: web.Request) -> web.Response:
        if self._variant.batch in ("404", "405"):
            return web.Response(status=int(self._variant.batch), text="not here")
        ids = (await _json_body(request)).get("ids")
        if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
            return self._answers.refusal(422, "invalid_ids", "ids: a list of strings is needed")
        largest = self._variant.largest_batch
        if largest is not None and len(ids) > largest:
            return self._answers.refusal(400, "too_many_ids", f"ids: at most {largest} are allowed")
        self._ledger.jobs_looked_at += len(ids)
        found = (self._ledger.find(id) for id in ids if self._remembers())
        jobs = [job for job in found if job is not None]
        self._chance.shuffle(jobs)
        return as_json(self._answers.many(jobs))

    async def _link(self, request: web.Request) -> web.Response:
        job = self._ledger.find(request.match_info["id"])
        if job is None:
            return self._unknown()
        if job.phase(self._clock.now()) != "completed":
            return self._answers.refusal(400, "not_completed", "the generation is not completed")
        return as_json({"url": self._answers.links.to(job, "clean.mp4")})

    def _remembers(self) -> bool:
        return not self._variant.forgets or self._chance.random() >= self._variant.forgets

    def _unknown(self) -> web.Response:
        return self._answers.refusal(404, "task_not_exist", "task not found")

    def _check(self, body: dict[str, Any], *, extends: bool) -> web.Response | None:
        """Return the error with which the gateway rejects a submission, if it does."""
        prompt = body.get("user_prompt")
        problem = ""
        if not isinstance(prompt, str) or not prompt.strip():
            problem = "user_prompt: field required"
        elif len(prompt) > PROMPT_LIMIT:
            problem = f"user_prompt: at most {PROMPT_LIMIT} characters"
        elif not is_known_ratio(body.get("aspect_ratio")):
            problem = "aspect_ratio: unknown"
        elif body.get("loop") and (extends or body.get("image_end_url")):
            problem = "loop: not allowed here"
        elif None in body.values():
            problem = "null is not a valid value"
        if problem:
            return self._answers.refusal(422, "invalid_request", problem)
        rejection = self._acceptance.rejection(empty=_EMPTY, full=_FULL)
        if rejection is not None:
            return rejection.answer(self._answers.refusal)
        return None

    def _accept(
        self, request: web.Request, body: dict[str, Any], parent: SimulatedJob | None
    ) -> web.Response:
        resolution, hook = str(body.get("resolution") or ""), body.get("notify_hook")
        known = parent is None and resolution in _RESOLUTIONS
        spec = JobSpec(
            api="gateway",
            type="generate" if parent is None else "extend",
            request=body,
            prompt=body["user_prompt"],
            aspect_ratio=body.get("aspect_ratio") if parent is None else None,
            short_side=int(resolution.removesuffix("p")) if known else None,
            parent=parent,
            hook=str(hook) if hook else None,
        )
        return self._acceptance.take(
            request,
            spec,
            answer=lambda job: as_json(self._answers.accepted(job)),
            describe=self._answers.callback,
        )


async def _json_body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
