"""Answers about another job: no job gets the video of another one."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from luma_async import FixedSchedule, Generation, ResponseError
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.tasks.foreign_ids import ASSIGN_AFTER, MIN_LOOKS, ForeignIds
from tests.clients import HOUR, connect, looks_after, until
from tests.loops import skip


def own_video(generation: Generation) -> bool:
    """Tell a job's own video by its link, in which the simulator puts the id."""
    return bool(generation.video and generation.id in str(generation.video.url))


async def test_a_look_that_is_answered_with_another_job_is_an_error() -> None:
    """`get()` raises it with both ids, and the next look works again."""
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim) as luma:
        mine, other = await luma.generate("a cat"), await luma.generate("a dog")
        await asyncio.gather(mine, other)
        body = json.dumps(sim._answers.one(sim.ledger.jobs[1])).encode()
        sim.faults.add(Fault.answer(body, on=["get"], times=1))

        with pytest.raises(ResponseError, match=f"{mine.id} was answered with another.*{other.id}"):
            await luma.get(mine.id)

        assert own_video(await luma.get(mine.id))


@pytest.mark.parametrize("shape", [{}, {"one": "row"}], ids=str)
async def test_mixed_up_answers_never_end_a_job_with_the_video_of_another(
    shape: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With half of the answers mixed up, each task gets its own video, and a warning is logged."""
    asyncio.get_running_loop().set_debug(False)
    variant = Variant(batch="404", mixes_up=0.5, **shape)
    async with Simulator(durations=Fixed(0.4), variant=variant, same_films=True) as sim:
        async with connect(sim) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(20)]

            videos = await asyncio.gather(*tasks)

            assert [video.id for video in videos] == [task.id for task in tasks]
            assert all(own_video(video) for video in videos)
    ours = (each for each in caplog.records if each.name == "luma_async")
    warned = [each for each in ours if each.levelno == logging.WARNING]
    assert "was answered with another job" in warned[0].message
    assert "Still watched" in warned[0].message
    assert len(warned) <= 3


async def test_one_row_for_all_jobs_ends_no_job() -> None:
    """A broken cache that ignores the path answers like this."""

    def answer(state: str) -> Fault:
        body = f'{{"id": "foreign", "state": "{state}", "video": "https://host/v.mp4"}}'
        return Fault.answer(body.encode(), on=["get"])

    async with Simulator(durations=Fixed(HOUR), variant=Variant(batch="404")) as sim:
        async with connect(sim, schedule=FixedSchedule(10.0)) as luma:
            sim.faults.add(answer("processing"))
            tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(5)))
            for state in ("processing", "completed"):
                sim.faults.clear()
                sim.faults.add(answer(state))
                for _ in range(MIN_LOOKS + 2):
                    await looks_after(11.0, luma, sim)

            assert sim.ledger.requests["get"] >= 2 * 5 * (MIN_LOOKS + 2)
            assert not any(task.done() for task in tasks)


async def test_the_row_of_another_watched_job_is_never_used() -> None:
    """The number of such answers does not matter, nor the end of the other job."""
    ids = ForeignIds(assign_after=0.2)
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, foreign_ids=ids) as luma:
        mine, other = await luma.generate("a cat"), await luma.generate("a dog")
        sim.faults.add(Fault.page(405, on=["tasks"]))
        body = f'{{"id": "{other.id}", "state": "completed", "video": "https://host/v.mp4"}}'
        sim.faults.add(Fault.answer(body.encode(), on=["get"]))

        await asyncio.wait_for(other, 60)
        looks = sim.ledger.requests["get"]
        await until(lambda: sim.ledger.requests["get"] > looks + 20)

        assert not mine.done()


@pytest.mark.parametrize("jobs", [1, 12])
@pytest.mark.parametrize("shape", [{}, {"one": "row"}], ids=str)
async def test_a_gateway_that_passes_on_its_upstreams_ids_works(jobs: int, shape: Any) -> None:
    """Each job ends with its own video and keeps the id of its submission."""
    asyncio.get_running_loop().set_debug(False)
    variant = Variant(**{"batch": "404", "upstream_ids": True, **shape})
    async with Simulator(durations=Fixed(HOUR), variant=variant, same_films=True) as sim:
        async with connect(sim) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(jobs)]
            await until(lambda: all("upstream" in str(task.generation.raw) for task in tasks))
            sim.advance(HOUR)

            videos = await asyncio.wait_for(asyncio.gather(*tasks), 60)

            assert [video.id for video in videos] == [task.id for task in tasks]
            assert all(own_video(video) for video in videos)
            assert own_video(await luma.get(tasks[0].id))  # what was learned holds for all looks


async def test_a_gateway_that_passes_ids_on_beside_a_batch_of_its_own_works() -> None:
    """Rows of the batch show the end, and single looks the video."""
    variant = Variant(batch="rows", row_data="null", upstream_ids=True)
    async with Simulator(durations=Fixed(0.3), variant=variant, same_films=True) as sim:
        async with connect(sim, foreign_ids=ForeignIds(assign_after=0.5)) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(12)]

            videos = await asyncio.wait_for(asyncio.gather(*tasks), 60)

            assert [video.id for video in videos] == [task.id for task in tasks]
            assert all(own_video(video) for video in videos)


@pytest.mark.parametrize("again", ["watch", "resume"])
async def test_a_job_that_ended_before_the_first_look_takes_a_minute(
    again: str, tmp_path: Any
) -> None:
    """On a gateway that passes on its upstream's ids, the answer must be the same for that time."""
    journal = tmp_path / "jobs.db"
    async with Simulator(durations=Fixed(0.0), variant=Variant(upstream_ids=True)) as sim:
        async with connect(sim, journal=journal) as luma:
            id = (await luma.generate("a cat")).id
        async with connect(sim, journal=journal) as luma:
            [task] = await luma.resume() if again == "resume" else [await luma.watch(id)]
            looks = sim.ledger.requests["get"]
            await until(lambda: sim.ledger.requests["get"] > looks + MIN_LOOKS)
            assert not task.done()
            skip(ASSIGN_AFTER)

            assert own_video(await asyncio.wait_for(task.wait(), 60))


@pytest.mark.parametrize(
    "row",
    [
        {"id": 13, "task_id": "upstream", "data": {"id": "OURS"}},
        {"id": "OURS", "task_id": "upstream"},
        {"taskId": "OURS", "id": "upstream"},
        {"id": "upstream", "data": {"task_id": "OURS", "id": "another"}},
    ],
    ids=str,
)
async def test_an_id_in_any_place_is_enough(row: dict[str, Any]) -> None:
    """The id may be in the row or in the task within it, under each name."""
    async with Simulator(durations=Fixed(60)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        body = json.dumps({**row, "status": "SUCCESS", "video": "https://host/v.mp4"})
        sim.faults.add(Fault.answer(body.replace("OURS", task.id).encode(), on=["get"]))

        assert (await luma.get(task.id)).id == task.id
        assert (await asyncio.wait_for(task.wait(), 60)).id == task.id


@pytest.mark.parametrize("by_hand", [True, False])
async def test_a_batch_that_contradicts_itself_is_settled_by_single_looks(by_hand: bool) -> None:
    """A job with two different rows is looked at singly, and no row ends it."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        tasks = [await luma.generate(f"cat {n}") for n in range(2)]
        rows = [
            {"id": task.id, "state": state} for task in tasks for state in ("failed", "completed")
        ]
        sim.faults.add(Fault.answer(json.dumps(rows).encode(), on=["tasks"]))

        if by_hand:
            found = await luma.get_many(task.id for task in tasks)
            assert {each.state.terminal for each in found.values()} == {False}
            assert set(found) == {task.id for task in tasks}
        sim.advance(HOUR)
        assert all(own_video(video) for video in await asyncio.gather(*tasks))


async def test_rows_of_other_jobs_in_a_batch_are_passed_over() -> None:
    """A batch answer counts for the requested jobs only."""
    async with Simulator(durations=Fixed(0.3)) as sim, connect(sim) as luma:
        tasks = [await luma.generate(f"cat {n}") for n in range(2)]
        rows = b'[{"id": "x", "state": "failed"}, {"task_id": "y", "status": "SUCCESS"}]'
        sim.faults.add(Fault.answer(rows, on=["tasks"]))

        found = await luma.get_many([task.id for task in tasks])

        assert found == {}
        assert all(own_video(video) for video in await asyncio.gather(*tasks))


def judged(ids: ForeignIds, *answers: str, running: bool = True, every: float = 1.0) -> list[bool]:
    """Return the judgements of consecutive answers about the job `a`."""
    return [
        ids.is_same_job("a", foreign, running=running, is_another=False, now=every * n)
        for n, foreign in enumerate(answers)
    ]


def test_a_foreign_id_is_assigned_after_some_looks_at_a_running_job() -> None:
    """The gateway must not have answered with a requested id before."""
    assert judged(ForeignIds(), *["f"] * 5) == [False, False, True, True, True]


def test_another_foreign_id_in_between_begins_anew() -> None:
    """Interrupted sequences do not count."""
    assert judged(ForeignIds(), "f", "f", "g", "f", "f", "f") == [False] * 5 + [True]


def test_an_assigned_id_survives_a_mixed_up_answer() -> None:
    """The mixed-up answer is ignored, and the next right one is used."""
    assert judged(ForeignIds(), "f", "f", "f", "g", "f") == [False, False, True, False, True]


def test_an_upstream_that_gives_a_job_another_id_is_followed() -> None:
    """The second foreign id takes as many looks as the first."""
    assert judged(ForeignIds(), *"fff", *"ggg", "f") == [False, False, True] * 2 + [False]


def test_a_foreign_id_is_assigned_after_a_minute_if_other_jobs_have_their_own() -> None:
    """Throughout the minute, the foreign id must be the same."""
    ids = ForeignIds()
    ids.saw_own_id("b")

    assert not any(judged(ids, *["f"] * 60))
    assert ids.is_same_job("a", "f", running=True, is_another=False, now=ASSIGN_AFTER)


def test_its_own_id_in_between_begins_the_minute_anew() -> None:
    """An answer about another job of this client does the same."""
    by_itself, by_another = ForeignIds(), ForeignIds()
    for ids in (by_itself, by_another):
        judged(ids, *["f"] * 30, running=False)

    by_itself.saw_own_id("a")
    by_another.is_same_job("a", "b", running=True, is_another=True, now=59.0)

    for ids in (by_itself, by_another):
        assert not ids.is_same_job("a", "f", running=False, is_another=False, now=61.0)


def test_a_foreign_id_of_a_finished_job_is_assigned_after_a_minute() -> None:
    """Two answers a minute apart are not enough."""
    assert judged(ForeignIds(), *["f"] * 4, running=False, every=31.0) == [False] * 2 + [True] * 2
    assert judged(ForeignIds(), "f", "f", running=False, every=90.0) == [False, False]


def test_later_foreign_ids_are_assigned_sooner() -> None:
    """Finished jobs take a few looks then, unless the gateway answers with a requested id."""
    ids = ForeignIds()
    for now in range(MIN_LOOKS):
        ids.is_same_job("b", "g", running=True, is_another=False, now=float(now))

    assert judged(ids, *["f"] * MIN_LOOKS, running=False) == [False, False, True]
    ids.saw_own_id("c")
    assert judged(ids, *["h"] * MIN_LOOKS, running=False) == [False, False, False]


def test_jobs_are_forgotten_before_they_fill_the_memory() -> None:
    """The oldest jobs are forgotten first, with their foreign ids."""
    ids = ForeignIds(max_jobs=10)
    for n in range(100):
        for now in range(MIN_LOOKS):
            ids.is_same_job(f"{n}", f"f{n}", running=True, is_another=False, now=now)
    for n in range(200, 300):
        ids.saw_own_id(f"{n}")

    assert len(ids._own) == 10
    assert len(ids._sightings) == len(ids._job_of) == 10
    assert ids.is_same_job("99", "f99", running=True, is_another=False, now=9.0)
    assert not ids.is_same_job("0", "f0", running=True, is_another=False, now=9.0)


JOBS = st.sampled_from(["a", "b", "c"])


class AnyAnswersForAnyJobs(RuleBasedStateMachine):
    """A foreign id is never assigned to two jobs, and never at first sight."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = ForeignIds()
        self.now = 0.0
        self.answered: dict[str, list[str]] = {}

    @rule(
        id=JOBS,
        foreign=st.sampled_from(["f", "g", "a"]),
        running=st.booleans(),
        passed=st.sampled_from([0.1, 70.0]),
        times=st.integers(1, MIN_LOOKS),
    )
    def answers_come(self, id: str, foreign: str, running: bool, passed: float, times: int) -> None:
        for _ in range(0 if foreign == id else times):
            self.now += passed
            is_another = foreign == "a"

            same = self.ids.is_same_job(
                id, foreign, running=running, is_another=is_another, now=self.now
            )

            seen = self.answered.setdefault(id, [])
            assert not (same and is_another)
            assert not same or seen.count(foreign) >= MIN_LOOKS - 1
            seen.append(foreign)

    @rule(id=JOBS)
    def its_own_id_is_answered(self, id: str) -> None:
        self.ids.saw_own_id(id)

    @invariant()
    def no_foreign_id_is_that_of_two_jobs(self) -> None:
        believed = [each.assigned for each in self.ids._sightings.values() if each.assigned]
        assert len(believed) == len(set(believed))

    @invariant()
    def every_claim_has_its_job(self) -> None:
        for foreign, id in self.ids._job_of.items():
            sighting = self.ids._sightings[id]
            assert foreign in (sighting.assigned, sighting.candidate)


TestAnyAnswersForAnyJobs = AnyAnswersForAnyJobs.TestCase
TestAnyAnswersForAnyJobs.settings = settings(max_examples=100, stateful_step_count=30)
