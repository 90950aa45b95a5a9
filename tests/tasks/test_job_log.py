"""The log follows a job from its submission to its end, a line for each step."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from luma_async import Generation, LumaError, State, VideoTask
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.tasks.job_log import FIRST_IDS, IDS_PER_LINE, log_end, log_submitted
from tests.clients import HOUR, InTurn, connect, until
from tests.watchers import Witness

LOOKS = ("get", "tasks")
Line = tuple[str, str]


def lines(caplog: pytest.LogCaptureFixture) -> list[Line]:
    """Return the level and the text of each line, apart from those of asyncio and of requests."""
    ours = [record for record in caplog.records if record.name == "luma_async"]
    return [(record.levelname, record.getMessage()) for record in ours]


def at(level: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for name, text in lines(caplog) if name == level]


async def test_a_job_is_told_from_its_submission_to_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line at INFO when it was accepted, and one when it is completed, with its seconds."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(0.2)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            task = await luma.generate("a cat dances", key="row-17", model="ray-v2")
            await task

    submitted, completed = lines(caplog)
    assert submitted == ("INFO", f"Job {task.id} ('row-17') was submitted (generate ray-v2).")
    pattern = rf"Job {task.id} \('row-17'\) is completed after (\d+\.\d) s\."
    level, text = completed
    assert level == "INFO"
    seconds = re.fullmatch(pattern, text)
    assert seconds is not None
    assert 0.1 <= float(seconds[1]) < 60


async def test_a_generated_job_key_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal gives each job one, and nobody knows it by that."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(0.0)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            await (await luma.generate("a cat"))

    assert [text for _, text in lines(caplog) if "auto-" in text] == []
    assert len(lines(caplog)) == 2


async def test_prompts_are_in_the_log_at_debug_only(caplog: pytest.LogCaptureFixture) -> None:
    """Prompts are words of other people. At DEBUG, the first sixty characters are there."""
    caplog.set_level(logging.DEBUG, "luma_async")
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim) as luma:
        await (await luma.generate("a cat " * 20))

    told = [line for line in lines(caplog) if "a cat" in line[1]]
    assert told == [("DEBUG", f"Submitting a job (generate): {('a cat ' * 10)!r}.")]


async def test_a_failed_job_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """In one line, even if the server's text has several."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        reason = "the prompt\nwas\x0bmoderated. "
        failed = {"id": task.id, "state": "failed", "failure_reason": reason}
        sim.faults.add(Fault.answer(json.dumps(failed).encode(), on=LOOKS))
        with pytest.raises(LumaError):
            await task

    _, (level, text) = lines(caplog)
    assert level == "INFO"
    after = r"after \d+\.\d s: the prompt was moderated\."
    assert re.fullmatch(rf"Job {task.id} failed {after}", text)


