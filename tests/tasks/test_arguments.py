"""Argument checks: one item in place of a list, and the reverse, with the correct call shown."""

from __future__ import annotations

from collections import UserString
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    CompletedOutcome,
    ExtendRequest,
    GenerateRequest,
    Generation,
    InvalidRequestError,
    Job,
    LumaClient,
    State,
    VideoTask,
)
from luma_async.simulator import Fixed, Simulator
from tests.clients import KEY, connect

GENERATION = Generation(id="job-1", state=State.COMPLETED)
TASK = VideoTask.finished(GENERATION)
OUTCOME = CompletedOutcome(GenerateRequest("a cat"), GENERATION)
LONG = "a cat " * 1000


def client() -> LumaClient:
    """Return a client of a host where nothing listens."""
    return LumaClient(KEY, base_url="http://127.0.0.1:9", max_tries=1)


@pytest.mark.parametrize(
    ("requests", "shown"),
    [
        ("a cat", "one text is not a list of requests: pass run_many(['a cat'])"),
        ("", "run_many([''])"),
        (LONG, "pass run_many(['a cat a cat"),
        (b"a cat", "one text is not a list of requests: pass run_many([<5 bytes>])"),
        (UserString("a cat"), "one text is not a list of requests: pass run_many(['a cat'])"),
        (bytearray(b"a cat"), "one text"),
        (memoryview(b"a cat"), "one text"),
        ({"prompt": "a cat", "loop": True}, "run_many([{'prompt': 'a cat', 'loop': True}])"),
        ({"prompt": "on", "extends": "job-1"}, "one mapping is not a list"),
        ({}, "one mapping is not a list of requests: pass run_many([{}])"),
        (
            {"row-1": "a cat"},
            "if its keys are job keys, pass its pairs: run_many(requests.items())",
        ),
        (
            GenerateRequest("a cat"),
            "one GenerateRequest is not a list of requests: pass run_many([",
        ),
        (ExtendRequest("on"), "one ExtendRequest is not a list of requests"),
        (("row-1", "a cat"), "run_many([('row-1', 'a cat')]) for one request under a job key"),
        (("a cat", "a dog"), "run_many(['a cat', 'a dog']) for two"),
        (("row-1", {"prompt": "a cat"}), "run_many([('row-1', {'prompt': 'a cat'})])"),
        (("row-1", GenerateRequest("a cat")), "a tuple of two can mean a job key"),
        (Job(GenerateRequest("a cat")), "one Job is not a list of requests: pass run_many([Job("),
        (TASK, "one VideoTask is not a list of requests"),
        (GENERATION, "one Generation is not a list"),
        (OUTCOME, "one Outcome is not a list"),
        (None, "None is not a list of requests; pass run_many([...])"),
        (7, "7 is not a list of requests"),
        (Path("cats.txt"), "is not a list of requests"),
        (client, "is not a list of requests"),
    ],
)
async def test_run_many_takes_many_requests(requests: Any, shown: str) -> None:
    """A single request is rejected at the call, before the first outcome is requested."""
    async with client() as luma:
        with pytest.raises(InvalidRequestError) as caught:
            luma.run_many(requests)

    assert shown in str(caught.value)
    assert list(caught.value.fields) == ["requests"]
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "requests",
    [
        ["a cat", "a dog"],
        ["a cat"],
        ("a cat", "a dog", "a cow"),
        ("a cat",),
        (GenerateRequest("a cat"), "a dog"),
        {"a cat", "a dog"},
        {"row-1": "a cat"}.keys(),
        (prompt for prompt in ("a cat", "a dog")),
        iter(("a cat", "a dog")),
        range(0),
        [],
    ],
)
async def test_many_requests_come_in_many_forms(requests: Any) -> None:
    """An iterable that cannot be one request is accepted."""
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim) as luma:
        outcomes = [outcome async for outcome in luma.run_many(requests)]

        assert all(outcome.ok for outcome in outcomes)
        assert len(sim.ledger.jobs) == len(outcomes)


