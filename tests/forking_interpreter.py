"""An interpreter that has loaded the libraries once, and runs each program in a fork of its own.

A fork has the modules that the interpreter had before any program, so programs cannot see each
other. None of this library is among them: programs have to import it, as they would elsewhere.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

LIBRARIES = ["aiohttp", "aiosqlite", "anyio", "backoff", "pydantic", "sqlalchemy.ext.asyncio"]

PATIENCE = 600.0
"""Seconds for a program, on a machine that is very slow."""

Done = subprocess.CompletedProcess[str]


class ForkingInterpreter:
    """The running interpreter, which takes one program at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, program: Path, environment: Mapping[str, str]) -> Done:
        """Run a program to its end, in its folder."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with TemporaryDirectory() as folder:
            out, complaints = Path(folder, "out"), Path(folder, "complaints")
            order = [str(program), dict(environment), str(out), str(complaints)]
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            assert select.select([self._process.stdout], [], [], PATIENCE)[0]
            code = int(self._process.stdout.readline())
            return Done(str(program), code, out.read_text("utf-8"), complaints.read_text("utf-8"))


@contextmanager
def running_interpreter() -> Iterator[ForkingInterpreter]:
    """Start the interpreter, in which a warning is an error."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield ForkingInterpreter(process)
        finally:
            process.kill()


def _run(program: str, environment: Mapping[str, str], out: str, complaints: str) -> None:
    """Run a program as if this process had been started for it."""
    flags = os.O_WRONLY | os.O_CREAT
    for number, path in enumerate([os.devnull, out, complaints]):
        os.dup2(os.open(path, flags if number else os.O_RDONLY), number)
    os.environ.clear()
    os.environ.update(environment)
    folder = str(Path(program).parent)
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv = [program]
    runpy.run_path(program, run_name="__main__")


def _main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(*json.loads(line))
            return  # the end of the program is that of its process, with all that happens then
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201  what is waited for


if __name__ == "__main__":
    _main()
