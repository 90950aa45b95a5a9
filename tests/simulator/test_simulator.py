"""The simulator rejects, counts and answers like a gateway."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import aiohttp
import av
import pytest
from aiohttp import web
from PIL import Image, ImageChops, ImageStat

from luma_async.simulator import Exponential, Fault, Fixed, LogNormal, Simulator, Variant
from luma_async.simulator.answers import Answers, SignedLinks
from luma_async.simulator.clock import Clock
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.rate_limit import RateLimit
from luma_async.testing import running_simulator
from tests.clients import HOUR, until

HEADERS = {"Authorization": "Bearer any-key"}


async def post(sim: Simulator, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession(headers={**HEADERS, **headers}) as session:
        async with session.post(sim.url + path, json=body) as response:
            return response.status, await response.json(content_type=None)


async def get(sim: Simulator, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        async with session.get(sim.url + path) as response:
            return response.status, await response.json(content_type=None)


async def test_a_job_goes_its_way() -> None:
    """A job is pending, then processing, then completed with its files."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        _, job = await post(sim, "/luma/generations", {"user_prompt": "a cat"})
        states = [job["state"]]
        for seconds in (0.0, HOUR / 2, HOUR / 2):
            sim.advance(seconds)
            _, look = await get(sim, f"/luma/generations/{job['id']}")
            states.append(look["state"])

        assert states == ["pending", "pending", "processing", "completed"]
        assert look["video"]["url"].startswith(f"{sim.url}/media/")
        assert (await post(sim, "/luma/tasks", {"ids": [job["id"], "x"]}))[1][0]["id"] == job["id"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "user_prompt"),
        ({"user_prompt": " "}, "user_prompt"),
        ({"user_prompt": "x" * 5001}, "5000"),
        ({"user_prompt": "x", "aspect_ratio": "7:7"}, "aspect_ratio"),
        ({"user_prompt": "x", "loop": True, "image_end_url": "http://a/b"}, "loop"),
        ({"user_prompt": "x", "image_url": None}, "null"),
    ],
    ids=str,
)
async def test_it_rejects_requests_like_a_gateway(body: Any, problem: str) -> None:
    """Rejected requests are not billed."""
    async with Simulator() as sim:
        status, answer = await post(sim, "/luma/generations", body)

        assert status == 422
        assert problem in answer["error"]["message"]
        assert not sim.ledger.jobs


async def test_keys_credit_and_places_are_limited() -> None:
    """The answers are 401 for the API key, 403 for the balance, and 429 for too many jobs."""
    body = {"user_prompt": "a cat"}
    async with Simulator(api_key="good", credits=1) as sim:
        assert (await post(sim, "/luma/generations", body))[0] == 401
        good = {"Authorization": "Bearer good"}
        assert (await post(sim, "/luma/generations", body, **good))[0] == 200
        status, answer = await post(sim, "/luma/generations", body, **good)
        assert (status, answer["error"]["code"]) == (403, "insufficient_user_quota")
    async with Simulator(max_jobs=1) as sim:
        statuses = [(await post(sim, "/luma/generations", body))[0] for _ in range(2)]
        assert statuses == [200, 429]


def test_requests_are_limited_by_the_second() -> None:
    """The requests of one second may come at once, then the answer is 429 with a `Retry-After`."""
    now, clock = 100.0, Clock(1.0)
    answers = Answers(Variant(), clock, SignedLinks(clock, lifetime=HOUR), Ledger(clock))
    limit = RateLimit(answers, rate=3, says=True, now=lambda: now)

    refusals = [limit.refuse() for _ in range(4)]
    response = refusals.pop()
    assert response is not None
    limit.mark(response)

    assert refusals == [None] * 3
    assert response.status == 429
    assert response.headers["X-RateLimit-Limit"] == "3"
    assert response.headers["X-RateLimit-Remaining"] == "0"
    assert response.headers["X-RateLimit-Reset"] == "1.000"
    assert response.headers["Retry-After"] == "1"
    now += 0.34
    assert limit.refuse() is None
    assert limit.refuse() is not None


