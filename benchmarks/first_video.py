"""Time to the first video: from `pip install` in an empty environment, as the README says it.

The text is the one in the wheel, which a package registry shows. Its blocks are run as they are,
but with the wheel in place of the package, and with the URL and the API key of a simulator.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import Parser
from pathlib import Path

from benchmarks.environments import (
    ROOT,
    VERSIONS,
    Environment,
    ProgramError,
    built_wheel,
    check_videos,
    interpreter,
    requirement,
    run,
    simulator,
    with_wheel,
)
from benchmarks.row import Row

LIMIT = 120.0
"""Seconds in which a newcomer has a video."""

_TIMEOUT = 900.0
_DEMO = "luma-async demo"
_DEMO_BLOCK = ['pip install "luma-async[demo]"\n', "luma-async demo\n"]
"""Block that is run if the README has no block with the demo."""

_GUARD = f"""
import os, sys

def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith({str(ROOT)!r}):
        raise RuntimeError(f"{{arguments[0]}} is a file of the repository")
    if event == "socket.connect" and arguments[1][0] not in ("127.0.0.1", "::1"):
        raise RuntimeError(f"{{arguments[1]}} is on the network")

if "pip" not in map(os.path.basename, sys.orig_argv):
    sys.addaudithook(refuse)
"""
"""Module that Python loads first: only pip may read the repository or use the network."""


def rows() -> Iterator[Row]:
    """Follow the README with the cache of pip and without it, on the newest Python."""
    python = next(filter(None, map(interpreter, reversed(VERSIONS))))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = built_wheel(folder / "dist")
        server = Environment.create(python, folder / "server")
        server.install(requirement(wheel, "demo"))
        with simulator(server) as url:
            scripts = scripts_of(readme_of(wheel), wheel, url)
            for cache, variables in (("with", {}), ("without", {"PIP_NO_CACHE_DIR": "1"})):
                for number, (way, script) in enumerate(scripts.items()):
                    environment = Environment.create(python, folder / f"{cache}-{number}")
                    what = f"first video of {way}, {cache} pip's cache"
                    yield _row(what, environment, script, variables)


def readme_of(wheel: Path) -> str:
    """Return the text that a wheel carries for its page."""
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return str(Parser().parsestr(archive.read(path).decode()).get_payload())


def scripts_of(readme: str, wheel: Path, url: str) -> dict[str, str]:
    """Return the two ways to a video as shell scripts.

    One is the first block of Python, with the shell blocks before it. The other is the first shell
    block with the demo. Of the shell blocks, all is run that installs packages and sets variables.
    """
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    before: list[str] = []
    scripts: dict[str, str] = {}
    for language, text in blocks:
        if language == "python":
            example = f"cat > example.py <<'END'\n{text}END\npython example.py\n"
            scripts.setdefault("the first example", _prepared([*before, example], wheel, url))
            continue
        lines = text.splitlines(keepends=True)
        before += [line for line in lines if line.startswith(("pip install ", "export "))]
        if any(line.startswith(_DEMO) for line in lines):
            wanted = [line for line in lines if line.startswith(("pip ", "export ", _DEMO))]
            scripts.setdefault("the demo", _prepared(wanted, wheel, url))
    scripts.setdefault("the demo", _prepared(_DEMO_BLOCK, wheel, url))
    return scripts


def _prepared(lines: list[str], wheel: Path, url: str) -> str:
    """Return a script with the wheel, and with the settings of a simulator."""
    script = "".join(
        with_wheel(line, wheel) if line.startswith("pip install ") else line for line in lines
    )
    script = re.sub(r"\bLUMA_API_KEY=\S+", "LUMA_API_KEY=any-key", script)
    return re.sub(r"\bLUMA_BASE_URL=\S+", f"LUMA_BASE_URL={url}", script)


def _row(what: str, environment: Environment, script: str, variables: Mapping[str, str]) -> Row:
    [packages] = environment.path.glob("lib/python*/site-packages")
    (packages / "sitecustomize.py").write_text(_GUARD, "utf-8")
    more = {"PIP_CACHE_DIR": _pip_cache(), "PYTHONWARNINGS": "default", **variables}
    start = time.monotonic()
    first = None
    with subprocess.Popen(
        ["/bin/sh", "-e", "-c", script],
        env=environment.variables(**more),
        cwd=environment.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while process.poll() is None and time.monotonic() - start < _TIMEOUT:
            if first is None and any(environment.folder.rglob("*.mp4")):
                first = time.monotonic() - start
            time.sleep(0.05)
        end = time.monotonic() - start
        process.kill()
        told, _ = process.communicate()
    if process.returncode != 0 or not check_videos(environment.folder):
        raise ProgramError(f"{script}\n{told}")
    first = end if first is None else first
    figure = f"{first:.0f} s after the start of pip; the program ended after {end:.0f} s"
    return Row(what, figure, f"under {LIMIT:g} s", first < LIMIT, {"seconds": first})


def _pip_cache() -> str:
    """Return the folder of the cache of pip. Programs have a home folder without one."""
    return run([sys.executable, "-m", "pip", "cache", "dir"]).strip()
