"""Change signals: tell other processes, within a transaction, what it changes about jobs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.journal.shared_journal import Change, digest_of
from luma_async.journal.sql import queries
from luma_async.journal.sql.operations import (
    Finish,
    Forget,
    MarkEnded,
    Operation,
    Rejected,
    Release,
)
from luma_async.journal.sql.schema import owners
from luma_async.journal.sql.signal_sender import Signal

TOPIC = "change"
"""Topic of the signals about changes of jobs."""

_FREES, _RELEASED = "free", "released"
"""Words in a payload. The other words are digests of the ids of ended jobs."""

_MOST_DIGESTS = 400
"""Maximum number of digests in one payload."""


def change_of(group: Sequence[Operation]) -> Change | None:
    """Return what a group of operations changes for other processes, or `None` if it is nothing."""
    ended: set[str] = set()
    frees_place = is_released = False
    for operation in group:
        if isinstance(operation, Finish):
            ended.update(digest_of(end.id) for end in operation.ends)
        elif isinstance(operation, Release):
            is_released = True
        elif isinstance(operation, MarkEnded | Rejected | Forget):
            frees_place = True
    if not (ended or frees_place or is_released):
        return None
    return Change(frozenset(ended), frees_place or bool(ended), is_released)


def payloads_of(change: Change) -> list[str]:
    """Return the payloads of the signals for a change."""
    flags = [_FREES] * change.frees_place + [_RELEASED] * change.is_released
    digests = sorted(change.ended)
    starts = range(0, max(len(digests), 1), _MOST_DIGESTS)
    return [" ".join([*flags, *digests[start : start + _MOST_DIGESTS]]) for start in starts]


def parse_change(payload: str) -> Change:
    """Return the change of a payload."""
    words = frozenset(payload.split(" "))
    return Change(words - {_FREES, _RELEASED, ""}, _FREES in words, _RELEASED in words)


async def send_change(connection: AsyncConnection, change: Change, sender: str) -> None:
    """Send a change to the other processes, if there may be any, when the transaction ends."""
    others = select(exists().where(owners.c.owner != sender))
    if await connection.scalar(others):
        sent = [Signal(sender, TOPIC, payload) for payload in payloads_of(change)]
        await queries.send_signals(connection, sent)
