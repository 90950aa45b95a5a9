"""`luma-async generate` and `extend`."""

from __future__ import annotations

import json
import math
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.testing import running_simulator
from tests.cli.commands import (
    HELD_LOOKS,
    KEY,
    PATIENCE,
    Shell,
    line_with,
    send,
    submitted,
    wait_for,
)
from tests.clients import HOUR

REASON = "the prompt could not be rendered"


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with running_simulator(durations=Fixed(0.3), short_side=90, api_key=KEY) as simulator:
        yield simulator


def test_a_video_is_made(sim: Simulator, tmp_path: Path) -> None:
    """Its path is all that stdout gets; a pipe of stderr gets a line for each change."""
    done = Shell.at(sim, tmp_path).run("generate", "a cat dances")

    job = sim.ledger.jobs[0]
    assert done.stdout == f"videos/{job.id}.mp4\n"
    assert (tmp_path / done.stdout.strip()).stat().st_size > 1000
    states = [line.split()[2] for line in done.stderr.splitlines() if " s  " in line]
    assert states[1] in ("pending", "processing")  # it may have begun already
    assert [state for state in states if state not in ("pending", "processing")] == [
        *("submitting", "completed", "downloading", "saved")
    ]
    assert job.id in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.returncode == 0


def test_every_field_is_sent(sim: Simulator, tmp_path: Path) -> None:
    """Fields are sent as by `LumaClient.generate`; `--extra` adds further ones."""
    options = "--aspect-ratio 9:16 --loop --model ray-v2 --resolution 540p --duration 5s "
    options += "--no-expand-prompt --notify-hook https://hook.example/x --no-wait"
    done = Shell.at(sim, tmp_path).run(
        "generate", "a cat", *options.split(), "--image", "https://p.example/a.jpg", "--extra",
        '{"seed": 7}',
    )  # fmt: skip

    request = sim.ledger.jobs[0].request
    assert done.returncode == 0
    assert {name: request[name] for name in ("aspect_ratio", "loop", "expand_prompt")} == {
        "aspect_ratio": "9:16",
        "loop": True,
        "expand_prompt": False,
    }
    assert {"ray-v2", "540p", "5s", "https://hook.example/x", 7} <= set(request.values())
    assert "https://p.example/a.jpg" in json.dumps(dict(request))


def test_a_script_gets_one_object(sim: Simulator, tmp_path: Path) -> None:
    """All fields of the JSON object are present, even without a value."""
    shell = Shell.at(sim, tmp_path)
    (job,) = shell.lines("generate", "a cat", "--output", "cat.mp4", "--key", "cat")

    assert set(job) == {
        *("id", "key", "state", "prompt", "progress", "queue_state", "created_at"),
        *("failure_reason", "failure_code", "model", "type"),
        *("video", "download_url", "video_raw", "thumbnail", "last_frame"),
        *("outputs", "file", "files", "error", "error_type"),
    }
    assert (job["key"], job["state"], job["file"]) == ("cat", "completed", "cat.mp4")
    assert job["error"] is None
    assert (tmp_path / "cat.mp4").exists()


def test_what_a_key_names_is_paid_for_once(sim: Simulator, tmp_path: Path) -> None:
    """Asked for again it is found, and so is its file."""
    shell = Shell.at(sim, tmp_path)
    first = shell.run("generate", "a cat", "--key", "cat")
    again = shell.run("generate", "a cat", "--key", "cat")
    other = shell.run("generate", "a dog", "--key", "cat")

    assert first.stdout == again.stdout
    assert "already exists" in again.stderr
    assert (first.returncode, again.returncode, other.returncode) == (0, 0, 2)
    assert "The job key 'cat' was used for another request" in other.stderr
    assert len(sim.ledger.jobs) == 1


def test_a_video_is_extended(sim: Simulator, tmp_path: Path) -> None:
    """The source may still be on its way."""
    (source,) = submitted(sim, "a cat")
    done = Shell.at(sim, tmp_path).run("extend", source, "it bows", "--no-download")

    first, second = sim.ledger.jobs
    assert second.parent is first
    assert done.stdout.startswith(f"{sim.url}/media/{second.id}/clean.mp4")
    assert not (tmp_path / "videos").exists()


