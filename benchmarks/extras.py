"""Installations: the wheel in an empty environment with each extra alone, on each Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import (
    VERSIONS,
    Environment,
    ProgramError,
    built_wheel,
    check_videos,
    interpreter,
    requirement,
    simulator,
)
from benchmarks.row import Row
from tests.journal.postgres import running_postgres

PROGRAMS = Path(__file__).parent / "with_extra"

USES: dict[str, tuple[str, ...]] = {
    "": ("none",),
    "journal": ("journal",),
    "postgres": ("journal", "postgres"),
    "images": ("images",),
    "cli": ("commands",),
    "gallery": ("batch",),
    "batch": ("batch",),
    "xlsx": ("batch", "xlsx"),
    "simulator": ("simulator",),
    "demo": ("simulator", "demo"),
    "mcp": ("mcp",),
    "otel": ("otel",),
    "cluster": ("cluster",),
    "remote": ("remote",),
    "all": (
        *("journal", "postgres", "images", "commands", "batch", "xlsx", "simulator", "demo"),
        *("mcp", "otel", "cluster", "remote"),
    ),
}
"""Programs in `with_extra/` that must work, by extra."""

_SDK = "opentelemetry-sdk"
"""Package that the users of telemetry install by themselves, as its page says."""

_MB = 1e6
_AT_ONCE = 2


@dataclass(frozen=True)
class _Setting:
    """The wheel, a folder for the environments, and the servers that the programs use."""

    wheel: Path
    folder: Path
    url: str
    database: str


def rows() -> Iterator[Row]:
    """Install each extra alone, and use it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = built_wheel(folder / "dist")
        pythons = {version: interpreter(version) for version in VERSIONS}
        for version, python in pythons.items():
            if python is None:
                yield Row(f"Python {version}", "not found", "installed", met=False)
        found = {version: python for version, python in pythons.items() if python is not None}
        server = Environment.create(next(iter(found.values())), folder / "server")
        server.install(requirement(wheel, "demo"))
        pool = ThreadPoolExecutor(_AT_ONCE)
        with simulator(server) as url, running_postgres() as postgres:
            setting = _Setting(wheel, folder, url, postgres.url("postgres"))
            cases = [
                pool.submit(_row, extra, version, python, setting)
                for extra in USES
                for version, python in found.items()
            ]
            try:
                for case in cases:
                    yield case.result()
            finally:
                pool.shutdown(cancel_futures=True)


def _row(extra: str, version: str, python: Path, setting: _Setting) -> Row:
    what = f"{extra or 'no extra'} on Python {version}"
    path = setting.folder / f"{extra or 'none'}-{version}"
    start = time.monotonic()
    try:
        environment = Environment.create(python, path)
        empty = environment.bytes
        seconds = environment.install(requirement(setting.wheel, extra))
        megabytes = (environment.bytes - empty) / _MB
        _use(environment, extra, setting)
    except (AssertionError, ProgramError):
        print(f"{what}: {traceback.format_exc()}")
        return Row(what, "failed", "works", met=False)
    finally:
        shutil.rmtree(path, ignore_errors=True)
    took = time.monotonic() - start
    data = {"seconds": seconds, "megabytes": megabytes}
    figure = f"works; installed in {seconds:.0f} s, {megabytes:.0f} MB; all took {took:.0f} s"
    return Row(what, figure, "works", met=True, data=data)


def _use(environment: Environment, extra: str, setting: _Setting) -> None:
    """Check an installation, and run the programs of an extra."""
    environment.run(environment.python, "-m", "pip", "check", PYTHONWARNINGS="ignore")
    missing = json.loads(_run_program(environment, "imports", setting))
    assert not missing or extra != "all" or set(missing.values()) == {None}, missing
    _check_command(environment, has_command="luma_async.cli.app" not in missing)
    if "otel" in USES[extra]:
        environment.install(_SDK)
    for program in dict.fromkeys(("none", *USES[extra])):
        _run_program(environment, program, setting)
    assert check_videos(environment.folder) > 0
    _uninstall(environment)


def _run_program(environment: Environment, name: str, setting: _Setting) -> str:
    return environment.run(
        *(environment.python, "-I", "-W", "error", str(PROGRAMS / f"{name}.py")),
        LUMA_BASE_URL=setting.url,
        LUMA_API_KEY="any-key",
        DATABASE=setting.database,
    )


def _check_command(environment: Environment, *, has_command: bool) -> None:
    """Check that `luma-async` answers, or names the extra that it needs in one line."""
    for command in (
        [str(environment.path / "bin/luma-async"), "--version"],
        [str(environment.path / "bin/luma-async"), "--help"],
        [environment.python, "-m", "luma_async", "--version"],
    ):
        done = subprocess.run(
            command,
            check=False,
            env=environment.variables(),
            cwd=environment.folder,
            capture_output=True,
            text=True,
        )
        told = done.stdout if has_command else done.stderr
        assert done.returncode == (0 if has_command else 2), done
        assert (done.stderr if has_command else done.stdout) == "", done
        assert "luma-async" in told, done
        assert "Traceback" not in told, done
        if not has_command:
            assert told == 'The command line needs typer: pip install "luma-async[cli]"\n'


def _uninstall(environment: Environment) -> None:
    """Check that nothing of the library stays when it is uninstalled."""
    pip = [environment.python, "-m", "pip", "uninstall", "--quiet", "--yes", "luma-async"]
    environment.run(*pip, PYTHONWARNINGS="ignore")
    left = [path for path in environment.path.rglob("*") if "luma" in path.name.lower()]
    assert left == [], left
