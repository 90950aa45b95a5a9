"""An agent submits, watches and downloads jobs, and pays for none of them twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from luma_async import ConfigurationError, LumaClient
from luma_async.mcp_server import AgentFolder, AgentTools, SessionLimits
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, KEY, until
from tests.mcp_server.sessions import SETTLE, links_of, session, text_of

LONG = Fixed(HOUR)
DOG = {"key": "dog", "prompt": "a dog"}


async def test_a_video_from_the_prompt_to_the_file(tmp_path: Path) -> None:
    """Submitted, looked at, awaited, extended and saved; each step says what comes next."""
    async with (
        Simulator(durations=LONG, short_side=64, same_films=True) as sim,
        session(sim, tmp_path) as agent,
    ):
        first = await agent.ask("generate_video", key="cat", prompt="a cat", aspect_ratio="1:1")
        seen = await agent.ask("get_job", job=first["id"])
        early = await agent.refusal("download_files", job="cat")
        sim.advance(HOUR)
        ended = await agent.client.call_tool("wait_for_job", {"job": "cat"})
        longer = await agent.ask("extend_video", key="cat+", source="cat", prompt="it bows")
        saved = await agent.client.call_tool("download_files", {"job": first["id"]})
        again = await agent.client.call_tool("download_files", {"job": "cat"})

    (video,), (file,) = links_of(ended), links_of(saved)
    path = Path(unquote(urlsplit(file.uri).path))
    assert (first["state"], first["submitted"], first["jobs_left"]) == ("pending", True, 9)
    assert "wait_for_job" in first["next_step"]
    assert seen["state"] in ("pending", "processing")
    assert "nothing was downloaded. Call wait_for_job" in early
    assert (ended.structured_content["state"], video.mime_type) == ("completed", "video/mp4")
    assert video.uri == ended.structured_content["outputs"][0]["url"]
    assert longer["submitted"]
    assert [job.parent and job.parent.id for job in sim.ledger.jobs] == [None, first["id"]]
    assert path == tmp_path / "videos" / f"{first['id']}.mp4"
    assert (file.mime_type, file.size) == ("video/mp4", path.stat().st_size)
    assert again.structured_content == saved.structured_content


async def test_a_key_is_paid_for_once(tmp_path: Path) -> None:
    """One after another, at once, and in the next session; another prompt is a conflict."""
    async with Simulator(durations=LONG, same_films=True) as sim:
        async with session(sim, tmp_path, limits=SessionLimits(max_jobs=1)) as agent:
            calls = [agent.ask("generate_video", key="cat", prompt="a cat") for _ in range(5)]
            answers = await asyncio.gather(*calls)
            after = await agent.ask("generate_video", key=" cat\n", prompt="a cat")
            other = await agent.refusal("generate_video", key="cat", prompt="a dog")
        async with session(sim, tmp_path, limits=SessionLimits(max_jobs=0)) as agent:
            next_day = await agent.ask("generate_video", key="cat", prompt="a cat")
            running = [task.id for task in agent.luma.tasks]

        (job,) = sim.ledger.jobs
    assert [answer["id"] for answer in (*answers, after, next_day)] == [job.id] * 7
    assert [answer["submitted"] for answer in answers].count(True) == 1
    assert not after["submitted"]
    assert "was used for another request" in other
    assert running == [job.id]


async def test_other_kinds_of_jobs(tmp_path: Path) -> None:
    """An image becomes a video, and the video is edited and reframed: outputs have their types."""
    async with (
        Simulator(durations=LONG, short_side=64, same_films=True) as sim,
        session(sim, tmp_path, dialect="agents", limits=SessionLimits(max_tasks=9)) as agent,
    ):
        await agent.ask("generate_image", key="img", prompt="a red cat")
        sim.advance(HOUR)
        image = await agent.client.call_tool("wait_for_job", {"job": "img"})
        used = f"generation:{image.structured_content['id']}"
        await agent.ask("generate_video", key="vid", prompt="it dances", image=used)
        sim.advance(HOUR)
        video = await agent.client.call_tool("wait_for_job", {"job": "vid"})
        await agent.ask("edit_video", key="winter", source="vid", prompt="in winter")
        await agent.ask(
            "reframe_video",
            key="tall",
            source="vid",
            prompt="the same",
            aspect_ratio="9:16",
            source_position={"x": 0, "y": 0.25, "width": 1, "height": 0.5},
        )
        await agent.ask("extract_layers", key="layers", source="img", prompt="cat, background")

        types = [job.type for job in sim.ledger.jobs]
    assert types == ["image", "video", "video_edit", "video_reframe", "layering"]
    assert [link.mime_type for link in links_of(image)] == ["image/jpeg"]
    assert [link.mime_type for link in links_of(video)] == ["video/mp4"]
    assert video.structured_content["prompt"] == "it dances"


async def test_an_extension_waits_for_nothing(tmp_path: Path) -> None:
    """A source that is running is an error with the next step, and takes no place."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path) as agent,
    ):
        await agent.ask("generate_video", key="cat", prompt="a cat")
        early = await agent.refusal("extend_video", key="cat+", source="cat", prompt="it bows")
        left = (await agent.ask("list_jobs"))["jobs_left"]

    assert "nothing was submitted. Call wait_for_job for it first" in early
    assert left == 9


