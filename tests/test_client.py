"""LumaClient from the outside: the whole way of a job, settings, and bots."""

from __future__ import annotations

import asyncio
import copy
import inspect
import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_type_hints

import aiohttp
import av
import pytest

from benchmarks.many import measure
from luma_async import (
    ClientClosedError,
    ClientSettings,
    ConfigurationError,
    ExtendRequest,
    FixedSchedule,
    GatewayDialect,
    GenerateRequest,
    GenerationFailedError,
    InvalidRequestError,
    JournalError,
    LumaClient,
    NotFoundError,
    SQLJournal,
    State,
)
from luma_async.settings import NAMES as SETTINGS
from luma_async.simulator import Fault, Fixed, LogNormal, Simulator, Variant
from luma_async.tasks.api_key_rejections import APIKeyRejections
from luma_async.testing import running_simulator
from tests.clients import HOUR, KEY, connect, until
from tests.platforms import needs_linux

VARIANTS = {
    "documented": Variant(),
    "envelope": Variant(submission="envelope", times="epoch_ms"),
    "bare id": Variant(submission="id"),
    "rows": Variant(batch="rows", one="row"),
    "arrays": Variant(submission="array", batch="array", one="array"),
    "wrapped": Variant(submission="wrapped", batch="wrapped", one="wrapped"),
    "array, one by one": Variant(batch="404", one="array"),
    "rows, stale": Variant(batch="rows", row_data="stale"),
    "rows, null": Variant(batch="rows", row_data="null"),
    "no batch": Variant(batch="404"),
    "batch not allowed": Variant(batch="405"),
    "task_id": Variant(id_name="task_id", times="no_zone"),
    "taskId": Variant(id_name="taskId", times="no_fraction"),
    "video as text": Variant(video="text", times="epoch"),
    "video in the artifact": Variant(video="artifact", times="zero"),
    "video raw only": Variant(video="raw"),
    "video in the assets": Variant(video="assets"),
    "video in the reason": Variant(video="reason"),
    "video in the reason of rows": Variant(video="reason", batch="rows", one="row"),
    "words of task gateways": Variant(words="task"),
    "words of the official service": Variant(words="official"),
    "words of nobody": Variant(words="odd"),
    "forgetful": Variant(forgets=0.4),
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
async def test_every_variant_of_the_gateway_gives_videos(variant: Variant) -> None:
    """Generate three, extend one, look at all: whichever way the gateway speaks."""
    async with Simulator(durations=Fixed(0.1), variant=variant) as sim, connect(sim) as luma:
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(3)))
        videos = await asyncio.gather(*tasks)
        longer = await (await luma.extend(videos[0], "the cat bows"))
        found = await luma.get_many([video.id for video in videos])

        for video in [*videos, longer]:
            assert video.state is State.COMPLETED
            assert video.video is not None
            assert (video.video.url or "").startswith(sim.url)
        assert set(found) <= {task.id for task in tasks}
        assert len(found) == 3 or variant.forgets
        assert len(sim.ledger.jobs) == 4


@pytest.mark.parametrize("variant", [Variant(), Variant(words="odd", batch="rows")])
async def test_a_failed_job_raises_the_servers_reason(variant: Variant) -> None:
    """`GenerationFailedError` with the reason, in every family of words."""
    async with Simulator(durations=Fixed(0.1), failure_rate=1.0, variant=variant) as sim:
        async with connect(sim) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(2)]

            for task in tasks:
                with pytest.raises(GenerationFailedError, match="could not be rendered"):
                    await task


async def test_the_whole_way_of_a_job(tmp_path: Path) -> None:
    """Submit, await, extend, download; what was asked for is what the server got."""
    async with Simulator(durations=Fixed(0.3), short_side=180) as sim, connect(sim) as luma:
        task = await luma.generate("a cat dances", aspect_ratio="4:3", loop=True)
        assert (task.state, task.done()) == (State.PENDING, False)
        video = await task
        longer = await (await luma.extend(video, "the cat bows", expand_prompt=False))
        path = await luma.download(longer, tmp_path / "cat.mp4")

        assert [dict(job.request) for job in sim.ledger.jobs] == [
            {"user_prompt": "a cat dances", "aspect_ratio": "4:3", "loop": True},
            {"user_prompt": "the cat bows", "expand_prompt": False},
        ]
        assert video.prompt == "a cat dances"
        with av.open(str(path)) as film:
            assert film.streams.video[0].width * 3 == film.streams.video[0].height * 4


