"""OpenTelemetry: one span for a job, and one for each HTTP request, by the conventions."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from yarl import URL

from luma_async import FixedSchedule, LumaError, SubmissionUncertainError
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.telemetry import job_span
from tests.clients import HOUR, KEY, connect, until
from tests.media.image_files import an_image
from tests.telemetry.exported import Exported, attributes, events

LOOKS = ("get", "tasks")
PROMPT = "a cat that nobody else may know of"


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return (
        span.parent is not None
        and parent.context is not None
        and span.parent.span_id == parent.context.span_id
    )


async def test_a_job_has_one_span_from_its_submission_to_its_end(
    exported: Exported, tmp_path: Path
) -> None:
    """A child of the caller's span, and the parent of the submission's request."""
    exported.install()
    async with Simulator(durations=Fixed(HOUR), short_side=64) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            with trace.get_tracer("program").start_as_current_span("command") as command:
                task = await luma.generate(PROMPT, key="row-17")
            await until(lambda: luma.stats().polled_jobs >= 2)
            sim.advance(HOUR)
            await task

    [job] = exported.jobs()
    assert job.name == "luma generate"
    assert job.kind is SpanKind.INTERNAL
    assert is_child(job, command)  # type: ignore[arg-type]
    assert job.status.status_code is StatusCode.UNSET
    found = attributes(job)
    polls = events(job, "luma.poll")
    lateness = found.pop("luma.job.lateness")
    assert 0 <= lateness < HOUR
    assert found == {
        "luma.dialect": "gateway",
        "luma.job.kind": "generate",
        "luma.job.key": "row-17",
        "luma.job.id": task.id,
        "luma.job.outcome": "completed",
        "luma.job.polls": len(polls),
    }
    assert len(polls) >= 3
    assert polls[0]["luma.job.state"] in ("pending", "processing")
    assert polls[-1]["luma.job.state"] == "completed"
    assert next(event.name for event in job.events) == "luma.job.submitted"
    [submission] = exported.requests("submission")
    assert is_child(submission, job)
    assert PROMPT not in "".join(span.to_json() for span in exported.spans)


async def test_requests_have_the_attributes_of_the_conventions(
    exported: Exported, tmp_path: Path
) -> None:
    """No query, no API key, and of a media host no path: a reader might fetch the file by it."""
    exported.install()
    async with Simulator(durations=Fixed(0.0), short_side=64) as sim:
        async with connect(sim) as luma:
            task = await luma.generate(PROMPT)
            await luma.download(await task, tmp_path / "cat.mp4")
        url = URL(sim.url)

    address = {"server.address": url.host, "server.port": url.port, "url.scheme": "http"}
    [submission] = exported.requests("submission")
    assert (submission.name, submission.kind) == ("POST", SpanKind.CLIENT)
    assert attributes(submission) == {
        "http.request.method": "POST",
        "url.full": f"{sim.url}/luma/generations",
        "http.response.status_code": 200,
        "luma.request.kind": "submission",
        **address,
    }
    first = exported.requests("poll")[0]
    assert attributes(first)["url.full"] == f"{sim.url}/luma/generations/{task.id}"
    assert first.parent is None
    [download] = exported.requests("download")
    assert attributes(download)["url.full"].endswith("/REDACTED")
    assert attributes(download)["http.response.status_code"] == 200
    every = "".join(span.to_json() for span in exported.spans)
    assert KEY not in every
    assert "?" not in every


async def test_an_api_key_in_place_of_an_id_is_in_no_span(exported: Exported) -> None:
    """A caller may mix up the two."""
    exported.install()
    async with Simulator() as sim, connect(sim, max_tries=1) as luma:
        with pytest.raises(LumaError):
            await luma.get(KEY)

    [poll] = exported.requests("poll")
    assert KEY not in poll.to_json()


async def test_the_upload_of_an_image_is_a_request_as_well(exported: Exported) -> None:
    """To the media host, whose signed URL is not shown; the job has its span before."""
    exported.install()
    image = an_image() + os.urandom(2 * 2**20)
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, dialect="agents") as luma:
        await luma.generate("a cat", image=image)

    [upload] = exported.requests("upload")
    found = attributes(upload)
    assert (upload.name, found["http.request.method"]) == ("PUT", "PUT")
    assert found["url.full"].endswith("/REDACTED")
    assert found["http.response.status_code"] in (200, 201, 204)
    [job] = exported.jobs()
    assert job.start_time is not None
    assert upload.start_time is not None
    assert job.start_time < upload.start_time


async def test_one_look_is_one_request_and_an_event_of_each_job(exported: Exported) -> None:
    """A hundred jobs of a batch have one HTTP span, which is in no trace of a job."""
    exported.install()
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, schedule=FixedSchedule(0.2)) as luma:
            tasks = await asyncio.gather(*(luma.generate(f"{n} cats") for n in range(20)))
            await until(lambda: luma.stats().polled_jobs >= 20)
            sim.advance(HOUR)
            await asyncio.gather(*tasks)
            polls = luma.stats().polls

    assert len(exported.jobs()) == 20
    assert all(events(job, "luma.poll") for job in exported.jobs())
    assert len(exported.requests("poll")) == polls < 20
    assert all(poll.parent is None for poll in exported.requests("poll"))


@pytest.mark.usefixtures("quick_retries")
async def test_a_retry_and_a_failure_are_told_by_their_spans(exported: Exported) -> None:
    """The number of the repeat, the status as the type of the error, and the status ERROR."""
    exported.install()
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=0, times=1, on="generate"))
        sim.fail_next("moderated")
        task = await luma.generate("a cat")
        sim.advance(HOUR)
        with pytest.raises(LumaError):
            await task

    first, second = exported.requests("submission")
    assert attributes(first)["error.type"] == "429"
    assert attributes(first)["http.response.status_code"] == 429
    assert first.status.status_code is StatusCode.ERROR
    assert "http.request.resend_count" not in attributes(first)
    assert attributes(second)["http.request.resend_count"] == 1
    assert second.status.status_code is StatusCode.UNSET
    [job] = exported.jobs()
    assert is_child(first, job)
    assert is_child(second, job)
    assert job.status.status_code is StatusCode.ERROR
    assert "moderated" in (job.status.description or "")
    assert attributes(job)["error.type"] == "ModerationError"
    assert attributes(job)["luma.job.outcome"] == "failed"


async def test_submissions_without_a_job_end_their_spans(exported: Exported) -> None:
    """One was rejected, and one is uncertain. The prompt is in neither."""
    exported.install()
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        sim.reject_next(402)
        with pytest.raises(LumaError):
            await luma.generate(PROMPT)
        sim.lose_next()
        with pytest.raises(SubmissionUncertainError):
            await luma.generate(PROMPT)

    rejected, uncertain = exported.jobs()
    assert attributes(rejected)["luma.submission.outcome"] == "rejected"
    assert attributes(rejected)["error.type"] == "InsufficientCreditsError"
    assert attributes(uncertain)["luma.submission.outcome"] == "uncertain"
    assert attributes(uncertain)["error.type"] == "SubmissionUncertainError"
    assert "no answer" in (uncertain.status.description or "")
    assert {each.status.status_code for each in (rejected, uncertain)} == {StatusCode.ERROR}
    lost = exported.requests("submission")[1]
    assert attributes(lost)["error.type"] == "APIConnectionError"
    assert "http.response.status_code" not in attributes(lost)
    assert PROMPT not in "".join(span.to_json() for span in exported.spans)


async def test_a_job_that_runs_on_has_a_span_in_each_client(
    exported: Exported, tmp_path: Path
) -> None:
    """Closing a client ends the span with an event. A client that resumes the job begins one."""
    exported.install()
    journal = tmp_path / "jobs.db"
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=journal) as luma:
            id = (await luma.generate("a cat", key="row-17")).id
        [closed] = exported.jobs()
        assert closed.events[-1].name == "luma.job.abandoned"
        assert events(closed, "luma.job.abandoned") == [{"error.type": "ClientClosedError"}]
        assert closed.status.status_code is StatusCode.UNSET
        assert attributes(closed)["luma.job.outcome"] == "abandoned"

        async with connect(sim, journal=journal) as luma:
            [task] = await luma.resume()
            sim.advance(HOUR)
            await task

    _, resumed = exported.jobs()
    assert resumed.name == "luma watch"
    assert attributes(resumed)["luma.job.id"] == id
    assert attributes(resumed)["luma.job.key"] == "row-17"
    assert attributes(resumed)["luma.job.outcome"] == "completed"


async def test_a_job_key_that_has_a_job_has_no_second_span(
    exported: Exported, tmp_path: Path
) -> None:
    """The journal returns the handle, and nothing is submitted."""
    exported.install()
    async with Simulator(durations=Fixed(0.0)) as sim:
        for _ in range(2):
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                await (await luma.generate("a cat", key="row-17"))
                observer = luma._recorder.observer
                assert observer is not None
                assert observer.live_traces == 0

    [job] = exported.jobs()
    assert attributes(job)["luma.job.outcome"] == "completed"
    assert luma.stats().accepted == luma.stats().rejected == 0


async def test_a_cancelled_caller_leaves_the_span_to_the_answer(exported: Exported) -> None:
    """The span goes on with the job, which nobody has a handle on."""
    exported.install()
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        sim.faults.add(Fault.slow(0.1, on="generate"))
        caller = asyncio.create_task(luma.generate("a cat"))
        await until(lambda: luma.stats().requests_in_flight == 1)
        caller.cancel()
        await asyncio.wait([caller])
        await until(lambda: luma.stats().accepted == 1)
        sim.advance(HOUR)
        await until(lambda: luma.stats().completed == 1)

    [job] = exported.jobs()
    assert attributes(job)["luma.job.outcome"] == "completed"


async def test_an_sdk_that_is_set_up_later_gets_the_spans_from_then_on(exported: Exported) -> None:
    """A client at import time is older than the SDK, which `main()` sets up."""
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim) as luma:
        await luma.run("a cat")
        exported.install()
        await luma.run("a dog")

    assert len(exported.jobs()) == 1
    assert exported.metrics()["luma.job.lateness"][0].count == 1


async def test_a_provider_of_metrics_that_is_set_up_later_counts_the_jobs_that_run(
    exported: Exported,
) -> None:
    """The number of running jobs is right from then on, also if there were spans before."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        tasks = [await luma.generate(f"{n} cats") for n in range(3)]
        trace.set_tracer_provider(exported.tracers)
        tasks.append(await luma.generate("a dog"))
        metrics.set_meter_provider(exported.meters)
        tasks.append(await luma.generate("a cow"))
        running = exported.metrics()["luma.jobs.running"]
        sim.advance(HOUR)
        await asyncio.gather(*tasks)
    ended = exported.metrics()["luma.jobs.running"]

    assert sum(point.value for point in running) == 5
    assert {point.value for point in ended} == {0}