async def test_the_limit_of_jobs_counts_what_was_paid_for(tmp_path: Path) -> None:
    """A rejected submission gives its place back, and a known key needs none."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, limits=SessionLimits(max_jobs=2)) as agent,
    ):
        sim.faults.add(Fault.explained(400, times=1))
        rejected = await agent.refusal("generate_video", key="bad", prompt="a bat")
        for key in ("cat", "dog"):
            await agent.ask("generate_video", key=key, prompt=f"a {key}")
        full = await agent.refusal("generate_video", key="cow", prompt="a cow")
        known = await agent.ask("generate_video", key="cat", prompt="a cat")

        prompts = [job.prompt for job in sim.ledger.jobs]
    assert "this is refused" in rejected
    assert "which is its limit; nothing was submitted" in full
    assert "--max-jobs" in full
    assert (known["submitted"], known["jobs_left"]) == (False, 0)
    assert prompts == ["a cat", "a dog"]


async def test_the_limit_of_running_jobs_names_them(tmp_path: Path) -> None:
    """A place is free again when one has ended; jobs of other programs take none."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, limits=SessionLimits(max_tasks=1)) as agent,
    ):
        await agent.luma.generate("a job of another program", key="other")
        first = await agent.ask("generate_video", key="cat", prompt="a cat")
        full = await agent.refusal("generate_video", key="dog", prompt="a dog")
        sim.advance(HOUR)
        await agent.ask("wait_for_job", job="cat")
        second = await agent.ask("generate_video", key="dog", prompt="a dog")

    assert f"wait_for_job for a job with the id {first['id']}" in full
    assert "--max-tasks" in full
    assert second["submitted"]