async def test_requests_can_be_made_beforehand() -> None:
    """A request object, with or without fields on top."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        request = GenerateRequest("a cat", aspect_ratio="1:1")
        video = await (await luma.generate(request, loop=True))
        await luma.extend(video, ExtendRequest("on and on"))

        assert [dict(job.request) for job in sim.ledger.jobs] == [
            {"user_prompt": "a cat", "aspect_ratio": "1:1", "loop": True},
            {"user_prompt": "on and on"},
        ]


async def test_what_is_invalid_is_never_sent() -> None:
    """The server sees nothing of it."""
    async with Simulator() as sim, connect(sim) as luma:
        with pytest.raises(InvalidRequestError, match="prompt: is empty"):
            await luma.generate("")
        with pytest.raises(InvalidRequestError, match="aspect_ratio"):
            await luma.extend("job-1", "on", aspect_ratio="7:7")  # type: ignore[arg-type]

        assert not sim.ledger.requests


async def test_extending_an_unfinished_job_waits_for_it() -> None:
    """A handle, a stale generation or an id: the extension begins when its source has ended."""
    async with Simulator(durations=Fixed(0.3)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        stale = task.generation

        extensions = await asyncio.gather(
            luma.extend(task, "one"), luma.extend(stale, "two"), luma.extend(task.id, "three")
        )
        await asyncio.gather(*extensions)

        source, *rest = sim.ledger.jobs
        assert len(rest) == 3
        assert all(job.parent is source and job.taken_at >= source.ends_at for job in rest)


async def test_extending_a_failed_job_is_not_tried() -> None:
    """The source's failure is raised, whichever way it is named."""
    async with Simulator(durations=Fixed(0.1), failure_rate=1.0) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")

        for _ in range(2):
            with pytest.raises(GenerationFailedError):
                await luma.extend(task, "on and on")
            with pytest.raises(GenerationFailedError):
                await luma.extend(task.generation, "on and on")
        assert sim.ledger.requests["extend"] == 0


async def test_many_looks_take_few_requests() -> None:
    """250 ids in batches of 100; unknown and repeated ids are no trouble."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(20)))
        await asyncio.gather(*tasks)
        before = sim.ledger.requests["tasks"]
        unknown = [f"unknown {n}" for n in range(230)]

        found = await luma.get_many([*unknown, *(task.id for task in tasks), tasks[0].id])

        assert set(found) == {task.id for task in tasks}
        assert sim.ledger.requests["tasks"] == before + 3
        assert await luma.get_many([]) == {}


async def test_a_watermark_free_link_is_asked_for_when_needed() -> None:
    """It is signed and fresh each time."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        video = await (await luma.generate("a cat"))

        link = await luma.watermark_free_url(video.id)

        assert "clean.mp4?X-Amz-Expires" in link
        with pytest.raises(NotFoundError):
            await luma.watermark_free_url("job-1")


async def test_a_client_has_the_handles_of_its_running_jobs() -> None:
    """A job that has ended is no longer among them."""
    async with Simulator(durations=Fixed(HOUR), short_side=90) as sim, connect(sim) as luma:
        tasks = [await luma.generate(prompt) for prompt in ("a cat", "a dog")]
        running = luma.tasks
        sim.advance(HOUR)
        for task in tasks:
            await task

        assert running == tuple(tasks)
        assert luma.tasks == ()


