"""`luma-async demo` and `simulate`, as a person runs them."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from tests.cli.commands import COMMAND, PATIENCE, Shell, line_with, wait_for
from tests.forked_programs import PYTHON, ForkedProgram

_SMALL = """
import functools
from luma_async.cli import demo_batch
from luma_async.cli import main
demo_batch.Simulator = functools.partial(demo_batch.Simulator, short_side=90)
main()
"""
SMALL = [*PYTHON, "-c", _SMALL]
"""The command line, with films that are made in a moment."""

SHAPES = {
    "cat": 16 / 9,
    "boat": 4 / 3,
    "jellyfish": 1,
    "lighthouse": 9 / 16,
    "train": 21 / 9,
    "dandelion": 3 / 4,
    "cat-bow": 16 / 9,
}


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that handles Ctrl-C even in the background; kill it at the end."""
    with ForkedProgram(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_demo_makes_seven_videos_that_play(tmp_path: Path) -> None:
    """A bar that moves, a table, the gallery's path, and files that a decoder plays."""
    folder = tmp_path / "demo"
    code, shown, piped = Shell(tmp_path).on_a_terminal(
        "demo", "--folder", str(folder), "--speed", "40", stdout_too=False, command=SMALL
    )

    assert code == 0
    assert shown.count(" of 7") > 5
    assert re.search(r"\d running at \d+%", shown)
    for count in ("submitted", "running", "done", "downloaded"):
        assert count in shown
    assert piped.splitlines()[-1].endswith(f"{folder}/gallery.html")
    assert (folder / "gallery.html").read_text("utf-8").count("<video") >= 7
    assert "\x1b" not in piped
    lengths = {}
    for name, ratio in SHAPES.items():
        with av.open(str(folder / "videos" / f"{name}.mp4"), "r") as film:
            sizes = [(frame.width, frame.height) for frame in film.decode(video=0)]
        assert all(w / h == pytest.approx(ratio, rel=0.01) for w, h in sizes)
        assert len(sizes) > 100
        lengths[name] = len(sizes)
    assert lengths["cat-bow"] == lengths["cat"] + 120


def test_the_demo_leaves_what_is_not_its_own_alone(tmp_path: Path) -> None:
    """A folder with a journal of paid jobs, say."""
    (tmp_path / "jobs.db").write_bytes(b"paid")
    (tmp_path / "prompts.csv").write_text("prompt\nmine\n")

    done = Shell(tmp_path).run("demo", "--folder", ".")

    assert done.returncode == 2
    assert "holds other files than those of a demo" in done.stderr
    assert (tmp_path / "jobs.db").read_bytes() == b"paid"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """One line with the reason and the option, and the exit code of a usage error."""
    (tmp_path / "file").write_text("a file, and not a folder")

    done = Shell(tmp_path).run("demo", "--folder", "file/demo")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "The folder 'file/demo' cannot be written to: Not a directory. Choose another --folder.\n"
    )


def test_the_demo_can_be_interrupted(tmp_path: Path) -> None:
    """Ctrl-C twice ends it at once with 130, and no traceback.

    It is run again by its own command, because its server has ended with it.
    """
    with started("demo", "--folder", str(tmp_path), "--speed", "0.1") as process:
        assert process.stderr is not None
        line_with(process.stderr, "six videos and an extension")
        wait_for((tmp_path / "videos").exists)
        process.send_signal(signal.SIGINT)
        line_with(process.stderr, "No more rows are submitted")
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert "Stopped at once" in complaints
    assert f"luma-async demo --folder={tmp_path} --speed=0.1\n" in complaints
    assert "luma-async batch" not in complaints
    assert "Traceback" not in complaints


def test_a_simulator_serves_until_it_is_stopped() -> None:
    """The URL is printed, serves requests, and Ctrl-C ends the command without a traceback."""
    with started("simulate", "--port", "0") as process:
        url = next_line(process).split()[-1]
        with urllib.request.urlopen(f"{url}/simulator/ledger") as answer:  # noqa: S310  our own
            assert json.load(answer)["jobs"] == []
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert complaints == ""


def test_a_simulator_shows_each_request_if_asked_to() -> None:
    """With `-v`, one line on stderr, with the status."""
    with started("simulate", "--port", "0", "-v") as process:
        url = next_line(process).split()[-1]
        for path in ("/simulator/ledger", "/nowhere"):
            try:
                urllib.request.urlopen(f"{url}{path}").close()  # noqa: S310  our own
            except urllib.error.HTTPError as error:
                error.close()
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=PATIENCE)

    [found, missing] = log.splitlines()
    assert '"GET /simulator/ledger HTTP/1.1" 200' in found
    assert '"GET /nowhere HTTP/1.1" 404' in missing


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """One line, exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = Shell(tmp_path).run("simulate", "--port", str(port))

    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot listen on 127.0.0.1:{port}")
    assert len(done.stderr.splitlines()) == 1


def test_it_says_its_version_and_what_it_can_do(tmp_path: Path) -> None:
    """`--version`, and help when nothing is asked for."""
    version = Shell(tmp_path).run("--version")
    help_text = Shell(tmp_path).run()

    assert version.returncode == 0
    assert version.stdout.startswith("luma-async 0.")
    assert "simulate" in help_text.stdout + help_text.stderr
