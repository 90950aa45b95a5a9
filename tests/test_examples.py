"""The examples, and every Python block of the documentation, run against the simulator."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest

from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.docs import PAGES, ROOT, blocks, name_of

BLOCKS = {
    f"{name_of(page)}-{number}": block
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"), start=1)
}
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "luma_async.testing"]
SLOW = re.compile(r"^Executing <.*> took [0-9.]+ seconds\n", re.MULTILINE)
"""What asyncio's debug mode says on a machine that has other work to do, too."""


def run(program: list[str], folder: Path, text: str = "", *, same_films: bool = True) -> str:
    """Run a program at a simulator, in a folder; no warning, no word on stderr."""
    films: dict[str, Any] = {"short_side": 90, "same_films": same_films}
    with running_simulator(durations=Fixed(0.5), **films) as simulator:
        environment = {
            **os.environ,
            "LUMA_BASE_URL": simulator.url,
            "LUMA_API_KEY": "sk-simulated",
            "PYTHONASYNCIODEBUG": "1",
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", *program],
            cwd=folder,
            env=environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert SLOW.sub("", done.stderr) == ""
    assert done.returncode == 0
    return done.stdout


def test_there_are_blocks_to_run() -> None:
    """The README and the pages behind it show Python."""
    assert "README.md-1" in BLOCKS
    assert len(BLOCKS) >= 10


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_every_python_block_of_the_documentation_runs(block: str, tmp_path: Path) -> None:
    """As it stands there, in an empty folder; tests are run by pytest."""
    (tmp_path / "block.py").write_text(block, "utf-8")
    is_test = re.search(r"^(async )?def test_", block, re.MULTILINE)

    run([*(PYTEST if is_test else []), "block.py"], tmp_path)


def test_one_video(tmp_path: Path) -> None:
    """It ends with a file."""
    told = run([str(ROOT / "examples/one_video.py")], tmp_path)

    assert "completed" in told
    [path] = (tmp_path / "videos").iterdir()
    assert path.stat().st_size > 1000


def test_many_videos(tmp_path: Path) -> None:
    """A file for each line."""
    (tmp_path / "prompts.txt").write_text("a cat\n\na dog\na cow\n", "utf-8")

    run([str(ROOT / "examples/many_videos.py"), "prompts.txt", "videos"], tmp_path)

    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 3


def test_join_videos(tmp_path: Path) -> None:
    """A film as long as its parts, each of which begins where the one before ended."""
    if shutil.which("ffmpeg") is None:
        missing = "ffmpeg is missing: install it, as .ci/run does"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    program = [str(ROOT / "examples/join_videos.py"), "cat.mp4"]

    prompts = ["a cat dances", "it takes a bow", "it falls asleep"]
    run([*program, *prompts], tmp_path, same_films=False)

    parts = [frames_of(path) for path in (tmp_path / "parts").glob("*.mp4")]
    assert len(parts) == 3
    assert frames_of(tmp_path / "cat.mp4") == sum(parts) - 2


def frames_of(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))


def test_bot(tmp_path: Path) -> None:
    """Each message gets its link."""
    told = run([str(ROOT / "examples/bot.py")], tmp_path, "a cat\na dog\n")

    assert told.count("clean.mp4") == 2