async def test_a_cancelled_submission_takes_one_place(tmp_path: Path) -> None:
    """The job goes on, and its key returns it. No further call under the key frees the place."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, limits=SessionLimits(max_jobs=1)) as agent,
    ):
        sim.faults.add(Fault.slow(HOUR, after=True, times=1))
        asked = asyncio.create_task(agent.ask("generate_video", key="cat", prompt="a cat"))
        await until(lambda: sim.ledger.jobs)
        asked.cancel()
        await asyncio.wait([asked])
        waiting = asyncio.create_task(agent.ask("generate_video", key="cat", prompt="a cat"))
        await asyncio.wait([waiting], timeout=0.05)
        waiting.cancel()
        await asyncio.wait([waiting])
        other = asyncio.create_task(
            agent.refusal("generate_video", key="cat", prompt="another cat")
        )
        await asyncio.wait([other], timeout=0.05)
        sim.faults.clear()
        assert "was used for another request" in await other
        again = await agent.ask("generate_video", key="cat", prompt="a cat")
        full = await agent.refusal("generate_video", key="dog", prompt="a dog")

        (job,) = sim.ledger.jobs
    assert asked.cancelled()
    assert waiting.cancelled()
    assert (again["id"], again["submitted"]) == (job.id, False)
    assert "is its limit" in full


async def test_a_submission_that_is_cancelled_before_it_leaves_takes_no_place(
    tmp_path: Path,
) -> None:
    """Nothing is paid for, so that the limit must not say that it is."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, limits=SessionLimits(max_jobs=1)) as agent,
    ):
        sim.faults.add(Fault.rate_limited(60, times=1))
        asked = asyncio.create_task(agent.ask("generate_video", key="cat", prompt="a cat"))
        await until(lambda: sim.ledger.statuses[429])
        taken = (await agent.ask("list_jobs"))["jobs_left"]
        asked.cancel()
        await asyncio.wait([asked])
        async with asyncio.timeout(10):
            while not (await agent.ask("list_jobs"))["jobs_left"]:  # noqa: ASYNC110  a call asks
                await asyncio.sleep(0.01)
        jobs = len(sim.ledger.jobs)

    assert (taken, jobs) == (0, 0)


@pytest.mark.parametrize("is_repeated", [True, False])
async def test_a_cancelled_submission_that_is_rejected_gives_its_place_back(
    is_repeated: bool, tmp_path: Path
) -> None:
    """Once that is known; and a call that repeats it meanwhile takes the place for its own job."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, limits=SessionLimits(max_jobs=1)) as agent,
    ):
        sim.faults.add(Fault.slow(0.2, times=1))
        sim.faults.add(Fault.explained(400, times=1))
        asked = asyncio.create_task(agent.ask("generate_video", key="cat", prompt="a cat"))
        await until(lambda: sim.ledger.requests["generate"])
        asked.cancel()
        await asyncio.wait([asked])
        taken = (await agent.ask("list_jobs"))["jobs_left"]
        if is_repeated:
            again = await agent.ask("generate_video", key="cat", prompt="a cat")
            left = (await agent.ask("list_jobs"))["jobs_left"]
            assert (again["submitted"], again["jobs_left"], left) == (True, 0, 0)
        else:
            async with asyncio.timeout(10):
                while (await agent.client.call_tool("generate_video", DOG)).is_error:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        jobs = [job.prompt for job in sim.ledger.jobs]
    assert taken == 0
    assert jobs == ["a cat" if is_repeated else "a dog"]


async def test_of_two_sessions_one_has_submitted_the_job(tmp_path: Path) -> None:
    """Both ask at once under one key: the job takes a place in the session that pays for it."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path) as one,
        session(sim, tmp_path) as other,
    ):
        sim.faults.add(Fault.slow(0.1, after=True))
        answers = await asyncio.gather(
            *(agent.ask("generate_video", key="cat", prompt="a cat") for agent in (one, other))
        )

        (job,) = sim.ledger.jobs
    assert {answer["id"] for answer in answers} == {job.id}
    assert {(answer["submitted"], answer["jobs_left"]) for answer in answers} == {
        (True, 9),
        (False, 10),
    }


async def test_a_job_at_another_server_is_neither_looked_at_nor_used(tmp_path: Path) -> None:
    """Its id means nothing here, or another job: one journal has the jobs of several servers."""
    async with Simulator(same_films=True) as one, Simulator(same_films=True) as other:
        async with session(one, tmp_path) as agent:
            await agent.ask("generate_video", key="cat", prompt="a cat")
        async with session(other, tmp_path) as agent:
            said = [
                await agent.refusal("get_job", job="cat"),
                await agent.refusal("wait_for_job", job="cat"),
                await agent.refusal("download_files", job="cat"),
                await agent.refusal("extend_video", key="cat+", source="cat", prompt="it bows"),
            ]

        assert other.ledger.requests.total() == 0
    assert {f"The job 'cat' is at {one.url}" in text for text in said} == {True}


