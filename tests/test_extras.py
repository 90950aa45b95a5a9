"""A missing extra is named at once, with the command that installs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked_programs import PYTHON, ForkedProgram

BLOCKED = """
import sys

for name in list(sys.modules):
    if name.partition(".")[0] in {modules}:
        del sys.modules[name]

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""
"""Beginning of a program in which some modules are not installed."""


def run(program: str, *missing: str, arguments: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Run a program without some modules; return its exit code, stdout and stderr."""
    with ForkedProgram(
        [*PYTHON, "-c", BLOCKED.format(modules=set(missing)) + program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        said, complaints = process.communicate(timeout=60)
    return process.returncode, said, complaints


@pytest.mark.parametrize(
    ("module", "missing", "install"),
    [
        ("luma_async.batch", "yaml", '"luma-async[batch]"'),
        ("luma_async.batch", "jinja2", '"luma-async[batch]"'),
        ("luma_async.batch.rows", "sqlalchemy", '"luma-async[batch]"'),
        ("luma_async.simulator", "av", '"luma-async[simulator]"'),
        ("luma_async.testing", "pytest", "pytest"),
    ],
)
def test_an_import_names_the_extra(module: str, missing: str, install: str) -> None:
    """It is an `ImportError` with the module's name, as for any missing module."""
    program = f"""
try:
    import {module}
except ImportError as error:
    print(error.name, error, sep="|")
"""
    code, said, _ = run(program, missing)

    name, _, text = said.strip().partition("|")
    assert code == 0
    assert name == missing
    assert text.endswith(f" needs {missing}: pip install {install}")


def test_the_fixtures_name_the_extra() -> None:
    """Their module is imported in every run of pytest, and fails only when it is used."""
    program = """
from luma_async.testing import running_simulator
try:
    running_simulator()
except ImportError as error:
    print(error)
"""
    _, said, _ = run(program, "av")

    assert said == 'luma_async.testing needs av: pip install "luma-async[simulator]"\n'


def test_a_journal_names_the_extra() -> None:
    """The client is not created, so that nothing is submitted without a journal."""
    program = """
from luma_async import ConfigurationError, LumaClient
try:
    LumaClient("sk-x", journal="jobs.db")
except ConfigurationError as error:
    print(error)
"""
    _, said, _ = run(program, "sqlalchemy")

    assert said == 'The journal needs sqlalchemy: pip install "luma-async[journal]"\n'


@pytest.mark.parametrize(
    ("missing", "extra", "arguments"),
    [
        ("jinja2", "batch", ("batch", "rows.csv")),
        ("jinja2", "batch", ("batch", "rows.csv", "--dry-run")),
        ("av", "simulator", ("simulate",)),
        ("av", "simulator", ("demo",)),
        ("typer", "cli", ()),
        ("typer", "cli", ("jobs",)),
        ("typer", "demo", ("demo",)),
        ("typer", "demo", ("simulate", "--speed", "20")),
        ("typer", "mcp", ("mcp",)),
        ("rich", "cli", ("jobs",)),
        ("platformdirs", "cli", ("jobs",)),
        ("mcp", "mcp", ("mcp",)),
    ],
)
def test_a_command_names_the_extra(missing: str, extra: str, arguments: tuple[str, ...]) -> None:
    """One line, no traceback, and the exit code of a usage error.

    Without any extra, it is the one that the command needs in the end.
    """
    code, said, complaint = run(
        "from luma_async.cli import main; main()", missing, arguments=arguments
    )

    assert (code, said) == (2, "")
    assert complaint.endswith(f' needs {missing}: pip install "luma-async[{extra}]"\n')
    assert len(complaint.splitlines()) == 1


def test_another_missing_module_keeps_its_traceback(tmp_path: Path) -> None:
    """An error in an installation is not taken for a missing extra."""
    code, _, complaint = run(
        "from luma_async.cli import main; main()", "aiohttp", arguments=("jobs",)
    )

    assert code == 1
    assert "No module named 'aiohttp'" in complaint


def test_the_package_runs_the_command_line() -> None:
    """`python -m luma_async` is `luma-async`."""
    said = subprocess.check_output(
        [sys.executable, "-m", "luma_async", "--version"], text=True, timeout=60
    )

    assert said.startswith("luma-async 0.")
