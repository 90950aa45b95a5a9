"""File calls: the optional part of a dialect for servers that take uploads of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Protocol

from luma_async.transport.call import Call

FilePurpose = Literal["input", "reference"]
"""Use of a file in a request: the subject, such as a frame, or guidance for style and content."""

MIN_LIFE = timedelta(hours=2)
"""Minimum time for which a file must still exist. A job may wait, and then run for an hour."""


class StoredState(StrEnum):
    """State of a file at the server."""

    PENDING = "pending"
    """The server has not finished checking it, or does not have its bytes yet."""
    READY = "ready"
    """A request may refer to it."""
    FAILED = "failed"
    """The server has rejected it, such as by its moderation."""
    DELETED = "deleted"
    """Deleted by its owner, or expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """Record of a file at the server."""

    id: str
    state: StoredState
    failure_reason: str | None = None
    expires_at: datetime | None = None

    def lasts(self, now: datetime) -> bool:
        """Return `True` if the file will exist for as long as a job may need it."""
        return self.expires_at is None or self.expires_at - now >= MIN_LIFE


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedUpload:
    """Place at a media host that accepts the bytes of a file by `PUT`, without the API key."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime | None = None


class FileCalls(Protocol):
    """Calls that upload a file in three steps: create, `PUT`, complete. Pure, as a dialect is.

    None of them submits a job or costs money, so each may be repeated.
    """

    @property
    def inline_limit(self) -> int:
        """Maximum size in bytes of an image that is sent within the request."""

    @property
    def inline_total(self) -> int:
        """Maximum size in bytes of all images that are sent within one request."""

    @property
    def image_limit(self) -> int:
        """Maximum size of an image in bytes."""

    @property
    def video_limit(self) -> int:
        """Maximum size of a video in bytes."""

    def create(
        self, *, media_type: str, size: int, filename: str | None, purpose: FilePurpose
    ) -> Call[tuple[StoredFile, PresignedUpload]]:
        """Build the call that creates a file without content."""

    def complete(self, id: str) -> Call[StoredFile]:
        """Build the call that tells the server that all bytes are there."""

    def get(self, id: str) -> Call[StoredFile]:
        """Build the call that returns the record of a file."""


def file_calls_of(dialect: Any) -> FileCalls | None:
    """Return the file calls of a dialect, its attribute `files`; `None` if it has none."""
    found: FileCalls | None = getattr(dialect, "files", None)
    return found