async def test_two_calls_under_one_key_of_which_the_first_is_rejected(tmp_path: Path) -> None:
    """The second submits the job, and takes the place that the first has given back."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, limits=SessionLimits(max_jobs=1)) as agent,
    ):
        sim.faults.add(Fault.explained(400, times=1))
        first, second = await asyncio.gather(
            agent.refusal("generate_video", key="cat", prompt="a cat"),
            agent.ask("generate_video", key="cat", prompt="a cat"),
        )

    assert "this is refused" in first
    assert (second["submitted"], second["jobs_left"]) == (True, 0)


async def test_a_job_that_another_session_gave_up_while_it_submitted_it(tmp_path: Path) -> None:
    """The session that submits it then pays for it with a place, and the other one does not."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path) as one,
        session(sim, tmp_path) as other,
    ):
        sim.faults.add(Fault.rate_limited(60, times=1))
        waiting = asyncio.create_task(one.ask("generate_video", key="cat", prompt="a cat"))
        await until(lambda: sim.ledger.statuses[429])
        asked = asyncio.create_task(other.ask("generate_video", key="cat", prompt="a cat"))
        await asyncio.wait([asked], timeout=0.1)
        waiting.cancel()
        answer = await asked
        async with asyncio.timeout(10):
            while (await one.ask("list_jobs"))["jobs_left"] < 10:  # noqa: ASYNC110  a call asks
                await asyncio.sleep(0.01)

    assert (answer["submitted"], answer["jobs_left"]) == (True, 9)


