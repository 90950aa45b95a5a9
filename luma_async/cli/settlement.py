"""`luma-async settle`: which uncertain jobs were accepted, as the gateway's list of tasks tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio.to_thread

from luma_async.cli.age import age_of, seconds_of
from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.terminal import Terminal
from luma_async.cli.text import clean
from luma_async.errors import InvalidRequestError, JournalError
from luma_async.journal import Entry, EntryState, SQLJournal

_MOST_LISTED = 20
"""Jobs that are listed before a question."""

_WHICH = "name the jobs by their keys, by --ids, or by --all, --prefix and --older-than"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The jobs to settle, and how: `id` and `resubmit` are for all of them.

    They are named by `keys`, by `ids` (a file of keys and ids), or chosen among all that are
    uncertain by `prefix` and by `older_than`.
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
    def chooses(self) -> bool:
        """Whether the jobs are chosen among those that are uncertain, and not named."""
        return self.every or self.prefix is not None or self.older_than is not None

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            InvalidRequestError: it does.

        """
        ways = [bool(self.keys), self.ids is not None, self.chooses]
        if ways.count(True) != 1:
            raise InvalidRequestError.of("settle", f"{_WHICH}; one of these three is needed")
        if self.ids is not None:
            if self.id is not None:
                raise InvalidRequestError.of("settle", "--ids has the ids, and --id is one more")
        elif (self.id is None) is not self.resubmit:
            raise InvalidRequestError.of("settle", "say either --id ID or --resubmit")
        if self.id is not None and len(self.keys) != 1:
            raise InvalidRequestError.of("settle", "--id is for one key; --ids FILE is for more")

    def choice(self, uncertain: list[Entry]) -> dict[str, Entry]:
        """Return the chosen ones of the uncertain jobs, by key.

        Raises:
            InvalidRequestError: there is no such age.

        """
        least = 0.0 if self.older_than is None else seconds_of(self.older_than)
        now = datetime.now(UTC)
        return {
            entry.key: entry
            for entry in uncertain
            if entry.key.startswith(self.prefix or "")
            and (now - entry.submitted_at).total_seconds() >= least
        }


async def settle(terminal: Terminal, connection: Connection, order: Order) -> ExitCode:
    """Settle uncertain jobs, all of them or none, and print what each is now.

    Raises:
        LumaError: jobs cannot be settled so, or the journal cannot be used.

    """
    order.check()
    if order.older_than is not None:
        seconds_of(order.older_than)
    place = connection.journal_that_exists
    if place is None:
        raise JournalError(f"There is no journal at {connection.journal_place}: nothing to settle.")
    async with SQLJournal(place) as journal:
        if order.ids is not None:
            ids, entries = await _listed(journal, order, order.ids)
        elif order.chooses:
            entries = order.choice(await journal.uncertain())
            ids = dict.fromkeys(entries)
        else:
            ids = dict.fromkeys(order.keys, order.id)
            entries = await _found(journal, ids)
        if not ids:
            terminal.say("No such jobs are uncertain.")
        elif order.dry_run:
            await _show_plan(terminal, journal, ids, entries)
        elif not order.chooses or order.yes:
            await _settle(terminal, journal, ids, entries)
        elif not _is_confirmed(terminal, entries):
            terminal.say("Nothing was settled.")
            return ExitCode.FAILED
        elif await _found(journal, entries) != entries:
            raise JournalError("Some of these jobs changed meanwhile; nothing was settled.")
        else:
            await _settle(terminal, journal, ids, entries)
    return ExitCode.DONE


async def _listed(
    journal: SQLJournal, order: Order, place: str
) -> tuple[dict[str, str | None], dict[str, Entry]]:
    """Return the ids in a file, and the entries under their keys.

    Raises:
        ManifestError: some lines are wrong, or do not fit the journal.

    """
    from luma_async.cli.ids import read_ids, wrong  # noqa: PLC0415  it loads what batches need

    lines, problems = await anyio.to_thread.run_sync(read_ids, place)
    numbers: dict[str, int] = {}
    ids: dict[str, str | None] = {}
    for number, key, id in lines:
        if key in numbers:
            problems[number] = f"{key!r} is in line {numbers[key]}, too"
        elif id is None and not order.resubmit:
            problems[number] = f"{key!r} has no id; --resubmit frees the keys without one"
        else:
            numbers[key], ids[key] = number, id
    entries = await _found(journal, ids)
    new = {key: id for key, id in ids.items() if not _is_so(entries.get(key), id)}
    unsettleable = await journal.unsettleable(new)
    problems |= {numbers[key]: problem for key, problem in unsettleable.items()}
    if problems:
        raise wrong(place, problems)
    return ids, entries


