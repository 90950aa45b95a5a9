"""Change signals: tell other processes about the changes that a transaction makes to jobs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select, text
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

_FREED, _TAKEN, _RELEASED = "free:", "taken:", "released"
"""Words in a payload; a number of places follows the first two. The other words are digests of the
ids of ended jobs."""

_NOTIFY_OTHERS = text(
    f"SELECT pg_notify({queries.CHANNEL}, text) FROM unnest(CAST(:texts AS text[])) AS text"  # noqa: S608
    " WHERE EXISTS (SELECT 1 FROM luma_owners WHERE owner <> :sender)"
)
"""Statement that sends signals if there are other processes."""

_MOST_DIGESTS = 400
"""Maximum number of digests in one payload."""

_MOST_DIGITS = 6
"""Maximum number of digits of a number in a payload."""


def change_of(group: Sequence[Operation], *, taken: int = 0) -> Change | None:
    """Return the changes of a group of operations for other processes, or `None` without any.

    `taken` is the number of claims in it that took the last free places.
    """
    ended: set[str] = set()
    freed = 0
    is_released = False
    for operation in group:
        if isinstance(operation, Finish):
            ended.update(digest_of(end.id) for end in operation.ends)
        elif isinstance(operation, Release):
            is_released = True
        elif isinstance(operation, MarkEnded) or (
            isinstance(operation, Forget) and operation.forgotten
        ):
            freed += len(operation.ids)
            is_released = is_released or isinstance(operation, Forget)
        elif isinstance(operation, Rejected):
            freed += 1
    if not (ended or freed or taken or is_released):
        return None
    return Change(frozenset(ended), freed + len(ended), taken, is_released)


def payloads_of(change: Change) -> list[str]:
    """Return the payloads of the signals for a change."""
    digests = sorted(change.ended)
    others = max(change.freed - len(digests), 0)
    payloads: list[str] = []
    for start in range(0, max(len(digests), 1), _MOST_DIGESTS):
        page = digests[start : start + _MOST_DIGESTS]
        freed = len(page) + (0 if start else others)
        flags = [f"{_FREED}{freed}"] * (freed > 0) + [_RELEASED] * change.is_released
        flags += [f"{_TAKEN}{change.taken}"] * (change.taken > 0 and not start)
        payloads.append(" ".join([*flags, *page]))
    return payloads


def parse_change(payload: str) -> Change:
    """Return the change of a payload. Any user of the database can send one."""
    ended: set[str] = set()
    freed = taken = 0
    is_released = False
    for word in payload.split(" "):
        if word == _RELEASED:
            is_released = True
        elif word.startswith(_FREED):
            freed = _number(word.removeprefix(_FREED))
        elif word.startswith(_TAKEN):
            taken = _number(word.removeprefix(_TAKEN))
        elif word:
            ended.add(word)
    return Change(frozenset(ended), freed, taken, is_released)


def _number(digits: str) -> int:
    return int(digits) if digits.isdecimal() and len(digits) <= _MOST_DIGITS else 1


async def send_change(connection: AsyncConnection, change: Change, sender: str) -> None:
    """Send a change to the other processes, if there may be any, when the transaction ends."""
    sent = [Signal(sender, TOPIC, payload) for payload in payloads_of(change)]
    if connection.dialect.name == "postgresql":
        texts = [" ".join(signal) for signal in sent]
        await connection.execute(_NOTIFY_OTHERS, {"texts": texts, "sender": sender})
    elif await connection.scalar(select(exists().where(owners.c.owner != sender))):
        await queries.send_signals(connection, sent)