async def test_an_uncertain_submission_is_for_a_person(tmp_path: Path) -> None:
    """The agent is told not to repeat it, the person what to run; the place stays taken."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, limits=SessionLimits(max_jobs=1)) as agent,
    ):
        sim.faults.add(Fault.cut(after=True, times=1))
        texts = [await agent.refusal("generate_video", key="cat", prompt="a cat") for _ in range(2)]
        looked = await agent.ask("get_job", job="cat")
        waited = await agent.refusal("wait_for_job", job="cat")
        listed = await agent.ask("list_jobs", state="uncertain")
        full = await agent.refusal("generate_video", key="dog", prompt="a dog")

        assert len(sim.ledger.jobs) == 1
    for text in texts:
        assert "The job may have been accepted and billed" in text
        assert "Do not submit this job again, under this key or another one" in text
        assert f"`{SETTLE} cat --id ID`" in text
        assert f"`{SETTLE} cat --resubmit`" in text
        assert KEY not in text
    assert (looked["state"], looked["key"]) == ("uncertain", "cat")
    assert "Do not submit it again" in waited
    assert [job["key"] for job in listed["jobs"]] == ["cat"]
    assert "is its limit" in full


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_wait_reports_progress_and_ends_in_time(mode: str, tmp_path: Path) -> None:
    """The numbers rise, also while nothing happens; the state as of the timeout is the result."""
    reports: list[tuple[float, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        reports.append((progress, message))

    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, mode=mode, heartbeat=0.02) as agent,
    ):
        id = (await agent.ask("generate_video", key="cat", prompt="a cat"))["id"]
        waited = await agent.client.call_tool(
            "wait_for_job", {"job": id, "timeout": 0.2}, progress_callback=on_progress
        )
        await until(lambda: len(reports) >= 3)

    numbers = [number for number, _ in reports]
    assert waited.structured_content["state"] in ("pending", "processing")
    assert not waited.is_error
    assert numbers == sorted(set(numbers))
    assert all(message and message.startswith(f"job {id}: p") for _, message in reports)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_cancelled_wait_leaves_the_job(mode: str, tmp_path: Path) -> None:
    """It stays watched, another wait is not affected, and the server goes on."""
    reports: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reports.append(progress)

    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, mode=mode) as agent,
    ):
        id = (await agent.ask("generate_video", key="cat", prompt="a cat"))["id"]
        (task,) = agent.luma.tasks
        waits = [
            asyncio.create_task(
                agent.client.call_tool("wait_for_job", {"job": id}, progress_callback=on_progress)
            )
            for _ in range(2)
        ]
        await until(lambda: len(reports) == 2)
        waits[0].cancel()
        await asyncio.wait(waits[:1])
        watched = not task.done()
        sim.advance(HOUR)
        ended = await waits[1]

    assert waits[0].cancelled()
    assert watched
    assert ended.structured_content["state"] == "completed"


async def test_a_wait_for_a_job_that_is_forgotten_is_an_error(tmp_path: Path) -> None:
    """Its state says that it is running, which would make the agent wait again."""
    begun = asyncio.Event()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, heartbeat=0.02) as agent,
    ):
        await agent.ask("generate_video", key="cat", prompt="a cat")
        waiting = asyncio.create_task(
            agent.client.call_tool("wait_for_job", {"job": "cat"}, progress_callback=on_progress)
        )
        await begun.wait()
        (task,) = agent.luma.tasks
        task.forget()
        waited = await waiting

    assert waited.is_error
    assert "forgotten" in text_of(waited)


async def test_a_failed_job_is_a_state_and_no_reason_to_pay_again(tmp_path: Path) -> None:
    """Waiting shows the reason, of a bounded length; later its key raises the failure again."""
    long = "a cat " * 500
    async with Simulator(durations=LONG, failure_rate=1.0) as sim:
        async with session(sim, tmp_path) as agent:
            await agent.ask("generate_video", key="cat", prompt=long)
            sim.advance(HOUR)
            ended = await agent.ask("wait_for_job", job="cat")
        async with session(sim, tmp_path) as agent:
            again = await agent.refusal("generate_video", key="cat", prompt=long)
            nothing = await agent.refusal("download_files", job="cat")
            longer = await agent.refusal("extend_video", key="a", source="cat", prompt="it bows")
            (listed,) = (await agent.ask("list_jobs", state="failed"))["jobs"]

        assert len(sim.ledger.jobs) == 1
    assert ended["state"] == "failed"
    assert ended["failure_reason"] == listed["failure_reason"] != ""
    assert len(ended["prompt"]) == 1000
    for text in (again, nothing, longer):
        assert "choose a new key, and ask the user first" in text


async def test_the_list_has_the_newest_first(tmp_path: Path) -> None:
    """Also those of other programs; it is bounded, and says how many there are."""
    async with (
        Simulator(durations=LONG, same_films=True) as sim,
        session(sim, tmp_path, limits=SessionLimits(max_tasks=9)) as agent,
    ):
        for key in ("cat", "dog", "cow"):
            await agent.ask("generate_video", key=key, prompt=f"a {key}")
        assert (await agent.ask("get_job", job=" cat\n"))["key"] == "cat"
        listed = await agent.ask("list_jobs", limit=2)
        none = await agent.ask("list_jobs", state="failed")

    assert [job["key"] for job in listed["jobs"]] == ["cow", "dog"]
    assert (listed["found"], listed["jobs_left"]) == (3, 7)
    assert none["jobs"] == []


async def test_a_balance_and_concepts_are_free(tmp_path: Path) -> None:
    """Where the server tells them."""
    async with (
        Simulator() as sim,
        session(sim, tmp_path, dialect="dream-machine") as agent,
    ):
        balance = await agent.ask("get_credits")
        concepts = await agent.ask("list_concepts")

    assert balance["usd"] > 0
    assert "dolly_zoom" in concepts["concepts"]


async def test_an_error_of_ours_is_in_the_log_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception may hold anything; the agent learns that the key makes a repeat harmless."""
    async with Simulator() as sim, session(sim, tmp_path) as agent:
        monkeypatch.setattr(agent.luma, "get", None)
        said = await agent.refusal("get_job", job="some-id")

    assert "internal error" in said
    assert "NoneType" not in said
    assert "NoneType" in caplog.text


async def test_a_journal_is_needed(tmp_path: Path) -> None:
    """Without one, a repeat would not be harmless."""
    async with LumaClient(KEY, base_url="http://127.0.0.1:9") as luma:
        with pytest.raises(ConfigurationError, match="needs a journal"):
            AgentTools(luma, AgentFolder(tmp_path), SessionLimits())