async def test_jobs_that_are_given_up_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """After `task_timeout`, after `forget()`, and if the server does not know the job."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, task_timeout=0.3) as luma:
            slow = await luma.generate("a cat")
            forgotten = await luma.generate("a dog")
            forgotten.forget()
            with pytest.raises(LumaError):
                await slow
        async with connect(sim) as luma:
            luma._manager._results._lost_after = 0.1
            lost = await luma.generate("a cow")
            sim.faults.add(Fault.answer(b"{}", status=404, on=LOOKS))
            with pytest.raises(LumaError):
                await lost

    told = [line for line in lines(caplog) if "was submitted (" not in line[1]]
    assert [level for level, _ in told] == ["INFO"] * 3
    assert told[0][1].startswith(f"Job {forgotten.id} was forgotten while pending.")
    assert told[1][1].startswith(f"Job {slow.id} is still p")
    assert re.match(rf"Job {lost.id} is no longer watched after .* s: HTTP 404", told[2][1])


async def test_a_watched_job_is_told_with_the_seconds_since_it_was_created(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If the server says when that was. A job that has ended already has no duration."""
    caplog.set_level(logging.DEBUG, "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim) as luma:
            id = (await luma.generate("a cat")).id
        caplog.clear()
        async with connect(sim, task_timeout=3 * HOUR) as luma:
            task = await luma.watch(id)
            assert lines(caplog) == [("DEBUG", f"Job {id} is watched; it is {task.state}.")]
            sim.advance(HOUR)
            await task
            assert re.fullmatch(rf"Job {id} is completed after \d+\.\d s\.", at("INFO", caplog)[-1])
            caplog.clear()
            await luma.watch(id)
            assert lines(caplog) == [("INFO", f"Job {id} is completed.")]


async def test_resumed_jobs_are_counted_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of them is told at DEBUG, with its job key."""
    caplog.set_level(logging.DEBUG, "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            ids = [(await luma.generate("a cat", key=f"cat-{n}")).id for n in range(3)]
        caplog.clear()
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            await luma.resume()
            assert at("INFO", caplog) == ["Resumed from the journal: 3 jobs."]
            told = [text for text in at("DEBUG", caplog) if "is watched" in text]
            assert told == [
                f"Job {id} ('cat-{n}') is watched; it is pending." for n, id in enumerate(ids)
            ]


async def test_closing_tells_how_to_find_the_running_jobs_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a journal by `resume()`, without one by their ids; without running jobs, nothing."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=InTurn(0.0, HOUR)) as sim:
        async with connect(sim) as luma:
            await (await luma.generate("a cat"))
        assert not any("closed" in text for _, text in lines(caplog))

        async with connect(sim) as luma:
            ids = [(await luma.generate("a cat")).id for _ in range(2)]
        assert at("INFO", caplog)[-1] == (
            f"The client was closed with 2 jobs running at the server: {ids[0]}, {ids[1]}. "
            "To watch again: LumaClient.watch(id), or `luma-async watch ID...`."
        )

        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            journalled = await luma.generate("a cat")
        assert at("INFO", caplog)[-1] == (
            f"The client was closed with 1 job running at the server: {journalled.id}. "
            "To watch again: LumaClient.resume(), or `luma-async resume` with the same journal."
        )


async def test_closing_with_many_jobs_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Without a journal, the ids that it leaves out follow at DEBUG, a hundred in a line."""
    caplog.set_level(logging.DEBUG, "luma_async")
    count = FIRST_IDS + IDS_PER_LINE + 5
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        [first] = [await luma.generate("a cat")]
        others = [first.generation.model_copy(update={"id": f"job-{n}"}) for n in range(count - 1)]
        for generation in others:
            luma._manager.add(generation)
        await luma.aclose()

    ids = [first.id, *(generation.id for generation in others)]
    [line] = [text for text in at("INFO", caplog) if "closed" in text]
    assert f"with {count} jobs running at the server: {', '.join(ids[:FIRST_IDS])} and " in line
    assert ids[FIRST_IDS] not in line
    further = [text for text in at("DEBUG", caplog) if text.startswith("Further ids")]
    assert further == [
        f"Further ids of these jobs: {', '.join(ids[FIRST_IDS:-5])}.",
        f"Further ids of these jobs: {', '.join(ids[-5:])}.",
    ]


async def test_a_job_that_is_accepted_while_the_client_closes_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The line about running jobs was written before its id was known."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim:
        luma = connect(sim)
        task = await luma.generate("a cat")
        await luma.aclose()
        luma._manager.add(task.generation, submitted_here=True)

    assert [text for _, text in lines(caplog)].count(lines(caplog)[-1][1]) == 2
    assert f"1 job running at the server: {task.id}." in lines(caplog)[-1][1]


async def test_looks_are_told_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each, with its jobs, its seconds and its news; nothing of them at INFO."""
    caplog.set_level(logging.DEBUG, "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        tasks = [await luma.generate("a cat") for _ in range(3)]
        await until(lambda: "3 jobs in" in caplog.text)
        sim.advance(HOUR)
        for task in tasks:
            await task

    told = [text for text in at("DEBUG", caplog) if text.startswith("Looked")]
    pattern = r"Looked at (1 job|\d jobs) in \d+\.\d{3} s: \d with news\."
    assert all(re.fullmatch(pattern, text) for text in told)
    assert any(text.endswith("3 with news.") for text in told)
    steps = [text for text in at("INFO", caplog) if " was submitted" in text or "completed" in text]
    assert at("INFO", caplog) == steps
    assert len(steps) == 6


async def test_records_have_the_id_and_the_job_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """For programs that write their log as JSON."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(0.0)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            task = await luma.generate("a cat", key="row-17")
            await task

    marks = [(vars(each)["luma_job_id"], vars(each)["luma_job_key"]) for each in caplog.records]
    assert marks == [(task.id, "row-17")] * 2


async def test_the_record_of_a_cancelled_run_has_the_id(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing else tells which job was paid for."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        call = asyncio.create_task(luma.run("a cat"))
        await until(lambda: luma.tasks)
        call.cancel()
        await asyncio.wait([call])

        [task] = luma.tasks
        [record] = caplog.records
        assert vars(record)["luma_job_id"] == task.id


async def test_a_filter_that_fails_does_not_hide_a_cancellation(
    request: pytest.FixtureRequest,
) -> None:
    """Code that cancels `run()` gets its `CancelledError`."""
    logger, broken = logging.getLogger("luma_async"), Broken()
    logger.addFilter(broken)
    request.addfinalizer(partial(_restore, logger, broken))
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        call = asyncio.create_task(luma.run("a cat"))
        await until(lambda: luma.tasks)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()


class Broken(logging.Filter):
    """Filter of a program that has a bug."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise KeyError(record.name)


async def test_a_filter_that_fails_costs_nobody_a_job(request: pytest.FixtureRequest) -> None:
    """Neither the handle on a job that is paid for, nor the wait for it."""
    loggers = [logging.getLogger(name) for name in ("luma_async", "luma_async.http")]
    broken = Broken()
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addFilter(broken)
        request.addfinalizer(partial(_restore, logger, broken))
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")

        assert (await task).video is not None
        assert len(sim.ledger.jobs) == 1


def _restore(logger: logging.Logger, broken: logging.Filter) -> None:
    logger.removeFilter(broken)
    logger.setLevel(logging.NOTSET)


def test_a_job_that_is_forgotten_after_the_event_loop_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without a loop there is no clock, and no error."""
    caplog.set_level(logging.INFO, "luma_async")

    class Teller(Witness):
        def ended(self, task: VideoTask) -> None:
            log_end(task, 0.0, str)

    task = VideoTask(Generation(id="a", state=State.PENDING), Teller())

    task.forget()

    [text] = at("INFO", caplog)
    assert text.startswith("Job a was forgotten while pending.")


def test_an_id_cannot_forge_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Line breaks and control characters of a server are shown as escapes."""
    caplog.set_level(logging.INFO, "luma_async")
    task = VideoTask.finished(Generation(id="a\nERROR forged\x1b[2J", state=State.COMPLETED))

    log_submitted(task, "generate")
    log_end(task, None, str)

    assert at("INFO", caplog) == [
        r"Job a\nERROR forged\x1b[2J was submitted (generate).",
        r"Job a\nERROR forged\x1b[2J is completed.",
    ]


def test_a_program_that_sets_up_no_log_sees_warnings_only() -> None:
    """Python prints these on stderr by itself, because no handler here keeps it from that."""
    logger: Any = logging.getLogger("luma_async")

    assert logger.handlers == []
    assert logger.level == logging.NOTSET
    assert logger.propagate
