"""Settle uncertain jobs: mark them accepted or rejected in the journal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio.to_thread

from luma_async.cli.age import format_age, parse_age
from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.terminal import Terminal
from luma_async.cli.text import clean
from luma_async.dialects.known_apis import DialectName, api_with_url
from luma_async.dialects.server_advice import search_for_lost_jobs
from luma_async.errors import InvalidRequestError, JournalError
from luma_async.journal import Entry, EntryState, SQLJournal

_MAX_LISTED = 20
"""Maximum number of jobs to list before a question, so that the list stays on the screen."""

_MAX_PROMPT_CHARACTERS = 60
"""A longer prompt is cut, so that a job stays in its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleOptions:
    """Options of `luma-async settle`; `id` and `resubmit` apply to all of the jobs.

    The jobs are named by `keys` or in the file `ids`, or selected among the uncertain ones by
    `every`, `prefix` and `older_than`.
    """

    keys: tuple[str, ...] = ()
    ids: str | None = None
    every: bool = False
    prefix: str | None = None
    older_than: str | None = None
    id: str | None = None
    resubmit: bool = False
    dry_run: bool = False
    yes: bool = False

    @property
    def selects(self) -> bool:
        """`True` if uncertain jobs are selected, `False` if jobs are named."""
        return self.every or self.prefix is not None or self.older_than is not None

    def check(self) -> None:
        """Check that the options go together.

        Raises:
            InvalidRequestError: options contradict each other, or are missing.

        """
        ways = [bool(self.keys), self.ids is not None, self.selects]
        if ways.count(True) != 1:
            raise InvalidRequestError.of(
                "settle",
                "exactly one of these is needed: job keys, --ids, or a selection with --all, "
                "--prefix and --older-than",
            )
        if self.ids is not None:
            if self.id is not None:
                raise InvalidRequestError.of("settle", "--id cannot be used together with --ids")
        elif (self.id is None) is not self.resubmit:
            raise InvalidRequestError.of("settle", "either --id ID or --resubmit is needed")
        if self.id is not None and len(self.keys) != 1:
            raise InvalidRequestError.of(
                "settle", "--id can be used with one job key only; use --ids FILE for several"
            )

    def select(self, uncertain: list[Entry]) -> dict[str, Entry]:
        """Return the selected entries by job key.

        Raises:
            InvalidRequestError: `older_than` is not a valid age.

        """
        min_age = 0.0 if self.older_than is None else parse_age(self.older_than)
        now = datetime.now(UTC)
        return {
            entry.key: entry
            for entry in uncertain
            if entry.key.startswith(self.prefix or "")
            and (now - entry.submitted_at).total_seconds() >= min_age
        }


async def settle_jobs(
    terminal: Terminal, connection: Connection, options: SettleOptions
) -> ExitCode:
    """Settle uncertain jobs, all of them or none, and print their new states.

    Raises:
        LumaError: an option is not valid, a job is not uncertain, or the journal cannot be used.

    """
    options.check()
    if options.older_than is not None:
        parse_age(options.older_than)
    place = connection.journal_that_exists
    if place is None:
        raise JournalError(
            f"Journal not found: {connection.journal_place}. There is nothing to settle."
        )
    async with SQLJournal(place) as journal:
        if options.ids is not None:
            ids, entries = await _read_list(terminal, journal, options, options.ids)
        elif options.selects:
            entries = options.select(await journal.uncertain())
            ids = dict.fromkeys(entries)
        else:
            ids = dict.fromkeys(options.keys, options.id)
            entries = await _find(journal, ids)
        if not ids:
            terminal.say("No such jobs are uncertain.")
        elif options.dry_run:
            await _preview(terminal, journal, ids, entries)
        elif not options.selects or options.yes:
            await _settle(terminal, journal, ids, entries)
        elif not _is_confirmed(terminal, entries):
            terminal.say("No job was settled.")
            return ExitCode.FAILED
        elif await _find(journal, entries) != entries:
            # Other processes may have settled or submitted some while the question was open.
            raise JournalError("Some of these jobs have changed meanwhile; no job was settled.")
        else:
            await _settle(terminal, journal, ids, entries)
    return ExitCode.DONE


async def _read_list(
    terminal: Terminal, journal: SQLJournal, options: SettleOptions, place: str
) -> tuple[dict[str, str | None], dict[str, Entry]]:
    """Return the ids in a list, and the journal's entries, by job key.

    Raises:
        ManifestError: lines are not valid, or contradict the journal.
        KeyboardInterrupt: the user interrupts the input.

    """
    # They load what batches need.
    from luma_async.cli.ids import STDIN, invalid_lines, read_ids  # noqa: PLC0415

    if place == STDIN:
        if terminal.can_ask:
            terminal.say("Reading job keys and ids from standard input, until Ctrl-D.")
        lines, problems = read_ids(place)
    else:
        lines, problems = await anyio.to_thread.run_sync(read_ids, place)
    numbers: dict[str, int] = {}
    ids: dict[str, str | None] = {}
    for number, key, id in lines:
        if key in numbers:
            problems[number] = f"{key!r} is already in line {numbers[key]}"
        elif id is None and not options.resubmit:
            problems[number] = f"{key!r} has no id; --resubmit marks jobs without an id rejected"
        else:
            numbers[key], ids[key] = number, id
    entries = await _find(journal, ids)
    unsettleable = await journal.unsettleable(_unsettled(ids, entries))
    problems |= {numbers[key]: problem for key, problem in unsettleable.items()}
    if problems:
        raise invalid_lines(place, problems)
    return ids, entries


