"""What to type for a row that has no video."""

from __future__ import annotations

from typing import NamedTuple

from luma_async.batch.result import Result, ResultState
from luma_async.shell import shell_word


class Commands(NamedTuple):
    """The command lines of a batch: what continues it, tries failed rows again, settles a key."""

    go_on: str
    retry: str | None = None
    settle: str | None = None


class Step(NamedTuple):
    """A command line, and what it is for."""

    purpose: str
    command: str


def steps(result: Result, commands: Commands) -> list[Step]:
    """Return what gets a row its video."""
    go_on, retry = commands.go_on, commands.retry
    match result.state:
        case ResultState.DONE:
            wanted: list[tuple[str, str | None]] = []
        case ResultState.FAILED:
            wanted = [("Try it again", retry)]
        case ResultState.LOST:
            wanted = [("Look for it again", go_on), ("Pay for it again", retry)]
        case ResultState.UNCERTAIN:
            wanted = [*_settling(result, commands.settle), ("Once that is settled", go_on)]
        case ResultState.NOT_DOWNLOADED:
            wanted = [("Download it", go_on)]
        case ResultState.NOT_STARTED:
            wanted = [("Go on", go_on)]
    return [Step(purpose, command) for purpose, command in wanted if command is not None]


def _settling(result: Result, settle: str | None) -> list[tuple[str, str]]:
    if settle is None:
        return []
    id = shell_word(result.id or "TASK_ID")
    return [
        ("If it was not taken", _about(result.key, settle, "--resubmit")),
        ("If it was, name its task", _about(result.key, settle, f"--id {id}")),
    ]


def _about(key: str, command: str, option: str) -> str:
    if key.startswith("-"):  # which would be read as an option itself
        return f"{command} {option} -- {shell_word(key)}"
    return f"{command} {shell_word(key)} {option}"