async def test_polls_beyond_the_limit_of_events_are_counted(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK would drop the first ones of so many; a change of state is recorded nevertheless."""
    monkeypatch.setattr(job_span, "MAX_POLL_EVENTS", 5)
    exported.install()
    variant = Variant(batch="404")
    async with Simulator(durations=Fixed(HOUR), variant=variant) as sim:
        async with connect(sim, schedule=FixedSchedule(0.001)) as luma:
            task = await luma.generate("a cat")
            await until(lambda: luma.stats().polled_jobs > 8)
            sim.advance(HOUR)
            await task

    [job] = exported.jobs()
    found = events(job, "luma.poll")
    assert attributes(job)["luma.job.polls"] > len(found) == 6
    assert found[-1]["luma.job.state"] == "completed"


async def test_a_look_that_fails_is_an_event_with_its_error(exported: Exported) -> None:
    """The job goes on."""
    exported.install()
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_tries=1) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(Fault.page(500, times=2, on=LOOKS))
        await until(lambda: luma.stats().polled_jobs >= 4)
        sim.advance(HOUR)
        await task

    [job] = exported.jobs()
    assert {"error.type": "ServerError"} in events(job, "luma.poll")


class Broken(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("the processor is broken")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("the processor is broken")


async def test_a_broken_sdk_does_no_harm_to_a_job(
    exported: Exported, caplog: pytest.LogCaptureFixture
) -> None:
    """Its first exception is logged, and no other."""
    exported.tracers.add_span_processor(Broken())
    exported.install()
    async with Simulator(durations=Fixed(0.0), short_side=64) as sim, connect(sim) as luma:
        assert (await luma.run("a cat")).url
        assert (await luma.run("a dog")).url
        found = luma.stats()

    assert (found.completed, found.running, found.requests_in_flight) == (2, 0, 0)
    failures = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in failures] == [
        "Telemetry failed; jobs are not affected."
    ]


async def test_a_job_of_a_trace_that_is_not_sampled_costs_no_events(exported: Exported) -> None:
    """Metrics are recorded nevertheless."""
    exported.tracers = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    exported.install()
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        assert luma._recorder.observer is not None
        assert luma._recorder.observer.live_traces == 0
        sim.advance(HOUR)
        await task

    assert exported.spans == []
    assert exported.metrics()["luma.job.polls"][0].count == 1


async def test_telemetry_can_be_switched_off(exported: Exported) -> None:
    """For one client. Its figures are counted nevertheless."""
    exported.install()
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim, telemetry=False) as luma:
        await luma.run("a cat")
        assert luma.stats().completed == 1

    assert exported.spans == []
    assert exported.metrics() == {}


async def test_log_records_of_a_submission_are_in_the_trace_of_its_job(exported: Exported) -> None:
    """The instrumentation of logging takes the ids from the current span."""
    exported.install()
    seen: list[int] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("POST"):
                seen.append(trace.get_current_span().get_span_context().trace_id)

    logger, handler = logging.getLogger("luma_async.http"), Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
            await luma.generate("a cat")
            assert not trace.get_current_span().get_span_context().is_valid
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)

    [job] = exported.jobs()
    assert job.context is not None
    assert seen[0] == job.context.trace_id


async def test_metrics_are_recorded_by_outcome_and_state(exported: Exported) -> None:
    """Counters of submissions and of running jobs, which are none at the end, and histograms."""
    exported.install()
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        sim.fail_next()
        tasks = [await luma.generate(f"{n} cats") for n in range(3)]
        running = exported.metrics()["luma.jobs.running"]
        assert sum(point.value for point in running) == 3
        sim.reject_next(402)
        with pytest.raises(LumaError):
            await luma.generate("one too many")
        sim.advance(HOUR)
        await asyncio.gather(*tasks, return_exceptions=True)
    found = exported.metrics()

    assert {point.value for point in found["luma.jobs.running"]} == {0}
    outcomes = {
        point.attributes["luma.submission.outcome"]: point.value
        for point in found["luma.submissions"]
    }
    assert outcomes == {"accepted": 3, "rejected": 1}
    ends = {
        point.attributes["luma.job.outcome"]: point.count for point in found["luma.job.duration"]
    }
    assert ends == {"completed": 2, "failed": 1}
    [requests] = [
        point
        for point in found["http.client.request.duration"]
        if point.attributes.get("luma.request.kind") == "submission" and point.count == 3
    ]
    assert requests.explicit_bounds[:3] == (0.005, 0.01, 0.025)
    assert requests.attributes["http.response.status_code"] == 200