async def _find(journal: SQLJournal, keys: Mapping[str, object]) -> dict[str, Entry]:
    entries = await asyncio.gather(*map(journal.find, keys))
    return {entry.key: entry for entry in entries if entry is not None}


def _unsettled(
    ids: Mapping[str, str | None], entries: Mapping[str, Entry]
) -> dict[str, str | None]:
    """Return the ids without those that an earlier run has settled in the same way.

    A list may be read again after more of its ids were filled in.
    """

    def is_settled(key: str, id: str | None) -> bool:
        entry = entries.get(key)
        if entry is None or id is None:
            return False
        return entry.state is not EntryState.UNCERTAIN and entry.id == id

    return {key: id for key, id in ids.items() if not is_settled(key, id)}


async def _settle(
    terminal: Terminal,
    journal: SQLJournal,
    ids: Mapping[str, str | None],
    entries: Mapping[str, Entry],
) -> None:
    await journal.settle_many(_unsettled(ids, entries))
    for key, id in ids.items():
        outcome = "rejected, may be submitted again" if id is None else f"accepted as {id}"
        terminal.result(f"{key}: {outcome}", _fields(key, id, settled=True))
    if len(ids) > 1:
        rejected = list(ids.values()).count(None)
        terminal.say(
            f"{len(ids):,} jobs settled: {len(ids) - rejected:,} accepted, {rejected:,} rejected."
        )


async def _preview(
    terminal: Terminal,
    journal: SQLJournal,
    ids: Mapping[str, str | None],
    entries: Mapping[str, Entry],
) -> None:
    """Print the changes without making them.

    Raises:
        JournalError: the changes could not be made.

    """
    if problems := await journal.unsettleable(_unsettled(ids, entries)):
        raise JournalError(f"No job would be settled: {'; '.join(problems.values())}.")
    for key, id in ids.items():
        outcome = "would be rejected" if id is None else f"would be accepted as {id}"
        terminal.result(f"{describe(entries[key])}: {outcome}", _fields(key, id, settled=False))
    jobs = "1 job" if len(ids) == 1 else f"{len(ids):,} jobs"
    terminal.say(f"{jobs} would be settled; nothing was changed.")


def _is_confirmed(terminal: Terminal, entries: Mapping[str, Entry]) -> bool:
    """Return `True` if a person confirms that the selected jobs were rejected.

    Raises:
        InvalidRequestError: nobody can be asked.

    """
    if not terminal.can_ask:
        raise InvalidRequestError.of(
            "settle",
            f"{_jobs(len(entries))} would be marked rejected, and may be paid for twice if they "
            "were accepted. List them with --dry-run, then confirm with --yes",
        )
    for entry in list(entries.values())[:_MAX_LISTED]:
        terminal.say(f"  {describe(entry)}")
    if len(entries) > _MAX_LISTED:
        terminal.say(f"  and {len(entries) - _MAX_LISTED:,} more (--dry-run lists all)")
    terminal.say(
        "A job that was accepted, and is submitted again, is paid for twice. "
        f"{' '.join(searches(entries))}"
    )
    return terminal.ask(f"Mark {_jobs(len(entries))} rejected, to be submitted again?")


def searches(entries: Mapping[str, Entry]) -> list[str]:
    """Return a sentence for each API with uncertain jobs, about the place where they are found."""
    counts = Counter(_dialect_name(entry) for entry in entries.values())
    searches = {
        name: search_for_lost_jobs(name, "it" if count == 1 else "them")
        for name, count in counts.items()
    }
    if len(searches) == 1:
        return list(searches.values())
    return [f"Dialect {name}: {search}" for name, search in searches.items()]


def _dialect_name(entry: Entry) -> DialectName:
    return api_with_url(entry.server).name


def _jobs(count: int) -> str:
    return "1 uncertain job" if count == 1 else f"{count:,} uncertain jobs"


def describe(entry: Entry) -> str:
    """Return the line about an uncertain job: all by which a person may find it at the server."""
    age = format_age((datetime.now(UTC) - entry.submitted_at).total_seconds())
    prompt = str(entry.request.get("prompt", ""))
    if len(prompt) > _MAX_PROMPT_CHARACTERS:
        prompt = f"{prompt[: _MAX_PROMPT_CHARACTERS - 3]}..."
    # Luma's support finds a job of the Agents API by its request id only.
    is_asked_for = _dialect_name(entry) == "agents" and entry.request_id is not None
    request_id = f"  (request id {entry.request_id})" if is_asked_for else ""
    return clean(f"{entry.key}  {age} ago  {prompt}{request_id}")


def _fields(key: str, id: str | None, *, settled: bool) -> dict[str, object]:
    return {"key": key, "id": id, "resubmit": id is None, "settled": settled}