async def test_it_opens_in_one_task_and_closes_in_another() -> None:
    """As bots do it, with jobs under way, `async with` or not."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        luma = connect(sim)

        async def on_start() -> None:
            await luma.__aenter__()

        async def on_message() -> State:
            return (await (await luma.generate("a cat"))).state

        async def on_stop() -> None:
            await luma.__aexit__(None, None, None)

        await asyncio.create_task(on_start())
        first = asyncio.create_task(on_message())
        await until(lambda: sim.ledger.jobs)
        sim.advance(HOUR)
        assert await first is State.COMPLETED
        running = asyncio.create_task(on_message())
        await until(lambda: len(sim.ledger.jobs) == 2)
        await asyncio.create_task(on_stop())

        with pytest.raises(ClientClosedError):
            await running


async def test_two_clients_live_in_one_loop() -> None:
    """Each with its own jobs, limits and end."""
    async with Simulator(durations=Fixed(0.2)) as one, Simulator(durations=Fixed(0.2)) as two:
        async with connect(one) as first:
            async with connect(two) as second:
                tasks = [await first.generate("a cat"), await second.generate("a dog")]
                await tasks[1]
            video = await tasks[0]

        assert video.prompt == "a cat"
        assert [len(sim.ledger.jobs) for sim in (one, two)] == [1, 1]


async def test_closing_ends_every_wait_at_once() -> None:
    """Awaits, updates, looks, waits for a place and retries end with `ClientClosedError`."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        luma = connect(sim, max_tasks=3, schedule=FixedSchedule(HOUR), timeout=HOUR)
        tasks = [await luma.generate(f"cat {n}") for n in range(3)]
        sim.faults.add(Fault.slow(math.inf, on=["get"]), Fault.rate_limited(120, on=["link"]))

        async def follow() -> None:
            async for _ in tasks[0].updates():
                pass

        waits = [
            *(asyncio.create_task(task.wait()) for task in tasks),
            asyncio.create_task(follow()),
            asyncio.create_task(luma.get(tasks[0].id)),
            asyncio.create_task(luma.generate("one too many")),
            asyncio.create_task(luma.watermark_free_url(tasks[0].id)),
        ]
        await until(lambda: sim.ledger.requests["get"] and sim.ledger.statuses[429])
        assert not any(wait.done() for wait in waits)
        start = time.monotonic()
        await luma.aclose()
        results = await asyncio.gather(*waits, return_exceptions=True)

        assert time.monotonic() - start < 60.0
        assert [type(result) for result in results] == [ClientClosedError] * len(waits)
        assert all(task.id in str(error) for task, error in zip(tasks, results, strict=False))


async def test_closing_waits_for_submissions_that_have_left() -> None:
    """The job is paid for, so its id is worth the wait."""
    async with Simulator() as sim:
        luma = connect(sim)
        sim.faults.add(Fault.slow(math.inf, after=True))
        asked = asyncio.create_task(luma.generate("a cat"))
        await until(lambda: sim.ledger.jobs)

        assert not luma.closed
        closing = asyncio.create_task(luma.aclose())
        await asyncio.sleep(0.05)
        assert not closing.done()
        assert luma.closed
        sim.faults.clear()
        await closing

        task = await asked
        assert task.id == sim.ledger.jobs[0].id
        with pytest.raises(ClientClosedError):
            await task


async def test_a_closed_client_says_so() -> None:
    """Every call, at once, as often as it is closed."""
    async with Simulator() as sim:
        luma = connect(sim)
        await luma.aclose()
        await luma.aclose()

        calls: list[Any] = [
            luma.generate("a cat"),
            luma.get("a"),
            luma.get_many(["a", "b"]),
            luma.watch("a"),
            luma.download("a", "x.mp4"),
            anext(luma.run_many(["a cat", "a dog"])),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)

        outcome = results.pop()
        assert isinstance(outcome.error, ClientClosedError)  # type: ignore[union-attr]
        assert [type(result) for result in results] == [ClientClosedError] * 5
        assert not sim.ledger.requests