def test_a_job_is_left_and_watched_later(sim: Simulator, tmp_path: Path) -> None:
    """`--no-wait` prints the id alone; `watch` takes it up, and the journal is told its end."""
    shell = Shell.at(sim, tmp_path)
    left = shell.run("generate", "a cat", "--no-wait")
    watched = shell.run("watch", left.stdout.strip())
    ended = shell.lines("jobs")

    assert left.stdout == f"{sim.ledger.jobs[0].id}\n"
    assert watched.stdout.splitlines()[-1].startswith(f"{sim.ledger.jobs[0].id}\tcompleted\t")
    assert (left.returncode, watched.returncode) == (0, 0)
    assert [job["state"] for job in ended] == ["completed"]


def test_a_watermark_that_could_not_be_avoided_is_told(tmp_path: Path) -> None:
    """The library's warning is printed, and the video downloaded."""
    with running_simulator(
        durations=Fixed(0.1), short_side=90, variant=Variant(estimates=True, video="text")
    ) as sim:
        sim.faults.add(Fault.explained(404, on=["link"]))
        done = Shell.at(sim, tmp_path).run("generate", "a cat")

    path = done.stdout.strip()
    assert done.returncode == 0
    assert f"{path} has a watermark because there was no link without one" in done.stderr


def test_a_failure_is_one_message(tmp_path: Path) -> None:
    """Exit code 1, and a script gets an object all the same."""
    with running_simulator(durations=Fixed(0.1), failure_rate=1.0) as sim:
        done = Shell.at(sim, tmp_path).run("generate", "a cat", "--json")

    (job,) = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Job {job['id']} failed: {REASON}"
    assert (job["state"], job["error_type"]) == ("failed", "GenerationFailedError")
    assert job["failure_reason"] == REASON


def test_nothing_is_paid_for_that_could_not_be_saved(sim: Simulator, tmp_path: Path) -> None:
    """The place of the file is looked at first."""
    (tmp_path / "cat.mp4").write_text("mine")
    shell = Shell.at(sim, tmp_path)
    taken = shell.run("generate", "a cat", "--output", "cat.mp4")

    assert taken.returncode == 2
    assert "cat.mp4 already exists; nothing was submitted. --overwrite" in taken.stderr
    assert sim.ledger.jobs == []