async def test_all_answers_can_have_rate_limit_headers() -> None:
    """The headers are in all answers, including rejections."""
    async with Simulator(max_rate=0.01, says_rate=True) as sim:
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            answers = []
            for _ in range(2):
                async with session.get(f"{sim.url}/luma/generations/x") as response:
                    answers.append((response.status, response.headers))

    assert [status for status, _ in answers] == [404, 429]
    assert [headers["X-RateLimit-Remaining"] for _, headers in answers] == ["0", "0"]
    assert 0 < int(answers[-1][1]["Retry-After"]) <= 100


async def test_time_passes_when_a_test_says_so() -> None:
    """Jobs that are accepted afterwards take their whole time."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        states = []
        for _ in range(2):
            _, job = await post(sim, "/luma/generations", {"user_prompt": "a cat"})
            for _ in range(2):
                states.append((await get(sim, f"/luma/generations/{job['id']}"))[1]["state"])
                sim.advance(HOUR)

    assert states == ["pending", "completed"] * 2


def test_a_call_is_held_until_the_faults_are_cleared() -> None:
    """An endless delay ends when faults are cleared, also from another thread."""

    async def submit(url: str) -> None:
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            await session.post(f"{url}/luma/generations", json={"user_prompt": "a cat"})

    async def hold(url: str) -> list[Any]:
        held = [asyncio.create_task(submit(url)) for _ in range(2)]
        await until(lambda: sim.ledger.requests["generate"] == 2)
        await asyncio.sleep(0.1)
        assert not any(each.done() for each in held)
        sim.faults.clear()
        return await asyncio.gather(*held, return_exceptions=True)

    with running_simulator() as sim:
        sim.faults.add(Fault.slow(math.inf, times=1), Fault(delay=math.inf, drop=True))
        ended = asyncio.run(hold(sim.url))

    assert {type(each) for each in ended} == {type(None), aiohttp.ServerDisconnectedError}
    assert len(sim.ledger.jobs) == 1


async def test_looks_change_no_job_that_comes_later() -> None:
    """Ids and durations of later jobs do not depend on looks."""
    seen = []
    for looks in (0, 3):
        async with Simulator(variant=Variant(forgets=0.5, mixes_up=0.5)) as sim:
            for _ in range(3):
                _, job = await post(sim, "/luma/generations", {"user_prompt": "a cat"})
                for _ in range(looks):
                    await get(sim, f"/luma/generations/{job['id']}")
            jobs = sim.ledger.jobs
            seen.append([(job.id, round(job.ends_at - job.taken_at, 6)) for job in jobs])

    assert seen[0] == seen[1]


async def test_estimates_are_true() -> None:
    """Estimates are in real seconds at any speed, and finished jobs have none."""
    async with Simulator(durations=Fixed(HOUR), speed=20, variant=Variant(estimates=True)) as sim:
        _, job = await post(sim, "/luma/generations", {"user_prompt": "a cat"})
        sim.advance(20 * job["estimate_wait_seconds"])
        _, look = await get(sim, f"/luma/generations/{job['id']}")

        assert HOUR / 20 - 60 < job["estimate_wait_seconds"] <= HOUR / 20
        assert (look["state"], look["estimate_wait_seconds"]) == ("completed", None)


async def test_the_ledger_counts_looks_at_jobs() -> None:
    """A batch counts once for each id, and the list of jobs can be left out."""
    async with Simulator() as sim:
        await post(sim, "/luma/tasks", {"ids": ["a", "b", "c"]})
        await get(sim, "/luma/generations/a")
        _, books = await get(sim, "/simulator/ledger?jobs=none")

        assert books["jobs_looked_at"] == sim.ledger.jobs_looked_at == 4
        assert books["jobs"] == []


async def test_an_unfinished_job_cannot_be_extended() -> None:
    """The same holds for an unknown job."""
    async with Simulator() as sim:
        _, job = await post(sim, "/luma/generations", {"user_prompt": "a cat"})
        path = f"/luma/generations/{job['id']}/extend"

        assert (await post(sim, path, {"user_prompt": "on"}))[0] == 400
        assert (await post(sim, "/luma/generations/x/extend", {"user_prompt": "on"}))[0] == 404


async def test_the_ledger_can_be_read_from_elsewhere() -> None:
    """Tests that kill processes read it over HTTP."""
    async with Simulator() as sim:
        await post(sim, "/luma/generations", {"user_prompt": "a cat"})

        _, books = await get(sim, "/simulator/ledger")

        assert books["jobs"][0]["request"] == {"user_prompt": "a cat"}
        assert books["requests"] == {"generate": 1}


async def test_the_same_seed_gives_the_same_jobs() -> None:
    """Random numbers are repeatable."""
    seen = []
    for _ in range(2):
        async with Simulator(seed=7, durations=LogNormal(), failure_rate=0.5) as sim:
            for number in range(5):
                await post(sim, "/luma/generations", {"user_prompt": str(number)})
            seen.append(
                [
                    (job.id, round(job.ends_at - job.taken_at, 6), job.failure)
                    for job in sim.ledger.jobs
                ]
            )
    assert seen[0] == seen[1]


def test_durations_are_what_they_are_called() -> None:
    """The median and the mean of many draws are as configured."""
    import random  # noqa: PLC0415
    from statistics import mean, median  # noqa: PLC0415

    chance = random.Random(1)
    assert median(LogNormal(60, 0.35).draw(chance) for _ in range(4000)) == pytest.approx(60, 0.03)
    assert mean(Exponential(60).draw(chance) for _ in range(4000)) == pytest.approx(60, 0.05)
    assert Fixed(5).draw(chance) == 5


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"durations": "5"}, "durations: must be seconds, or a distribution such as LogNormal"),
        ({"durations": -1}, "durations: must be seconds"),
        ({"speed": 0}, "speed: must be more than 0, got 0"),
        ({"failure_rate": 20}, "failure_rate: must be between 0 and 1, got 20"),
        ({"max_jobs": 0}, "max_jobs: must be at least 1, got 0"),
    ],
)
def test_a_simulator_with_settings_that_no_job_survives_is_not_made(
    settings: dict[str, Any], problem: str
) -> None:
    """Otherwise each submission would be an internal error, or wait for a place for ever."""
    with pytest.raises(ValueError, match=problem):
        Simulator(**settings)


async def test_a_hook_is_called_when_the_job_moves() -> None:
    """The callback has the body of "get one", and is repeated after an error."""
    calls: list[dict[str, Any]] = []

    async def hook(request: web.Request) -> web.Response:
        calls.append(await request.json())
        return web.Response(status=500 if len(calls) == 1 else 200)

    app = web.Application()
    app.add_routes([web.post("/hook", hook)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        async with Simulator(durations=Fixed(HOUR)) as sim:
            await post(sim, "/luma/generations", {"user_prompt": "a cat", "notify_hook": url})
            sim.advance(HOUR / 2)
            await until(lambda: len(calls) == 2)
            sim.advance(HOUR / 2)
            await until(lambda: len(calls) == 3)
    finally:
        await runner.cleanup()

    assert [call["state"] for call in calls] == ["processing", "processing", "completed"]


@pytest.mark.parametrize("after", [False, True])
async def test_a_cut_comes_before_or_after_the_job_is_accepted(after: bool) -> None:
    """Only the second case creates a job."""
    async with Simulator() as sim:
        sim.faults.add(Fault.cut(after=after))

        with pytest.raises(aiohttp.ClientError):
            await post(sim, "/luma/generations", {"user_prompt": "a cat"})

        assert len(sim.ledger.jobs) == after


async def test_faults_come_as_often_as_they_should() -> None:
    """The arguments `times`, `share` and `on` decide."""
    body = {"user_prompt": "a cat"}
    async with Simulator() as sim:
        sim.faults.add(Fault.page(502, times=2), Fault.page(503, share=0.5))
        statuses = [(await _status(sim, body)) for _ in range(60)]

        assert statuses.count(502) == 2
        assert 15 < statuses.count(503) < 45
        sim.faults.clear()
        assert await _status(sim, body) == 200


async def _status(sim: Simulator, body: Any) -> int:
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        async with session.post(f"{sim.url}/luma/generations", json=body) as response:
            return response.status


def frames(data: bytes) -> list[Image.Image]:
    import io  # noqa: PLC0415

    with av.open(io.BytesIO(data), "r") as film:
        return [frame.to_image() for frame in film.decode(video=0)]  # type: ignore[no-untyped-call]


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(max(ImageStat.Stat(ImageChops.difference(one, other)).mean))


def caption(image: Image.Image) -> Image.Image:
    return image.crop((0, image.height - 25, image.width, image.height))


async def video_of(sim: Simulator, job: Any) -> bytes:
    _, look = await get(sim, f"/luma/generations/{job['id']}")
    async with aiohttp.ClientSession() as session:
        async with session.get(look["video"]["download_url"]) as response:
            assert response.content_type == "video/mp4"
            return await response.read()


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        ("16:9", (320, 180)),
        ("9:16", (180, 320)),
        ("1:1", (180, 180)),
        ("4:3", (240, 180)),
        ("3:4", (180, 240)),
        ("21:9", (420, 180)),
        ("9:21", (180, 420)),
    ],
)
async def test_videos_have_the_shape_that_was_asked_for(ratio: str, size: tuple[int, int]) -> None:
    """An independent decoder finds the right size and 121 frames that move."""
    async with Simulator(durations=Fixed(0), short_side=180) as sim:
        body = {"user_prompt": "a cat dances", "aspect_ratio": ratio}
        _, job = await post(sim, "/luma/generations", body)

        images = frames(await video_of(sim, job))

    assert {image.size for image in images} == {size}
    assert len(images) == 121
    assert difference(images[0], images[60]) > 3


async def test_frames_show_the_prompt() -> None:
    """Two jobs that differ in their prompts differ in their captions."""
    captions = []
    for prompt in ("a cat", "a completely different dog"):
        async with Simulator(durations=Fixed(0), short_side=180, seed=1) as sim:
            _, job = await post(sim, "/luma/generations", {"user_prompt": prompt})
            captions.append(caption(frames(await video_of(sim, job))[0]))

    assert difference(*captions) > 3


async def test_an_extension_begins_where_its_parent_ended() -> None:
    """The first frame is the parent's last one, and the video is five seconds longer."""
    async with Simulator(durations=Fixed(0), short_side=180) as sim:
        _, parent = await post(sim, "/luma/generations", {"user_prompt": "a cat"})
        path = f"/luma/generations/{parent['id']}/extend"
        _, child = await post(sim, path, {"user_prompt": "the cat takes a bow"})
        before, after = frames(await video_of(sim, parent)), frames(await video_of(sim, child))

    assert difference(before[-1], after[0]) < 3
    assert difference(caption(before[-1]), caption(after[0])) < 3
    assert difference(before[-1], after[60]) > 3
    assert len(after) - len(before) == 120


