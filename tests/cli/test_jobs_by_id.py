"""`luma-async get`, `watch`, `download` and `resume`."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from luma_async import FixedSchedule, ImageRequest, LayersRequest, LumaClient
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.cli.commands import KEY, PATIENCE, Shell, line_with, submitted
from tests.clients import HOUR


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with running_simulator(durations=Fixed(0.2), short_side=90) as simulator:
        yield simulator


def finished(simulator: Simulator, *prompts: str) -> list[str]:
    """Return the ids of new jobs that are done."""

    async def finish() -> list[str]:
        schedule = FixedSchedule(0.05)
        async with LumaClient(KEY, base_url=simulator.url, schedule=schedule) as luma:
            tasks = [await luma.generate(prompt) for prompt in prompts]
            return [(await task).id for task in tasks]

    return asyncio.run(finish())


def test_one_look_tells_all(sim: Simulator, tmp_path: Path) -> None:
    """State, prompt and links of each; one that is not known spoils no other."""
    (id,) = finished(sim, "a cat")
    shell = Shell.at(sim, tmp_path)
    code, shown = shell.run_on_a_terminal("get", id, id)
    mixed = shell.run("get", id, "nobody", "--json")

    assert shown.splitlines()[:2] == [f"{id}  completed", "  prompt        a cat"]
    assert shown.count("download_url  http") == 1
    assert code == 0
    known, unknown = map(json.loads, mixed.stdout.splitlines())
    assert (known["id"], known["state"]) == (id, "completed")
    assert (unknown["id"], unknown["error_type"]) == ("nobody", "NotFoundError")
    assert mixed.returncode == 1
    assert len(mixed.stderr.splitlines()) == 1


def test_a_pipe_gets_a_line_for_each_job(sim: Simulator, tmp_path: Path) -> None:
    """Six cells between tabs, whatever is in them, never cut to the width of a terminal."""
    prompt = "a cat\tdances\nin C:\\" + "long " * 100 + "end"
    (id,) = finished(sim, prompt)
    shell = Shell.at(sim, tmp_path, COLUMNS="20")
    looked = shell.run("get", id)
    watched = shell.run("watch", id)

    assert looked.stdout.count("\n") == watched.stdout.count("\n") == 1
    for line in (looked.stdout, watched.stdout):
        found, state, _, link, reason, words = line.removesuffix("\n").split("\t")
        assert (found, state, reason) == (id, "completed", "")
        assert link.startswith(f"{sim.url}/media/{id}/clean.mp4?")
        assert words == r"a cat\tdances\nin C:\\" + "long " * 100 + "end"
    assert (looked.stderr, watched.stderr) == ("", "")


def test_a_failed_job_is_told_with_its_reason(tmp_path: Path) -> None:
    """To `get` that is an answer, to `watch` a failure."""
    with running_simulator(durations=Fixed(0.05), failure_rate=1.0) as sim:
        (id,) = submitted(sim, "a cat")
        shell = Shell.at(sim, tmp_path)
        watched = shell.run("watch", id)
        looked = shell.run("get", id)

    reason = "the prompt could not be rendered"
    assert looked.stdout.startswith(f"{id}\tfailed\t")
    assert looked.stdout.endswith(f"\t{reason}\ta cat\n")
    assert watched.stdout.splitlines()[-1] == looked.stdout.removesuffix("\n")
    assert watched.stderr == f"Job {id} failed: the prompt could not be rendered\n"
    assert (looked.returncode, watched.returncode) == (0, 1)


def test_jobs_are_watched_to_their_ends(sim: Simulator, tmp_path: Path) -> None:
    """A line for each change, the last of each being its end."""
    (cat,) = finished(sim, "a cat")
    early = json.dumps({"id": cat, "state": "processing", "estimate_wait_seconds": 0.2}).encode()
    sim.faults.add(Fault.answer(early, on=("get",), times=1))
    shell = Shell.at(sim, tmp_path)
    lines = shell.lines("watch", cat)
    several = shell.run("watch", cat, *submitted(sim, "a dog"))

    assert [(line["id"], line["state"]) for line in lines] == [
        (cat, "processing"),
        (cat, "completed"),
    ]
    assert several.stdout.count("\tcompleted\t") == 2


def test_files_are_downloaded(sim: Simulator, tmp_path: Path) -> None:
    """Any kind of file is downloaded, to a file or a folder, and once only."""
    cat, dog = finished(sim, "a cat", "a dog")
    shell = Shell.at(sim, tmp_path)
    frames = shell.run("download", cat, dog, "--what", "last_frame", "--output", "frames")
    marked = shell.lines("download", cat, "--output", "cat.mp4", "--watermarked")
    refused = shell.run("download", dog, "--output", "cat.mp4")
    replaced = shell.run("download", dog, "--output", "cat.mp4", "--overwrite")

    paths = [tmp_path / line for line in frames.stdout.splitlines()]
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in paths)
    assert {path.parent.name for path in paths} == {"frames"}
    assert marked[0]["file"] == "cat.mp4"
    assert f"{cat}/video.mp4" in sim.ledger.sent
    assert (refused.returncode, replaced.returncode) == (1, 0)
    assert "--overwrite" in refused.stderr


def test_a_download_that_fails_spoils_no_other(sim: Simulator, tmp_path: Path) -> None:
    """Exit code 1, the others are there."""
    (cat,) = finished(sim, "a cat")
    done = Shell.at(sim, tmp_path).run("download", cat, "nobody")

    assert done.returncode == 1
    assert (tmp_path / "videos" / f"{cat}.mp4").exists()
    assert "HTTP 404" in done.stderr


def test_all_unfinished_jobs_are_resumed(tmp_path: Path) -> None:
    """Jobs of this API are resumed; of others, also at the same host, the URLs are printed."""
    with running_simulator(durations=Fixed(HOUR)) as sim, running_simulator() as another:
        shell = Shell.at(sim, tmp_path)
        shell.journal.parent.mkdir()
        submitted(another, "a horse", journal=shell.journal)
        submitted(sim, "a cow", journal=shell.journal, dialect="agents")
        ids = submitted(sim, "a cat", "a dog", journal=shell.journal)
        sim.advance(HOUR)
        done = shell.run("resume", "--json")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["id"] for line in lines} == set(ids)
    assert {line["state"] for line in lines} == {"completed"}
    command = f"luma-async resume --base-url={another.url}"
    assert f"Unfinished at {another.url}: 1 job. To resume: {command}\n" in done.stderr
    command = f"luma-async resume --base-url={sim.url}/v1 --dialect=agents"
    assert f"Unfinished at {sim.url}/v1: 1 job. To resume: {command}\n" in done.stderr
    assert done.returncode == 0


def test_forgotten_jobs_are_listed_and_resumed_on_demand(tmp_path: Path) -> None:
    """`jobs` shows them, `resume` counts them, and `resume --forgotten` watches them as well."""
    with running_simulator(durations=Fixed(HOUR)) as sim:
        shell = Shell.at(sim, tmp_path)
        shell.journal.parent.mkdir()
        (id,) = submitted(sim, "a cat", journal=shell.journal)

        async def forget() -> None:
            async with LumaClient(KEY, base_url=sim.url, journal=shell.journal) as luma:
                (await luma.resume())[0].forget()

        asyncio.run(forget())
        sim.advance(HOUR)
        listed, line = shell.run("jobs"), shell.run("jobs", "--state", "running", "--json")
        left = shell.run("resume", "--json")
        resumed = shell.run("resume", "--forgotten", "--json")
        after = shell.run("jobs", "--json")

    assert listed.stdout.split("\t")[1::7] == ["running", "forgotten\n"]
    assert json.loads(line.stdout)["forgotten"] is True
    assert left.stdout == ""
    assert "Forgotten: 1 job. To resume as well: luma-async resume --forgotten" in left.stderr
    assert [json.loads(line)["id"] for line in resumed.stdout.splitlines()] == [id]
    assert "Forgotten" not in resumed.stderr
    assert [json.loads(after.stdout)[name] for name in ("state", "forgotten")] == [
        "completed",
        False,
    ]


def test_watching_can_be_interrupted(tmp_path: Path) -> None:
    """The command that resumes all jobs is printed."""
    with running_simulator(durations=Fixed(HOUR)) as sim:
        ids = submitted(sim, "a", "b", "c", "d")
        with Shell.at(sim, tmp_path).started("watch", *ids) as process:
            for _ in ids:
                line_with(process.stdout, "pending")
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert complaints.splitlines() == [
        "Interrupted.",
        "4 jobs continue at the server.",
        "To watch them:",
        f"  luma-async watch {' '.join(ids)}",
        "To download them:",
        f"  luma-async download {' '.join(ids)}",
    ]


def test_an_interrupted_resumption_says_how_its_files_are_downloaded(tmp_path: Path) -> None:
    """One command for all jobs, with the options that were given."""
    given = ["--output", "my films/", "--watermark", "--max-download-bytes", "9000000"]
    with running_simulator(durations=Fixed(HOUR)) as sim:
        shell = Shell.at(sim, tmp_path)
        shell.journal.parent.mkdir()
        submitted(sim, "a", "b", "c", "d", journal=shell.journal)
        with shell.started("resume", *given) as process:
            for _ in range(4):
                line_with(process.stderr, " pending ")
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=PATIENCE)

    *said, command = complaints.splitlines()[-4:]
    assert said == ["Interrupted.", "4 jobs continue at the server.", "To download them:"]
    assert command == (
        "  luma-async resume --download --watermark --max-download-bytes=9000000 "
        "'--output=my films/'"
    )


def test_an_interrupted_download_says_how_it_is_continued(tmp_path: Path) -> None:
    """The job has ended, so that there is nothing else to wait for; the command does the rest."""
    with running_simulator(durations=Fixed(0.1), short_side=90, video_bytes=50_000) as sim:
        (id,) = finished(sim, "a cat")
        sim.faults.add(Fault(on=["media"], bytes_per_second=10_000))
        shell = Shell.at(sim, tmp_path)
        with shell.started("download", id, "--output", "cat.mp4") as process:
            line_with(process.stderr, " downloading ")
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=PATIENCE)
        sim.faults.clear()
        *_, command = complaints.splitlines()
        continued = shell.run(*shlex.split(command)[1:])

    assert complaints.splitlines()[:2] == ["Interrupted.", "To download it:"]
    assert command == f"  luma-async download {id} --output=cat.mp4"
    assert continued.stdout == "cat.mp4\n"


def test_a_key_that_is_refused_ends_it(tmp_path: Path) -> None:
    """One message, exit code 1, and the key is in no output."""
    with running_simulator(api_key="sk-another") as sim:
        done = Shell.at(sim, tmp_path).run("watch", "some-id")

    assert done.returncode == 1
    assert done.stderr.startswith("HTTP 401")
    assert len(done.stderr.splitlines()) == 1


def test_trouble_on_the_way_ends_no_watch(sim: Simulator, tmp_path: Path) -> None:
    """A look that fails is made again."""
    (id,) = submitted(sim, "a cat")
    sim.faults.add(Fault.page(502, on=("get", "tasks"), times=1))
    done = Shell.at(sim, tmp_path).run("watch", id)

    assert (done.returncode, done.stderr) == (0, "")


def test_all_outputs_of_a_job_are_downloaded(sim: Simulator, tmp_path: Path) -> None:
    """Layers of an image, all of them or one by its number; their links are in the report."""

    async def separated() -> str:
        schedule = FixedSchedule(0.05)
        async with LumaClient(KEY, base_url=sim.url, dialect="agents", schedule=schedule) as luma:
            still = await (await luma.submit(ImageRequest("a cat")))
            layers = await luma.submit(LayersRequest("a cat"), source=still)
            return (await layers).id

    id = asyncio.run(separated())
    shell = Shell.at(sim, tmp_path, LUMA_DIALECT="agents")
    every = shell.run("download", id, "--what", "all", "--output", "layers")
    (one,) = shell.lines("download", id, "--what", "2", "--output", "one/")
    (got,) = shell.lines("get", id)
    code, shown = shell.run_on_a_terminal("get", id)
    other = shell.run("download", id, "--what", "video")

    files = ["layers/{}.png", "layers/{}.1-discs.png", "layers/{}.2-background.png"]
    assert every.stdout.splitlines() == [file.format(id) for file in files]
    assert one["file"] == f"one/{id}.2-background.png"
    assert one["files"] == [one["file"]]
    assert [link.split("?")[0].rpartition("/")[2] for link in got["outputs"]] == [
        *("layer-0.png", "layer-1.png", "layer-2.png"),
    ]
    assert (got["video"], got["type"], got["failure_code"]) == (None, "layering", None)
    assert code == 0
    assert "output 2" in shown
    assert other.returncode == 1
    assert "has no video, but 3 images" in other.stderr
