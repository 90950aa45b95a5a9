"""Next steps: the command lines that get a video for a row that has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from luma_async.batch.results import Result, ResultState
from luma_async.dialects.server_advice import search_for_lost_jobs
from luma_async.shell import command_about, shell_word

MAX_NAMED = 20
"""Maximum number of job keys in one command line; a longer one would not be readable."""


LIST_JOBS = "luma-async list"
"""Command line that lists the jobs of the account at the server."""

SettleAll = str | Callable[[Sequence[str]], str]
"""Command line that frees all uncertain rows, or a function of their job keys that returns it."""


class Commands(NamedTuple):
    """Command lines of a batch.

    `resume` continues the batch, and `retry` also submits failed rows again. `settle`, followed by
    the job key of an uncertain row, settles it, and `settle_all` frees all uncertain rows. `redo`,
    followed by `--redo` and the job key of a row, submits the row anew. `listing` lists the jobs of
    the account at the server, if the API with the name `dialect` has such a list.
    """

    resume: str
    retry: str | None = None
    settle: str | None = None
    settle_all: SettleAll | None = None
    redo: str | None = None
    dialect: str | None = None
    listing: str = LIST_JOBS

    def free(self, keys: Sequence[str], settle: str) -> str:
        """Return the command line that frees all uncertain rows; `keys` are theirs."""
        if self.settle_all is None:
            return settle_all(keys, settle, has_others=False)
        return self.settle_all if isinstance(self.settle_all, str) else self.settle_all(keys)


class Step(NamedTuple):
    """A command line with its purpose."""

    purpose: str
    command: str


def steps(result: Result, commands: Commands) -> list[Step]:
    """Return the steps that may get a row its video."""
    resume, retry = commands.resume, commands.retry
    match result.state:
        case ResultState.DONE:
            wanted: list[tuple[str, str | None]] = []
        case ResultState.FAILED:
            wanted = [("Try it again", retry)]
        case ResultState.LOST:
            wanted = [("Look for it again", resume), ("Pay for it again", retry)]
        case ResultState.UNCERTAIN:
            wanted = [*_settling(result, commands.settle), ("Once that is settled", resume)]
        case ResultState.NOT_DOWNLOADED:
            wanted = [("Download it", resume)]
        case ResultState.NOT_STARTED:
            wanted = [("Continue the batch", resume)]
    if result.note is not None and commands.redo is not None:
        wanted.append((result.note, f"{commands.redo} {redo_option(result.key)}"))
    return [Step(purpose, command) for purpose, command in wanted if command is not None]


def redo_option(key: str) -> str:
    """Return the option that submits a row anew, quoted for the shell."""
    word = shell_word(key)
    return f"--redo={word}" if key.startswith("-") else f"--redo {word}"


def _settling(result: Result, settle: str | None) -> list[tuple[str, str]]:
    if settle is None:
        return []
    id = shell_word(result.id or "JOB_ID")
    return [
        ("If it was not accepted", command_about(settle, result.key, options="--resubmit")),
        ("If it was, with the id JOB_ID", command_about(settle, result.key, options=f"--id {id}")),
    ]


def settling_steps(results: Sequence[Result], commands: Commands) -> list[Step]:
    """Return the steps that settle all uncertain rows of a batch, and then continue it."""
    keys = [result.key for result in results if result.state is ResultState.UNCERTAIN]
    if not keys or commands.settle is None:
        return []
    rest = commands.free(keys, commands.settle)
    accepted = settle_accepted(keys, commands.settle)
    if len(keys) == 1:
        labels = ("If it is there, with the id JOB_ID", "If it is not", "Once it is settled")
    else:
        there = "Settle those that are there first; FILE has lines KEY ID"
        labels = (there, "Then free the rest to be submitted again", "Then continue the batch")
    steps = zip(labels, (accepted, rest, commands.resume), strict=True)
    return [Step(purpose, command) for purpose, command in steps]


class Notice(NamedTuple):
    """Notice at the top of the gallery: a summary in bold, the rest of the text, and its steps."""

    summary: str
    text: str
    steps: list[Step]


def notices(results: Sequence[Result], commands: Commands, *, left: int) -> list[Notice]:
    """Return the notices about uncertain rows, and about rows that are `left` to do."""
    found = []
    if settling := settling_steps(results, commands):
        uncertain = sum(result.state is ResultState.UNCERTAIN for result in results)
        rows, them = ("1 row is", "it") if uncertain == 1 else (f"{uncertain:,} rows are", "them")
        search = search_for_lost_jobs(commands.dialect, them, command=commands.listing)
        # A command in it stays as it is typed.
        text, *quoted = search.split("`")
        search = "`".join([text.replace("'", "’"), *quoted])  # noqa: RUF001
        found.append(Notice(f"{rows} uncertain", f"and may be paid for. {search}", settling))
    if left:
        rows = "1 row is" if left == 1 else f"{left:,} rows are"
        steps = [Step("Continue the batch", commands.resume)]
        found.append(Notice(f"{rows} still to do", "in this batch.", steps))
    return found


def settle_all(keys: Sequence[str], settle: str, *, has_others: bool) -> str:
    """Return the command line that frees uncertain job keys to be submitted again.

    `has_others` is `True` if the journal may have uncertain jobs of other programs: then the
    job keys are named.
    """
    if keys and (len(keys) == 1 or (has_others and len(keys) <= MAX_NAMED)):
        return command_about(settle, *keys, options="--resubmit")
    return f"{settle} --all --resubmit"


def settle_accepted(keys: Sequence[str], settle: str) -> str:
    """Return the command line that settles uncertain job keys with the ids of their jobs."""
    if len(keys) == 1:
        return command_about(settle, *keys, options="--id JOB_ID")
    return f"{settle} --ids FILE"
