"""Features of all commands: the API key, exit codes, help, completion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main

from luma_async.cli.app import app
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.options import RATIOS, STATES
from luma_async.errors import APIConnectionError, APITimeoutError, InvalidRequestError, LumaError
from luma_async.journal import EntryState
from luma_async.request_fields import AspectRatio
from luma_async.testing import running_simulator
from tests.cli.commands import KEY, Shell

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

SCRIPTED = sorted(set(COMMANDS) - {"mcp"})
"""Commands for people and scripts. Standard output of `mcp` belongs to a protocol."""

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([None, None], 0),
        ([None, LumaError()], 1),
        ([LumaError(), APIConnectionError()], 1),
        ([InvalidRequestError({})], 2),
        ([APIConnectionError(), APITimeoutError()], 3),
        ([APIConnectionError(), None], 1),
    ],
)
def test_exit_codes_tell_what_became_of_all(errors: list[LumaError | None], code: int) -> None:
    """3 is for nothing that could be reached at all."""
    assert ExitCode.of(errors) == code


def test_the_key_and_the_gateway_come_from_a_file(tmp_path: Path) -> None:
    """`.env` of the current folder, where the environment says nothing."""
    with running_simulator(api_key=KEY) as sim:
        (tmp_path / ".env").write_text(f"export LUMA_API_KEY='{KEY}'\nLUMA_BASE_URL={sim.url}\n")
        done = Shell(tmp_path, key=None).run("generate", "a cat", "--no-wait")

    assert done.returncode == 0
    assert len(sim.ledger.jobs) == 1


def test_a_missing_key_is_asked_for(tmp_path: Path) -> None:
    """Exit code 2; the problem in the file is printed without the file's content."""
    (tmp_path / ".env").write_text(f"LUMA_API_KEY='{KEY}\n")
    done = Shell(tmp_path, key=None).run("get", "some-id")

    assert done.returncode == 2
    assert done.stderr.startswith("There is no API key. Set LUMA_API_KEY")
    assert "line 1 of .env" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "a cat", "--api-key", KEY],
        [f"--api-key={KEY}", "generate", "a cat"],
        ["simulate", "--api-key", KEY],
        ["generate", "a cat", "--API-Key", KEY],
        ["generate", "a cat", "--key", KEY],
    ],
)
def test_no_key_is_taken_from_the_command_line(arguments: list[str], tmp_path: Path) -> None:
    """The error names the right places for an API key, and does not repeat it."""
    done = Shell(tmp_path, key=None).run(*arguments)

    assert done.returncode == 2
    assert "LUMA_API_KEY" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_prompt_may_look_like_an_option_for_a_key(tmp_path: Path) -> None:
    """After `--` there are words only."""
    with running_simulator(api_key=KEY) as sim:
        done = Shell.at(sim, tmp_path).run("generate", "--no-wait", "--", "--token")

        assert [job.request["user_prompt"] for job in sim.ledger.jobs] == ["--token"]
    assert done.returncode == 0


BAD_USAGE = [
    (["generate", "a cat", "--aspect-ratio", "5:4"], "aspect_ratio: '5:4' is not valid"),
    (["generate", "a cat", "--extra", "[7]"], "extra: must be a JSON object"),
    (
        ["generate", "a cat", "--base-url", "gateway"],
        "base_url must look like https://host[/prefix], got 'gateway'",
    ),
    (["generate", "a cat", "--no-wait", "--output", "x"], "contradict each other"),
    (["generate", "a cat", "--retry-failed"], "--retry-failed needs --key"),
    (["image", "a cat", "--retry-failed", "--no-wait", "--json"], "--retry-failed needs --key"),
    (["extend", "some-id", "more", "--loop"], "No such option"),
    (["jobs", "--state", "lazy"], "state: must be one of submitting"),
    (["simulate", "--host", "", "--port", "0"], "--host must not be empty"),
]


@pytest.mark.usefixtures("quick_retries")
def test_a_host_that_is_not_there_is_told_from_bad_usage(tmp_path: Path) -> None:
    """Exit code 3, after some tries; 2 at once, before anything is sent."""
    shell = Shell(tmp_path, url=NOWHERE)
    tried = shell.run("generate", "a cat")
    done = [(shell.run(*arguments), said) for arguments, said in BAD_USAGE]

    assert (tried.returncode, tried.stdout) == (3, "")
    assert "the job was not accepted" in tried.stderr
    for bad, said in done:
        assert (bad.returncode, bad.stdout) == (2, "")
        assert said in bad.stderr


