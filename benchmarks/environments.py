"""Empty environments: the wheel and its dependencies, as pip installs them, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av

ROOT = Path(__file__).parents[1]

VERSIONS = ("3.11", "3.12", "3.13")
"""Versions of Python that the library supports."""

_TIMEOUT = 900.0
"""Seconds for one program, pip among them, on a slow line."""


class ProgramError(Exception):
    """A program failed; the text has its output."""


def built_wheel(folder: Path) -> Path:
    """Build the wheel as for a release: from the sdist, with build tools of its own."""
    run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)])
    [wheel] = folder.glob("*.whl")
    return wheel


def interpreter(version: str) -> Path | None:
    """Return a Python of a version such as 3.12: from the PATH, or one that pyenv has installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob(f"versions/{version}.*/bin/python3"))
    on_path = shutil.which(f"python{version}")
    for found in [*installed, *([Path(on_path)] if on_path else [])]:
        # The programs that pyenv has on the PATH may say that the version is not chosen.
        if subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode == 0:
            return found
    return None


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and an empty folder for its programs.

    Attributes:
        path: the environment.
        folder: the current folder of its programs, which is also their home folder.

    """

    path: Path
    folder: Path

    @classmethod
    def create(cls, python: Path, path: Path) -> Environment:
        """Create an environment with the pip that comes with a Python."""
        run([str(python), "-m", "venv", str(path / "venv")])
        (path / "folder").mkdir()
        return cls(path / "venv", path / "folder")

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(self.path / "bin/python")

    @property
    def bytes(self) -> int:
        """The size of all files, without the code that Python compiles."""
        return sum(
            path.stat().st_size
            for path in self.path.rglob("*")
            if path.is_file() and not path.is_symlink() and path.suffix != ".pyc"
        )

    def variables(self, **more: str) -> dict[str, str]:
        """Return the environment variables of a program, in which every warning is an error.

        Settings of pip stay, because they lead to the package registry.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "SSL_")) or name in {"LANG", "TERM", "TMPDIR"}
        }
        return {
            **kept,
            "PATH": f"{self.path / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "VIRTUAL_ENV": str(self.path),
            "PYTHONWARNINGS": "error",
            **more,
        }

    def install(self, *requirements: str, options: Sequence[str] = ()) -> float:
        """Install requirements with pip, and return the seconds that it took."""
        pip = [self.python, "-m", "pip", "install", "--quiet", *options, *requirements]
        start = time.monotonic()
        # pip finds its cache in the home folder, and its own warnings are not ours.
        variables = self.variables(HOME=str(Path.home()), PYTHONWARNINGS="ignore")
        run(pip, env=variables)
        return time.monotonic() - start

    def run(self, *command: str, **variables: str) -> str:
        """Run a program of the environment in its folder, and return its stdout.

        Raises:
            ProgramError: the program failed, or wrote to stderr.

        """
        return run(command, env=self.variables(**variables), cwd=self.folder, quiet=True)


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    quiet: bool = False,
) -> str:
    """Run a program to its end, and return its stdout.

    Args:
        command: the program and its arguments.
        env: its environment variables; by default those of this process.
        cwd: its current folder.
        quiet: the program must not write to stderr.

    Raises:
        ProgramError: the program failed, or wrote to stderr.

    """
    try:
        done = subprocess.run(
            command,
            check=False,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{' '.join(command)}: no end after {_TIMEOUT:g} seconds") from error
    if done.returncode != 0 or (quiet and done.stderr):
        raise ProgramError(
            f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


@contextmanager
def simulator(environment: Environment) -> Iterator[str]:
    """Run `luma-async simulate` in an environment, and yield its URL.

    A job takes about half a second.
    """
    command = ["luma-async", "simulate", "--port", "0", "--speed", "20", "--seconds", "10"]
    with subprocess.Popen(
        [environment.path / "bin" / command[0], *command[1:], "--json"],
        env=environment.variables(),
        cwd=environment.folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def check_videos(folder: Path) -> int:
    """Decode the first pictures of all MP4 files in a folder, and return the number of files."""
    videos = sorted(folder.rglob("*.mp4"))
    for path in videos:
        with av.open(str(path), "r") as video:
            frame = next(video.decode(video=0))
            assert frame.width > 0, path
    return len(videos)


def requirement(wheel: Path, extra: str = "") -> str:
    """Return a requirement of the wheel, with an extra."""
    return f"luma-async[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)


def with_wheel(line: str, wheel: Path) -> str:
    """Replace the name of the package in a line of a shell that installs it."""
    found = r"""(?<![\w/-])(['"]?)luma-async(?:\[([\w,-]+)\])?\1(?![\w-])"""
    return re.sub(found, lambda match: f"'{requirement(wheel, match[2] or '')}'", line)