@pytest.mark.parametrize(
    "command",
    [
        ("generate", "a cat"),
        ("generate", "a cat", "--no-wait"),
        ("extend", "job-1", "it bows"),
        ("batch", "rows.csv"),
        ("download", "job-1"),
        ("resume",),
    ],
    ids=" ".join,
)
def test_an_empty_output_is_an_error(
    command: tuple[str, ...], sim: Simulator, tmp_path: Path
) -> None:
    """It is mostly a variable that is not set. Nothing is submitted."""
    (tmp_path / "rows.csv").write_text("prompt\na cat\n")

    done = Shell.at(sim, tmp_path).run(*command, "--output", "")

    assert done.returncode == 2
    assert "--output" in done.stderr
    assert "must not be empty" in done.stderr
    assert sim.ledger.jobs == []
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_killed_run_is_resumed(sim: Simulator, tmp_path: Path) -> None:
    """The job is in the journal: `resume` finds and downloads it, and it is paid for once."""
    shell = Shell.at(sim, tmp_path)
    sim.faults.add(HELD_LOOKS)
    with shell.started("generate", "a cat") as process:
        line_with(process.stderr, "Job id: ")
        process.kill()
        process.wait()
    sim.faults.clear()
    resumed = shell.run("resume", "--download")
    nothing_left = shell.run("resume")

    assert resumed.stdout == f"videos/{sim.ledger.jobs[0].id}.mp4\n"
    assert (tmp_path / resumed.stdout.strip()).exists()
    assert len(sim.ledger.jobs) == 1
    assert (nothing_left.stdout, nothing_left.stderr) == ("", "Nothing to resume.\n")
    assert (resumed.returncode, nothing_left.returncode) == (0, 0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(how: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, or the end of a service: 130, no traceback, the command that fetches the file."""
    given = ["--base-url", "URL", "--journal", "my jobs.db", "--output", "cat.mp4", "--overwrite"]
    given += ["--min-download-speed", "0"]
    with running_simulator(durations=Fixed(HOUR), short_side=90) as sim:
        given[1] = sim.url
        shell = Shell.at(sim, tmp_path)
        with shell.started("generate", "a cat", *given) as process:
            line_with(process.stderr, " pending ")
            process.send_signal(how)
            results, complaints = process.communicate(timeout=PATIENCE)
        *_, command = complaints.splitlines()
        sim.advance(HOUR)
        fetched = shell.run(*shlex.split(command)[1:])

    assert process.returncode == 130
    assert results == ""
    assert complaints.splitlines()[-4:] == [
        "Interrupted.",
        "The job continues at the server.",
        "To download it:",
        command,
    ]
    assert command == (
        f"  luma-async download {sim.ledger.jobs[0].id} --overwrite --min-download-speed=0 "
        f"--base-url={sim.url} --output=cat.mp4 '--journal=my jobs.db'"
    )
    assert (fetched.returncode, fetched.stdout) == (0, "cat.mp4\n")
    assert (tmp_path / "cat.mp4").stat().st_size > 1000


def test_an_interrupted_run_without_a_download_names_both_commands(tmp_path: Path) -> None:
    """The job may be watched, or its video downloaded after all."""
    with running_simulator(durations=Fixed(HOUR)) as sim:
        with Shell.at(sim, tmp_path).started("generate", "a cat", "--no-download") as process:
            line_with(process.stderr, " pending ")
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=PATIENCE)
        id = sim.ledger.jobs[0].id

    assert complaints.splitlines()[-4:] == [
        *("To watch it:", f"  luma-async watch {id}"),
        *("To download it:", f"  luma-async download {id}"),
    ]


def test_an_interrupted_submission_is_not_lost(sim: Simulator, tmp_path: Path) -> None:
    """Its answer is waited for, and the job is in the journal."""
    sim.faults.add(Fault.slow(math.inf, after=True))
    shell = Shell.at(sim, tmp_path)
    with shell.started("generate", "a cat") as process:
        line_with(process.stderr, " submitting ")
        wait_for(lambda: sim.ledger.jobs)
        send(process, signal.SIGINT)
        sim.faults.clear()
        _, complaints = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert "the job was accepted" in complaints
    assert complaints.splitlines()[-1] == "  luma-async resume --download"
    assert [job["id"] for job in shell.lines("jobs")] == [sim.ledger.jobs[0].id]


def test_a_rejection_code_makes_a_refusal_certain(sim: Simulator, tmp_path: Path) -> None:
    """By the option or the environment; without it the job may have been accepted."""
    full = b'{"error": {"message": "come back later", "code": "pool_empty"}}'
    unknown = Shell.at(sim, tmp_path)
    known = Shell.at(sim, tmp_path, LUMA_REJECTION_CODES="other, pool_empty")
    ways = [
        (unknown, []),
        (unknown, ["--rejection-code", "other", "--rejection-code", "pool_empty"]),
        (known, []),
    ]

    done = []
    for shell, options in ways:
        sim.faults.add(Fault.answer(full, status=500, times=1))
        done.append(shell.run("generate", "a cat", "--no-wait", *options))

    assert [each.returncode for each in done] == [1, 0, 0]
    assert "may have been" in done[0].stderr
    assert len(sim.ledger.jobs) == 2


@pytest.mark.parametrize("key", ["the cat", "-x"])
def test_an_uncertain_submission_says_how_it_is_settled(
    key: str, sim: Simulator, tmp_path: Path
) -> None:
    """The printed command can be pasted, and `resume` mentions the uncertain job."""
    sim.faults.add(Fault.cut(after=True))
    shell = Shell.at(sim, tmp_path)
    journal = ["--journal", "my jobs.db"]
    done = shell.run("generate", "a cat", f"--key={key}", *journal)
    resumed = shell.run("resume", *journal)
    [accepted, rejected] = re.findall(r"(luma-async settle .*?)(?:, or |; --retry)", done.stderr)

    settled = shell.run(*shlex.split(accepted.replace("ID", sim.ledger.jobs[0].id))[1:])
    again = shell.run(*shlex.split(rejected)[1:])

    assert done.returncode == 1
    assert (settled.returncode, again.returncode) == (0, 1)
    assert settled.stdout == f"{key}: accepted as {sim.ledger.jobs[0].id}\n"
    assert f"{key!r} is running" in again.stderr
    assert (
        "Uncertain: 1 job. See `luma-async jobs --state uncertain '--journal=my jobs.db'`"
        in resumed.stderr
    )