def test_a_journal_that_cannot_be_is_told(tmp_path: Path) -> None:
    """No job is submitted without a journal."""
    (tmp_path / "file").write_text("")
    done = Shell(tmp_path, url=NOWHERE).run("generate", "a cat", "--journal", "file/jobs.db")

    assert done.returncode == 1
    assert "Nothing was submitted. Choose another place with --journal" in done.stderr


def test_help_tells_the_exit_codes(tmp_path: Path) -> None:
    """And every command is there."""
    done = Shell(tmp_path).run("--help")

    text = " ".join(done.stdout.split())
    for command in ("generate", "extend", "get", "watch", "download", "resume", "jobs", "settle"):
        assert f" {command} " in text
    for code in ExitCode:
        assert f" {code.value} " in text.partition("Exit codes:")[2]


@pytest.mark.parametrize("name", SCRIPTED)
def test_every_command_has_json(name: str) -> None:
    """A script need not read sentences, whatever it runs."""
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}

    assert "--json" in options


FAILING = {
    "generate": ["a cat", "--aspect-ratio", "5:4"],
    "extend": ["some-id", "a cat", "--extra", "[7]"],
    "edit": ["some-id", "a cat", "--controls", "{"],
    "reframe": ["some-id", "5:4"],
    "image": ["a cat", "--style", "oil"],
    "edit-image": ["some-id", "a cat", "--format", "bmp"],
    "layers": ["some-id", "--resolution", "9k"],
    "get": ["some-id"],
    "watch": ["some-id"],
    "download": ["some-id"],
    "batch": ["nowhere.csv"],
    "resume": ["--journal", "nowhere.db"],
    "jobs": ["--state", "lazy"],
    "settle": ["dog"],
    "list": [],
    "delete": ["some-id"],
    "credits": [],
    "demo": ["--folder", "."],
    "simulate": ["--host", "203.0.113.1"],
}
"""Arguments with which each command ends with an error."""


@pytest.mark.parametrize("name", SCRIPTED)
def test_a_script_gets_the_error_that_ends_a_command(name: str, tmp_path: Path) -> None:
    """It is the only line of stdout, an object with the sentence that people get on stderr."""
    (tmp_path / "mine").write_text("")
    (error,) = Shell(tmp_path, key=None).lines(name, *FAILING[name])
    done = Shell(tmp_path, key=None).run(name, *FAILING[name])

    assert {"error", "error_type"} <= {*error}
    assert error["error"][:40] in done.stderr
    assert done.stdout == ""
    assert done.returncode in (1, 2)


def test_completion_is_offered(tmp_path: Path) -> None:
    """The script for a shell is printed, and commands and values are completed."""
    environment = {
        "_LUMA_ASYNC_COMPLETE": "complete_bash",
        "COMP_WORDS": "luma-async ge",
        "COMP_CWORD": "1",
    }
    offered = Shell(tmp_path, more=environment).run()
    environment |= {"COMP_WORDS": "luma-async generate x --aspect-ratio 16", "COMP_CWORD": "4"}
    ratios = Shell(tmp_path, more=environment).run()
    script = Shell(tmp_path, more={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}).run(
        "--show-completion", "bash"
    )

    assert offered.stdout.split() == ["generate", "get"]
    assert ratios.stdout.split() == ["16:9"]
    assert "complete -o default -F _luma_async_completion luma-async" in script.stdout


def test_what_completion_offers_is_what_there_is() -> None:
    """The words are written twice, for loading the models takes too long for a completion."""
    assert set(RATIOS) == set(get_args(AspectRatio))
    assert set(STATES) == set(EntryState)


def test_the_command_line_starts_without_pydantic() -> None:
    """The version, the list of commands and completions appear at once."""
    program = (
        "import sys\n"
        "from luma_async.cli.environment import reject_api_key_options\n"
        "from luma_async.cli.app import app\n"
        "sys.exit('pydantic' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)

    assert done.returncode == 0


def test_help_loads_nothing_that_only_work_needs() -> None:
    """Help appears at once."""
    program = (
        "import sys\n"
        "from luma_async.cli.app import app\n"
        "app(['generate', '--help'], standalone_mode=False)\n"
        "heavy = {'aiohttp', 'av', 'sqlalchemy', 'PIL', 'asyncio'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