@needs_linux
def test_the_loop_of_a_bot_stays_responsive() -> None:
    """While a thousand jobs run in it, nothing holds the event loop for more than 50 ms.

    Counted in CPU time, for the machine of a test has others to serve; `python -m benchmarks
    responsiveness` counts by the wall clock.
    """
    stalls = []
    for _ in range(3):
        with running_simulator(durations=LogNormal(median=2.0)) as sim:
            measured = measure(sim.url, jobs=1000, max_tasks=1000)
        assert measured.completed == 1000
        stalls.append(measured.longest_stall_cpu)
        if min(stalls) < 0.05:
            break  # a busy machine makes a run look worse, never better

    assert min(stalls) < 0.05


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"api_key": ""}, "LUMA_API_KEY"),
        ({"api_key": " \n"}, "LUMA_API_KEY"),
        ({"api_key": "two words"}, "characters that an API key cannot have"),
        ({"api_key": "clé"}, "characters that an API key cannot have"),
        ({"base_url": "api.gpt.ge"}, "https://host"),
        ({"base_url": "ftp://api.gpt.ge"}, "https://host"),
        ({"base_url": "https://user:secret@api.gpt.ge"}, "https://host"),
        ({"base_url": "user:secret@api.gpt.ge"}, "https://host"),
        ({"base_url": KEY}, "https://host"),
        ({"base_url": "https://api.gpt.ge/?key=secret"}, "https://host"),
        ({"base_url": "http://[::1"}, "https://host"),
        ({"max_requests": 0}, "max_requests must be above 0"),
        ({"max_requests": 2.5}, "max_requests must be a whole number, got 2.5"),
        ({"max_tries": 2.5}, "max_tries must be a whole number, got 2.5"),
        ({"max_tasks": 0}, "max_tasks must be above 0"),
        ({"timeout": -1}, "timeout must be above 0"),
        ({"timeout": float("nan")}, "timeout must be above 0"),
        ({"max_tries": 0}, "max_tries must be above 0"),
        ({"task_timeout": 0}, "task_timeout must be above 0"),
        ({"batch_size": 0}, "batch_size must be above 0"),
    ],
    ids=repr,
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], problem: str) -> None:
    """At once, with what is expected, and without showing what may be secret."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        LumaClient(**{"api_key": KEY, **settings})

    assert "secret" not in str(caught.value)
    assert KEY not in str(caught.value)


SIGNATURE = inspect.signature(LumaClient).parameters
OPTIONAL = [name for name, each in SIGNATURE.items() if "None" in str(each.annotation)]


@pytest.mark.parametrize("name", [name for name in SIGNATURE if name not in OPTIONAL])
def test_a_setting_that_may_not_be_none_is_named(name: str) -> None:
    """Otherwise `task_timeout=None` would raise an error when the first job has been paid for."""
    with pytest.raises(ConfigurationError, match=f"^{name} must be .*, got None"):
        LumaClient(**cast("dict[str, Any]", {"api_key": KEY, name: None}))


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_setting_that_may_be_none_is_as_if_left_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is for each argument whose type allows `None`."""
    monkeypatch.setenv("LUMA_API_KEY", KEY)
    settings: dict[str, Any] = {name: None}
    luma = LumaClient(**settings)

    assert repr(luma).startswith("<LumaClient https://")


@pytest.mark.parametrize("value", [object(), object], ids=["an object", "a class"])
@pytest.mark.parametrize("name", SIGNATURE)
def test_a_setting_of_another_type_is_named(name: str, value: Any) -> None:
    """Such as the text "false", which counts as true, or a class in place of an object."""
    with pytest.raises(ConfigurationError, match=f"^{name} must be "):
        LumaClient(**{"api_key": KEY, name: value})


def test_the_value_for_no_limit_is_told() -> None:
    """`None` is the first guess for a job that is watched for ever, and `math.inf` is right."""
    with pytest.raises(ConfigurationError, match=r"got None\. .*pass math\.inf for no limit\.$"):
        LumaClient(KEY, task_timeout=cast("Any", None))

    LumaClient(KEY, task_timeout=math.inf)


@pytest.mark.parametrize("name", ["max_requests", "timeout", "min_download_speed"])
def test_true_is_not_a_number(name: str) -> None:
    """Python counts it as 1, which nobody means."""
    with pytest.raises(ConfigurationError, match=f"^{name} must be .*, got True"):
        LumaClient(**{"api_key": KEY, name: cast("Any", True)})