async def test_links_expire() -> None:
    """A signed link is valid for its lifetime, and a new one can be requested."""
    async with Simulator(durations=Fixed(0), short_side=90, link_lifetime=HOUR) as sim:
        _, job = await post(sim, "/luma/generations", {"user_prompt": "a cat"})
        _, look = await get(sim, f"/luma/generations/{job['id']}")
        sim.advance(HOUR + 1.0)

        async with aiohttp.ClientSession() as session:
            async with session.get(look["thumbnail"]["url"]) as response:
                assert response.status == 403
            link = (await get(sim, f"/luma/generations/{job['id']}/download_video_url"))[1]["url"]
            async with session.get(link) as response:
                assert response.status == 200


async def test_variants_are_what_they_say() -> None:
    """These variants are invisible to the tests of the client."""
    variant = Variant(batch="rows", row_data="stale", times="epoch_ms", words="task", errors="list")
    async with Simulator(durations=Fixed(0), variant=variant) as sim:
        _, job = await post(sim, "/luma/generations", {"user_prompt": "a cat"})
        _, batch = await post(sim, "/luma/tasks", {"ids": [job["id"]]})
        _, error = await get(sim, "/luma/generations/x")

    [row] = batch["data"]
    assert job["created_at"] > 1e12
    assert (row["status"], row["data"]["state"], row["data"]["video"]) == (
        "SUCCESS",
        "pending",
        None,
    )
    assert error["detail"][0]["msg"] == "task not found"
