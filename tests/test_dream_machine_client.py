"""The client at a server of the Dream Machine API: its kinds of jobs, and how it watches them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    FixedSchedule,
    GenerationReference,
    InvalidRequestError,
    NotFoundError,
    NoVideoError,
    State,
    UnsupportedError,
)
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect, looks_after, until

DREAM = "dream-machine"
URL = "https://images.example/cat.jpg"


async def test_each_kind_of_job_is_accepted_with_its_sources() -> None:
    """Frames are jobs by their ids, and other sources are links to outputs, which are looked up."""
    async with Simulator(durations=Fixed(0.01)) as sim, connect(sim, dialect=DREAM) as luma:
        first, last = [await (await luma.generate(f"cat {n}", concepts=["pov"])) for n in range(2)]
        picture = await (await luma.generate_image("a cat", references=[URL], format="jpeg"))
        tasks = [
            await luma.generate("a cat", image=URL, image_end=first),
            await luma.generate("a cat", image=first, image_end=GenerationReference(last.id)),
            await luma.extend(first, "a cat"),
            await luma.extend(last, "a cat", backward=True),
            await luma.extend(first, "a cat", image_end=last),
            await luma.edit(first, "rain", strength="adhere_2", image=picture),
            await luma.reframe(first, "9:16"),
            await luma.reframe(picture, "1:1", model="photon-1"),
            await luma.edit_image(picture, "add a hat", references=[picture]),
            await luma.edit(URL, "rain", strength="flex_3"),
        ]
        ended = await asyncio.gather(*tasks)

        jobs = {job.id: job for job in sim.ledger.jobs}
        parents = [jobs[task.id].parent for task in tasks]
        followers = [jobs[task.id].follower for task in tasks]
        assert [parent and parent.id for parent in parents] == [
            *(None, first.id, first.id, None, first.id),
            *(first.id, first.id, picture.id, None, None),
        ]
        assert [follower and follower.id for follower in followers][:5] == [
            *(first.id, last.id, None, last.id, last.id),
        ]
        assert [each.type for each in ended][5:] == [
            *("modify_video", "reframe_video", "reframe_image", "image", "modify_video"),
        ]
        edited = jobs[tasks[5].id].request
        assert edited["first_frame"]["url"].startswith(f"{sim.url}/media/{picture.id}/image.jpg")
        retouched = jobs[tasks[8].id].request
        assert retouched["modify_image_ref"]["url"] == retouched["image_ref"][0]["url"]
        assert ended[8].output is not None
        assert ended[8].video is None


async def test_nothing_is_sent_for_a_request_that_the_api_would_reject() -> None:
    """Images that are no URLs, fields of other APIs, and sources without a link."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, dialect=DREAM) as luma:
        with pytest.raises(InvalidRequestError, match=r"image: must be an http\(s\) URL"):
            await luma.generate("a cat", image=b"\x89PNG\r\n\x1a\n")
        with pytest.raises(InvalidRequestError) as caught:
            await luma.generate("ab", image=Path("cat.png"), aspect_ratio="2:1")
        assert caught.value.fields.keys() == {"prompt", "image", "aspect_ratio"}
        with pytest.raises(UnsupportedError, match="layers: the dream-machine dialect"):
            await luma.extract_layers(URL)
        assert sim.ledger.requests.total() == 0

        running = await luma.generate("a cat")
        with pytest.raises(NoVideoError, match=f"Job {running.id} was pending"):
            await luma.edit(GenerationReference(running.id), "rain", strength="flex_1")
        with pytest.raises(NotFoundError):
            await luma.edit(GenerationReference("nobody"), "rain", strength="flex_1")
        assert len(sim.ledger.jobs) == 1


async def test_jobs_are_looked_at_one_by_one_in_the_words_of_the_api() -> None:
    """`queued`, `dreaming` and `completed` are the states of a job, and there is no batch call."""
    async with Simulator(durations=Fixed(HOUR), max_jobs=9) as sim:
        async with connect(sim, dialect=DREAM, schedule=FixedSchedule(600.0)) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(3)]
            assert {task.state for task in tasks} == {State.PENDING}

            sim.advance(HOUR / 2)
            await looks_after(700.0, luma, sim)
            assert {task.state for task in tasks} == {State.PROCESSING}
            assert {task.generation.raw["state"] for task in tasks} == {"dreaming"}
            sim.advance(HOUR)
            await looks_after(700.0, luma, sim)

            ended = await asyncio.gather(*tasks)
            assert {each.state for each in ended} == {State.COMPLETED}
            found = await luma.get_many([task.id for task in tasks] + ["nobody"])
            assert found.keys() == {task.id for task in tasks}
            assert sim.ledger.requests["tasks"] == 0
            assert sim.ledger.requests["dream-machine.get"] == 3 * 2 + 4


async def test_a_job_that_was_deleted_elsewhere_is_lost_after_a_minute_of_404() -> None:
    """Shorter times of "not found" may be those of a server that has just accepted the job."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with (
            connect(sim, dialect=DREAM, schedule=FixedSchedule(20.0)) as luma,
            connect(sim, dialect=DREAM) as other,
        ):
            task = await luma.generate("a cat")
            await other.delete(task.id)

            await looks_after(25.0, luma, sim)
            assert not task.done()
            for _ in range(3):
                await looks_after(25.0, luma, sim)
            await until(task.done)

            with pytest.raises(NotFoundError, match="for 60 s now"):
                await task


async def test_a_journal_submits_a_job_that_works_on_another_one_once(tmp_path: Path) -> None:
    """The link of the source differs with each look, and the job is known nevertheless."""
    fields: dict[str, Any] = {"strength": "flex_1", "key": "rain"}
    place = tmp_path / "jobs.db"
    async with Simulator(durations=Fixed(0.01)) as sim:
        async with connect(sim, dialect=DREAM, journal=place) as luma:
            cat = await (await luma.generate("a cat", key="cat"))
            task = await luma.edit(cat, "rain", **fields)
            await task
        sim.advance(60.0)
        async with connect(sim, dialect=DREAM, journal=place) as luma:
            again = await luma.edit(cat.id, "rain", **fields)

            assert (again.id, again.done()) == (task.id, True)
            assert len(sim.ledger.jobs) == 2