async def test_one_string_in_place_of_a_list_is_never_paid_for() -> None:
    """The call fails before any request."""
    async with Simulator() as sim, connect(sim) as luma:
        for one in ("a cat", {"prompt": "a cat", "loop": True}, ("row-1", "a cat")):
            with pytest.raises(InvalidRequestError):
                luma.run_many(one)
        with pytest.raises(InvalidRequestError):
            await luma.get_many("0a5d2f34")
        with pytest.raises(InvalidRequestError):
            luma.download_all("0a5d2f34", "videos")

        assert sim.ledger.requests.total() == 0
    assert not Path("videos").exists()


@pytest.mark.parametrize(
    ("ids", "shown"),
    [
        ("job-1", "one text is not a list of ids: pass get_many(['job-1'])"),
        (b"job-1", "one text"),
        (TASK, "one VideoTask is not a list of ids"),
        (GENERATION, "one Generation"),
        (OUTCOME, "one Outcome"),
        ({"job-1": 1}, "one mapping"),
        (None, "None is not a list of ids"),
        (["job-1", 7], "ids[1]: must be a string, got 7"),
        ([None], "ids[0]: must be a string, got None"),
        (["job-1", " "], "ids[1]: must not be blank, got ' '"),
        ([b"job-1"], "ids[0]: must be a string, got <5 bytes>"),
        (
            ["job-1", TASK],
            "ids[1]: <VideoTask job-1 completed> has an id, and is not one: pass its .id",
        ),
        ([["job-1"]], "ids[0]: must be a string, got ['job-1']"),
    ],
)
async def test_get_many_takes_many_ids(ids: Any, shown: str) -> None:
    """The error shows a single id, or the item that is not an id; nothing is sent."""
    async with client() as luma:
        with pytest.raises(InvalidRequestError) as caught:
            await luma.get_many(ids)

    assert shown in str(caught.value)


@pytest.mark.parametrize(
    "sources", ["job-1", b"job-1", TASK, GENERATION, OUTCOME, {"job-1": 1}, None, 7], ids=repr
)
async def test_download_all_takes_many_jobs(sources: Any, tmp_path: Path) -> None:
    """A single job is rejected at the call."""
    async with client() as luma:
        with pytest.raises(InvalidRequestError, match=r"sources: .*download_all\(\["):
            luma.download_all(sources, tmp_path)


async def test_a_source_that_is_not_a_job_is_one_failed_download(tmp_path: Path) -> None:
    """Other sources are not affected."""
    sources: list[Any] = [None, 7, ["job-1"], " ", b"job-1"]
    async with client() as luma:
        files = [each async for each in luma.download_all(iter(sources), tmp_path)]

    assert {type(each.error) for each in files} == {InvalidRequestError}
    assert len(files) == 5


@pytest.mark.parametrize("id", [None, 7, "", " ", b"job-1", ["job-1"], TASK, GENERATION], ids=repr)
async def test_an_id_is_a_string_that_is_not_blank(id: Any) -> None:
    """Other values are rejected by every call that takes an id."""
    async with client() as luma:
        for call in (luma.get, luma.watch, luma.watermark_free_url):
            with pytest.raises(InvalidRequestError, match="id: "):
                await call(id)


@pytest.mark.parametrize("source", [None, 7, "", b"job-1", ["job-1"], [TASK], OUTCOME], ids=repr)
async def test_an_extension_is_of_one_job(source: Any, tmp_path: Path) -> None:
    """A source is a task, a generation or an id; a download may also be of an outcome."""
    async with client() as luma:
        with pytest.raises(InvalidRequestError, match="source: "):
            await luma.extend(source, "it bows")
        if source is not OUTCOME:
            with pytest.raises(InvalidRequestError, match="source: "):
                await luma.download(source, tmp_path / "a.mp4")


async def test_requests_are_not_read_at_the_call() -> None:
    """Reading begins when the first outcome is requested."""

    def never() -> Iterator[str]:
        raise AssertionError("read")
        yield ""

    async def never_async() -> AsyncIterator[str]:
        raise AssertionError("read")
        yield ""

    async with client() as luma:
        for requests in (never(), never_async()):
            await luma.run_many(requests).aclose()