def test_a_journal_that_lacks_a_method_is_refused(tmp_path: Path) -> None:
    """The client would call the method only when a job has been paid for, too late to record it."""

    class WithOtherNames:
        def __init__(self, journal: SQLJournal) -> None:
            self._journal = journal

        def __getattr__(self, name: str) -> Any:
            if name.startswith("mark_"):
                raise AttributeError(name)
            return getattr(self._journal, name)

    journal: Any = WithOtherNames(SQLJournal(tmp_path / "jobs.db"))
    without = "without mark_accepted, mark_rejected, mark_uncertain, mark_forgotten"
    with pytest.raises(ConfigurationError, match=without):
        LumaClient(KEY, journal=journal)
    with pytest.raises(ConfigurationError, match=r"or a Journal, got object\."):
        LumaClient(KEY, journal=cast("Any", object()))


def test_key_and_place_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`LUMA_API_KEY` and `LUMA_BASE_URL`; arguments win; the dialect knows the default place."""
    monkeypatch.delenv("LUMA_API_KEY", raising=False)
    monkeypatch.delenv("LUMA_BASE_URL", raising=False)
    with pytest.raises(ConfigurationError, match="LUMA_API_KEY"):
        LumaClient()

    monkeypatch.setenv("LUMA_API_KEY", KEY + "\n")
    assert repr(LumaClient()) == "<LumaClient https://api.gpt.ge>"
    monkeypatch.setenv("LUMA_BASE_URL", "https://my.gateway/prefix/")
    assert repr(LumaClient()) == "<LumaClient https://my.gateway/prefix>"
    assert repr(LumaClient(base_url="http://other")) == "<LumaClient http://other>"


def test_one_client_serves_one_event_loop() -> None:
    """A second `asyncio.run()` is told what to do instead of failing somewhere below."""
    luma = LumaClient(KEY, base_url="http://127.0.0.1:1", max_tries=1)

    async def look() -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011  which one is what is looked at
            await luma.get("a")
        await luma._transport.sessions.aclose(submits=False)
        return str(caught.value)

    assert "no answer from 127.0.0.1:1" in asyncio.run(look())
    assert "one LumaClient for each asyncio.run()" in asyncio.run(look())


async def test_a_closed_session_of_the_callers_is_said_so() -> None:
    """And jobs that were watched over it end, rather than wait for it."""
    async with Simulator(durations=Fixed(60)) as sim, aiohttp.ClientSession() as session:
        rejections = APIKeyRejections(final_after=0.1)
        async with connect(sim, session=session, rejections=rejections) as luma:
            task = await luma.generate("a cat")
            await session.close()

            with pytest.raises(ConfigurationError, match="session given to this client is closed"):
                await task
            with pytest.raises(ConfigurationError):
                await luma.get(task.id)


@pytest.mark.parametrize("settings", [{"raise_for_status": True}, {"auto_decompress": False}])
async def test_a_session_of_the_callers_may_be_set_up_as_it_likes(settings: Any) -> None:
    """What it does with refusals and compression elsewhere does not make a job uncertain."""
    async with Simulator(durations=Fixed(0)) as sim, aiohttp.ClientSession(**settings) as session:
        async with connect(sim, session=session) as luma:
            sim.faults.add(Fault.rate_limited(retry_after=0, times=1))

            await (await luma.generate("a cat"))

            assert ("identity" in (luma._transport.sessions.request_headers or {}).values()) is (
                "auto_decompress" in settings
            )
        assert len(sim.ledger.jobs) == 1


async def test_a_client_is_opened_without_a_context(tmp_path: Path) -> None:
    """`open()` does what `async with` does, and does no harm a second time."""
    async with Simulator(durations=Fixed(0.0)) as sim:
        luma = connect(sim, journal=tmp_path / "jobs.db")
        assert await luma.open() is luma
        assert await luma.open() is luma
        assert (tmp_path / "jobs.db").exists()
        await luma.run("a cat")
        async with luma:
            await luma.run("a dog")

        with pytest.raises(ClientClosedError, match="create another LumaClient"):
            await luma.open()
        with pytest.raises(ClientClosedError, match="create another LumaClient"):
            async with luma:
                pass


async def test_a_journal_that_cannot_be_used_is_found_when_the_client_opens(tmp_path: Path) -> None:
    """Before there are any jobs."""
    (tmp_path / "jobs.db").write_bytes(b"this is not a database" * 100)
    luma = LumaClient(KEY, base_url="http://h", journal=tmp_path / "jobs.db")

    with pytest.raises(JournalError, match=r"jobs\.db"):
        await luma.open()
    await luma.aclose()


def test_settings_come_from_a_file_as_for_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.env` of the current folder, below the environment, below the arguments."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        "LUMA_API_KEY=sk-of-the-file\n"
        "LUMA_BASE_URL=https://file.example\n"
        "LUMA_JOURNAL=jobs.db\n"
        "LUMA_REJECTION_CODES=busy\n"
        "LUMA_MAX_DOWNLOAD_BYTES=5000\n"
        "LUMA_MIN_DOWNLOAD_SPEED=7\n"
        "LUMA_ALLOW_PRIVATE_MEDIA=yes\n"
    )
    monkeypatch.setenv("LUMA_BASE_URL", "https://environment.example")

    client = Recorded.from_env(max_download_bytes=6000, api_key=None)
    dialect, _ = client.given.pop("dialect")

    assert client.given == {
        "api_key": "sk-of-the-file",
        "base_url": "https://environment.example",
        "journal": "jobs.db",
        "max_download_bytes": 6000,
        "min_download_speed": 7.0,
        "allow_private_media": True,
        "trust_env": True,
    }
    assert isinstance(dialect, GatewayDialect)
    assert dialect._rejection_codes == {"busy"}
    assert isinstance(client.journal, SQLJournal)
    assert LumaClient.from_env(journal=None, base_url="https://argument.example").journal is None


class Recorded(LumaClient):
    """Client that keeps its arguments."""

    def __init__(self, **given: Any) -> None:
        self.given = dict(given)
        super().__init__(**given)


async def test_a_client_of_a_file_makes_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else has to be set."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    async with Simulator(durations=Fixed(0.0)) as sim:
        (tmp_path / ".env").write_text(f"LUMA_API_KEY={KEY}\nLUMA_BASE_URL={sim.url}\n")

        async with LumaClient.from_env(schedule=FixedSchedule(0.02)) as luma:
            assert (await luma.run("a cat")).prompt == "a cat"


def test_a_client_by_itself_reads_the_environment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library must not take its API key from a folder by chance."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUMA_API_KEY", raising=False)
    (tmp_path / ".env").write_text("LUMA_API_KEY=sk-of-the-file\n")

    with pytest.raises(ConfigurationError, match=r"no API key\. .* LumaClient\.from_env\(\) reads"):
        LumaClient()


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("LUMA_API_KEY='sk-1", r"^line 1 of \.env has an unclosed quote"),
        ("LUMA_API_KEY=sk-1\nLUMA_JOURNAL='jobs.db\n", r"^line 2 of \.env has an unclosed quote"),
        ("", r"There is no API key\. Set LUMA_API_KEY, or write .* into a file \.env"),
        (
            "LUMA_API_KEY=sk-1\nLUMA_MAX_DOWNLOAD_BYTES=lots",
            "DOWNLOAD_BYTES must be a number",
        ),
    ],
    ids=["the API key", "the journal", "nothing", "not a number"],
)
def test_a_setting_that_cannot_be_read_is_named(
    file: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its text, which may be an API key; also if the client could do without it."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(file)

    with pytest.raises(ConfigurationError, match=problem) as caught:
        LumaClient.from_env()

    assert "sk-1" not in str(caught.value)


def test_every_argument_of_a_client_is_one_of_from_env() -> None:
    """With the same type, so that type checkers check both alike."""
    hints = get_type_hints(LumaClient.__init__)
    hints.pop("return")

    assert get_type_hints(ClientSettings) == hints


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_client_is_neither_copied_nor_pickled(make: Callable[[LumaClient], object]) -> None:
    """A copy would share its connections. A pool of processes needs a client in each."""
    with pytest.raises(TypeError, match="Create a LumaClient in each process"):
        make(LumaClient(KEY, base_url="http://127.0.0.1:9"))
