"""The simulator serves the Agents API: its states, failures, headers and limits."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from luma_async.simulator import Fault
from tests.clients import HOUR
from tests.simulator.agents_api import AgentsApi, agents_api

VIDEO = {"type": "video"}


async def test_a_job_passes_through_its_states() -> None:
    """Links come with its end, other ones at each look, and live for a simulated hour."""
    async with agents_api() as api:
        submitted = await api.ask("POST", "/generations", {"prompt": "a cat", **VIDEO})
        id = submitted.document["id"]
        looks = []
        for seconds in (0, HOUR / 2, HOUR / 2, 1):
            api.sim.advance(seconds)
            looks.append(await api.look(id))

        assert submitted.status == 201
        states = [look["state"] for look in looks]
        assert states == ["queued", "processing", "completed", "completed"]
        assert (looks[0]["type"], looks[0]["model"], looks[0]["output"]) == ("video", "ray-3.2", [])
        first, second = (look["output"][0]["url"] for look in looks[2:])
        assert first != second
        assert (await api.get(first))[0] == 200
        api.sim.advance(HOUR)
        assert (await api.get(first))[0] == 403
        fresh = (await api.look(id))["output"][0]["url"]
        assert (await api.get(fresh))[0] == 200
        assert api.sim.ledger.keys_seen_by_media == ["", "", ""]


async def test_a_failure_has_a_code_and_a_reason() -> None:
    """`fail_next` takes one of the nine codes; any other text is the reason of another failure."""
    async with agents_api(failure_rate=1.0) as api:
        api.sim.fail_next("content_moderated")
        api.sim.fail_next("the cat has run away")
        ids = [await api.submit() for _ in range(3)]
        running = await api.look(ids[0])
        api.sim.advance(HOUR)
        looks = [await api.look(id) for id in ids]

        assert (running["state"], running["failure_code"]) == ("queued", None)
        assert [
            (look["state"], look["failure_code"], look["failure_reason"]) for look in looks
        ] == [
            ("failed", "content_moderated", "The content was flagged by moderation"),
            ("failed", "generation_failed", "the cat has run away"),
            ("failed", "generation_failed", "the prompt could not be rendered"),
        ]


async def test_every_answer_tells_its_version_and_its_request() -> None:
    """Also the errors, but not those of a proxy."""
    async with agents_api(api_key="luma-api-a-key") as api:
        named = {"X-Request-Id": "r-1"}
        answers = [
            await api.ask("POST", "/generations", {"prompt": "a cat"}, headers=named),
            await api.ask("GET", "/generations/nobody", headers=named),
            await api.ask("GET", "/nowhere", headers=named),
            await api.ask("GET", "/generations", headers=named),
            await api.ask("GET", "/files", headers={**named, "Authorization": "Bearer other"}),
        ]
        api.sim.faults.add(Fault.page(502, on=["agents.get"]))
        url = f"{api.sim.url}/v1/generations/nobody"
        async with api.session.get(url, headers=named) as response:
            proxied = response

        assert [answer.status for answer in answers] == [201, 404, 404, 405, 401]
        assert {answer.headers["X-Request-Id"] for answer in answers} == {"r-1"}
        assert {answer.headers["X-API-Version"] for answer in answers} == {"2026-04-01"}
        assert all(answer.detail for answer in answers[1:])
        assert "X-API-Version" not in proxied.headers
        assert (await api.ask("GET", "/files")).headers["X-Request-Id"]


async def test_submissions_of_a_minute_age_out_one_by_one() -> None:
    """The window slides, over submissions only; the headers tell when there is a place."""
    async with agents_api(max_per_minute=2) as api:
        first = await api.ask("POST", "/generations", {"prompt": "a cat"})
        api.sim.advance(40)
        await api.submit()
        full = await api.ask("POST", "/generations", {"prompt": "a cat"})
        looked = await api.ask("GET", f"/generations/{first.document['id']}")
        api.sim.advance(20)
        await api.submit()
        again = await api.ask("POST", "/generations", {"prompt": "a cat"})

        assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == (
            "2",
            "1",
        )
        assert (full.status, full.detail) == (429, "Rate limit exceeded")
        assert 18 <= int(full.headers["Retry-After"]) <= 20
        assert full.headers["X-RateLimit-Remaining"] == "0"
        assert looked.status == 200
        assert "X-RateLimit-Limit" not in looked.headers
        assert again.status == 429
        assert 38 <= int(again.headers["Retry-After"]) <= 40
        assert len(api.sim.ledger.jobs) == 3


async def test_a_full_account_is_told_without_the_headers_of_the_other_limit() -> None:
    """That is how a client tells the two limits apart."""
    async with agents_api(max_jobs=1, max_per_minute=100) as api:
        await api.submit()
        full = await api.ask("POST", "/generations", {"prompt": "a cat"})
        api.sim.advance(HOUR)
        await api.submit()

        assert (full.status, full.detail) == (429, "Too many concurrent jobs")
        assert full.headers["Retry-After"] == "60"
        assert not any(name.startswith("X-RateLimit") for name in full.headers)


@pytest.mark.parametrize(("status", "message"), [(402, None), (403, "suspended"), (503, "later")])
async def test_an_ordered_rejection_is_in_the_words_of_the_api(
    status: int, message: str | None
) -> None:
    """Orders for the next jobs work in each API, and errors are always `detail`."""
    async with agents_api(credits=1) as api:
        api.sim.reject_next(status, message, retry_after=3)
        rejected = await api.ask("POST", "/generations", {"prompt": "a cat"})
        await api.submit()
        empty = await api.ask("POST", "/generations", {"prompt": "a cat"})

        assert rejected.status == status
        assert rejected.detail == (message or "balance is not enough")
        assert rejected.headers["Retry-After"] == "3"
        assert (empty.status, empty.detail) == (402, "Insufficient balance")


async def test_orders_and_the_ledger_are_the_same_for_each_api() -> None:
    """An account has one ledger, one balance and one list of orders."""
    async with agents_api() as api:
        api.sim.lose_next()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await api.submit("a lost cat")
        api.sim.delay_next(HOUR)
        late = await api.finished("a late cat", **VIDEO)
        async with api.session.post(
            f"{api.sim.url}/luma/generations", json={"user_prompt": "a third cat"}
        ) as response:
            assert response.status == 200

        assert (await api.look(late))["state"] == "processing"
        jobs = api.sim.ledger.jobs
        assert [(job.api, job.type, job.prompt) for job in jobs] == [
            ("agents", "image", "a lost cat"),
            ("agents", "video", "a late cat"),
            ("gateway", "generate", "a third cat"),
        ]
        assert (await api.ask("GET", f"/generations/{jobs[2].id}")).status == 404


async def test_many_submissions_at_once() -> None:
    """Each of them makes one job, and the account never has more than it may."""
    async with agents_api(max_jobs=5) as api:
        answers = await asyncio.gather(*(_submission(api) for _ in range(20)))

        assert sorted(answers) == [201] * 5 + [429] * 15
        assert api.sim.ledger.most_jobs == 5


async def _submission(api: AgentsApi) -> int:
    return (await api.ask("POST", "/generations", {"prompt": "a cat"})).status
