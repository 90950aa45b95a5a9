"""The examples, and every Python block of the documentation, run against the simulator."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import pytest

from luma_async.simulator import Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import HOUR
from tests.docs import PAGES, ROOT, blocks, name_of
from tests.forked_programs import PYTHON, ForkedProgram
from tests.other_clients.environments import LEAVES_SOCKETS_OPEN, StandIns, other_clients_in
from tests.platforms import missing, skip_without_servers

BLOCKS = {
    f"{name_of(page)}-{number}": block
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"), start=1)
}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PYTEST = [
    *("-m", "pytest", "-q", "-pno:cacheprovider", "-pno:schemathesis", "-pluma_async.testing"),
    *("-oasyncio_mode=auto", "-oasyncio_default_fixture_loop_scope=function"),
]
FAST_CLOCK = str(ROOT / "tests/programs/fast_clock.py")
OPEN_SOCKETS = str(ROOT / "tests/programs/open_sockets.py")
WITHOUT_ESTIMATES = re.compile(r"dialect=|Simulator\(")
"""Text of the programs whose servers have no estimates, so that they wait longer for a look."""

SLOW = re.compile(r"^Executing <.*> took [0-9.]+ seconds\n", re.MULTILINE)
"""What asyncio's debug mode says on a machine that has other work to do, too."""


def environment_at(simulator: Simulator) -> dict[str, str]:
    return {
        **os.environ,
        "LUMA_BASE_URL": simulator.url,
        "LUMA_API_KEY": "sk-simulated",
        "PYTHONASYNCIODEBUG": "1",
    }


def assert_good(done: subprocess.CompletedProcess[str]) -> None:
    """Assert that a program ended well: no warning, no word on stderr."""
    assert SLOW.sub("", done.stderr) == ""
    assert done.returncode == 0


def run(program: list[str], folder: Path, text: str = "", *, same_films: bool = True) -> str:
    """Run a program at a simulator, in a folder."""
    films: dict[str, Any] = {"short_side": 90, "same_films": same_films}
    with running_simulator(durations=Fixed(0.2), **films) as simulator:
        done = run_program(program, folder, simulator, text)
    assert_good(done)
    return done.stdout


def run_program(
    program: list[str],
    folder: Path,
    simulator: Simulator,
    text: str = "",
    *,
    loaded: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in which a warning is an error."""
    with ForkedProgram(
        [*PYTHON, *program],
        loaded=loaded,
        cwd=folder,
        env={**environment_at(simulator), **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            out, complaints = process.communicate(text, timeout=600)
        finally:
            process.kill()
    return subprocess.CompletedProcess(program, process.returncode, out, complaints)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Simulator]:
    with running_simulator(durations=Fixed(0.2), short_side=90, same_films=True) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    with StandIns(tmp_path_factory.mktemp("stand-ins")) as servers:
        yield servers


def test_there_are_blocks_to_run() -> None:
    """The README and the pages behind it show Python."""
    assert "README.md-1" in BLOCKS
    assert len(BLOCKS) >= 10


def is_test(block: str) -> bool:
    return re.search(r"^(async )?def test_", block, re.MULTILINE) is not None


def first_import(block: str) -> str:
    """Return the import that loads this library."""
    found = re.search(r"^from luma_async[.\w]* import \(?\s*\w+", block, re.MULTILINE)
    return "" if found is None else found[0]


PROGRAMS = {name: block for name, block in BLOCKS.items() if not is_test(block)}
LOADING = {first_import(block): name for name, block in reversed(PROGRAMS.items())}
"""The programs that load this library, one for each way to begin. The others find it loaded."""

TESTS = {name: block for name, block in BLOCKS.items() if is_test(block)}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_of_the_documentation_runs(
    name: str, gateway: Simulator, stand_ins: StandIns, tmp_path: Path
) -> None:
    """As it stands there, in an empty folder. Other clients find their servers on loopback."""
    program = tmp_path / "block.py"
    program.write_text(PROGRAMS[name], "utf-8")
    others = other_clients_in(PROGRAMS[name])
    runners = [FAST_CLOCK] if WITHOUT_ESTIMATES.search(PROGRAMS[name]) else []
    if not others.isdisjoint(LEAVES_SOCKETS_OPEN):
        runners.append(OPEN_SOCKETS)
    loaded = name not in LOADING.values()
    environment = stand_ins.environment(others, gateway)

    done = run_program(
        [*runners, str(program)], tmp_path, gateway, loaded=loaded, environment=environment
    )

    assert_good(done)


@pytest.mark.parametrize("block", TESTS.values(), ids=TESTS)
def test_every_test_of_the_documentation_passes(block: str, tmp_path: Path) -> None:
    """As it stands there, run by pytest."""
    (tmp_path / "block.py").write_text(block, "utf-8")

    run([*PYTEST, "block.py"], tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short(example: Path) -> None:
    """A stranger reads the file, and copies it."""
    assert len(example.read_text("utf-8").splitlines()) < 120


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


def test_storyboard(tmp_path: Path) -> None:
    """A second run pays for the changed scene only, and joins all of them.

    The film is as long as its parts, each of which begins where the one before ended.
    """
    skip_without_servers()
    if shutil.which("ffmpeg") is None:
        missing("ffmpeg is missing: install it, as .ci/run does")
    program = [str(ROOT / "examples/storyboard.py"), "film"]
    with running_simulator(durations=Fixed(0.1), short_side=64) as simulator:
        first = run_program([*program, "a cat dances", "it bows"], tmp_path, simulator)
        scenes = "a cat dances\n\nit falls asleep\n"
        second = run_program(program, tmp_path, simulator, scenes)
        jobs = [(job.prompt, job.parent and job.parent.prompt) for job in simulator.ledger.jobs]
        files = simulator.ledger.sent

    assert_good(first)
    assert_good(second)
    assert jobs == [
        ("a cat dances", None),
        ("it bows", "a cat dances"),
        ("it falls asleep", "a cat dances"),
    ]
    assert len(files) == 3  # each of them is downloaded once
    *parts, film = [tmp_path / line for line in second.stdout.splitlines() if "mp4" in line]
    assert [part.name[:2] for part in parts] == ["01", "02"]
    assert frames_of(film) == sum(map(frames_of, parts)) - 1


def test_a_storyboard_is_stopped_without_a_traceback(tmp_path: Path) -> None:
    """Ctrl-C says that no job is lost."""
    with running_simulator(durations=HOUR) as simulator:
        program = ForkedProgram(
            [*PYTHON, str(ROOT / "examples/storyboard.py"), "film", "a cat dances"],
            cwd=tmp_path,
            env=environment_at(simulator),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert program.stdout is not None
        while ": pending" not in program.stdout.readline():
            pass
        program.send_signal(signal.SIGINT)
        _, stderr = program.communicate(timeout=30)

    assert "Stopped. Run it again to go on" in stderr
    assert "Traceback" not in stderr


def frames_of(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))
