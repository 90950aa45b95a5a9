"""Entry: the journal's record of one job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from luma_async.models import Generation


class EntryState(StrEnum):
    """State of a job in the journal."""

    SUBMITTING = "submitting"
    """Claimed by a live process that is submitting the job."""
    UNCERTAIN = "uncertain"
    """Sent, but no answer confirmed or denied that the job was accepted. The user settles it."""
    RUNNING = "running"
    """Accepted by the server; the id is known."""
    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"
    """No longer known to the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One job in a journal.

    Attributes:
        key: the job key; generated (`auto-...`) if the caller gave none.
        state: the state of the job.
        request: the fields that were requested; the data URI of an image is replaced by its
            SHA-256.
        source_id: for an extension, the id of the extended job.
        server: the base URL of the server that the job was submitted to.
        id: the server's id of the job, if it is known.
        generation: the last status of the job, if it is completed or failed.
        reason: why the job is uncertain or lost; for a job that is being submitted, why its outcome
            may not be known for long.
        earlier_ids: ids of failed jobs with the same key, from before it was submitted again.
        submitted_at, updated_at: when the job was submitted, and when its state changed last.
        fingerprint: equal for equal requests.
        claim: identifies this one submission of the job.
        request_id: sent with each try as `Idempotency-Key` and `X-Request-Id`; `None` in journals
            of releases that sent none.

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
        """Name of the call that submitted the job: `generate` or `extend`."""
        return "generate" if self.source_id is None else "extend"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """End of a job: its last generation, or the reason why the job is lost.

    `server` and `id` identify the job. `key` is its job key, if that is known here.
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
    """Return the generated key of a job that was submitted without one."""
    return f"auto-{claim}"
