"""Entry: what the journal knows of one job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from luma_async.models import Generation


class EntryState(StrEnum):
    """Where a job stands in the journal."""

    SUBMITTING = "submitting"
    """On its way to the server, by a process that is alive."""
    UNCERTAIN = "uncertain"
    """It left, and nothing tells whether it was taken: settled by the user."""
    RUNNING = "running"
    """Taken; its id is known."""
    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"
    """The server no longer knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One job in a journal.

    Attributes:
        key: the name it was asked for under; made up (`auto-...`) if the caller gave none.
        state: where it stands.
        request: the fields that were asked for; a picture's data URI is told by its SHA-256.
        source_id: for an extension, the id of the extended job.
        server: the base URL it was submitted at.
        id: the server's id of it, if it is known.
        generation: the last look at it, if it is completed or failed.
        reason: why it is uncertain or lost; of one that is submitting, why nobody may hear of it
            for long.
        earlier_ids: ids of failed jobs under the same key, from before it was tried again.
        submitted_at, updated_at: when it left, and when its state changed last.
        fingerprint: equal where the same was asked for.
        claim: names this one submission of it.
        request_id: goes with each try of it as `Idempotency-Key` and `X-Request-Id`; `None` in
            journals of releases that sent none.

    """

    key: str
    state: EntryState
    request: Mapping[str, Any]
    source_id: str | None = None
    server: str
    id: str | None = None
    generation: Generation | None = None
    reason: str | None = None
    earlier_ids: tuple[str, ...] = ()
    submitted_at: datetime
    updated_at: datetime
    fingerprint: str
    claim: str
    request_id: str | None = None

    @property
    def verb(self) -> str:
        """The call that submitted it: `generate` or `extend`."""
        return "generate" if self.source_id is None else "extend"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of the job `id` of a server: its last generation, or why it is lost.

    `key` is its job key, if that is known here.
    """

    server: str
    id: str
    generation: Generation | None = None
    reason: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        end = self.generation.state if self.generation is not None else "lost"
        named = f" under key {self.key!r}" if self.key is not None else ""
        return f"the job{named}, task {self.id}, is {end}"


def made_up_key(claim: str) -> str:
    """Return the key of a job that its caller gave none."""
    return f"auto-{claim}"