async def _found(journal: SQLJournal, keys: Mapping[str, object]) -> dict[str, Entry]:
    entries = await asyncio.gather(*map(journal.find, keys))
    return {entry.key: entry for entry in entries if entry is not None}


def _is_so(entry: Entry | None, id: str | None) -> bool:
    """Whether a journal has an id for a job already, from a list that is read once more."""
    is_settled = entry is not None and entry.state is not EntryState.UNCERTAIN
    return entry is not None and is_settled and id is not None and entry.id == id


async def _settle(
    terminal: Terminal,
    journal: SQLJournal,
    ids: Mapping[str, str | None],
    entries: Mapping[str, Entry],
) -> None:
    await journal.settle_many(
        {key: id for key, id in ids.items() if not _is_so(entries.get(key), id)}
    )
    for key, id in ids.items():
        became = "is free: asked for again, it is submitted" if id is None else f"runs as {id}"
        terminal.result(f"{key} {became}.", _fields(key, id, settled=True))
    if len(ids) > 1:
        free = list(ids.values()).count(None)
        terminal.say(f"{len(ids):,} jobs are settled: {len(ids) - free:,} by id, {free:,} free.")


async def _show_plan(
    terminal: Terminal,
    journal: SQLJournal,
    ids: Mapping[str, str | None],
    entries: Mapping[str, Entry],
) -> None:
    """Print what would be done, and change nothing.

    Raises:
        JournalError: it could not be done.

    """
    new = {key: id for key, id in ids.items() if not _is_so(entries.get(key), id)}
    if problems := await journal.unsettleable(new):
        raise JournalError(f"Nothing would be settled: {'; '.join(problems.values())}.")
    for key, id in ids.items():
        would = "would be free" if id is None else f"would run as {id}"
        terminal.result(f"{_told(entries[key])}: {would}", _fields(key, id, settled=False))
    jobs = "1 job" if len(ids) == 1 else f"{len(ids):,} jobs"
    terminal.say(f"{jobs} would be settled; nothing was changed.")


def _is_confirmed(terminal: Terminal, entries: Mapping[str, Entry]) -> bool:
    """Ask a person whether to free the keys of jobs that were chosen and not named.

    Raises:
        InvalidRequestError: there is nobody to ask.

    """
    if not terminal.can_ask:
        raise InvalidRequestError.of(
            "settle",
            f"{_jobs(len(entries))} would be free to be submitted again, and paid for twice if "
            "accepted before. See them with --dry-run, then say --yes",
        )
    for entry in list(entries.values())[:_MOST_LISTED]:
        terminal.say(f"  {_told(entry)}")
    if len(entries) > _MOST_LISTED:
        terminal.say(f"  and {len(entries) - _MOST_LISTED:,} more (--dry-run lists all)")
    terminal.say(
        "A job that was accepted, and is submitted again, is paid for twice: look for "
        f"{'it' if len(entries) == 1 else 'them'} in your gateway's list of tasks first."
    )
    return terminal.ask(f"Free {_jobs(len(entries))} to be submitted again?")


def _jobs(count: int) -> str:
    return "1 uncertain job" if count == 1 else f"{count:,} uncertain jobs"


def _told(entry: Entry) -> str:
    age = age_of((datetime.now(UTC) - entry.submitted_at).total_seconds())
    prompt = str(entry.request.get("prompt", ""))
    shown = prompt if len(prompt) <= 60 else f"{prompt[:57]}..."
    return clean(f"{entry.key}  {age} ago  {shown}")


def _fields(key: str, id: str | None, *, settled: bool) -> dict[str, object]:
    return {"key": key, "id": id, "resubmit": id is None, "settled": settled}
