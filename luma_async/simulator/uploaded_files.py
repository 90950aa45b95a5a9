"""Uploaded files: their states over time, and their content on disk."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luma_async.simulator.agents_requests import FileBody
from luma_async.simulator.clock import Clock
from luma_async.simulator.media_probe import Media, UnusableMediaError, probe

FileState = Literal["pending", "ready", "failed", "deleted"]

INGEST_SECONDS = 0.5
"""Simulated seconds from the completion of an upload until the file is ready or has failed."""


@dataclass(slots=True)
class UploadedFile:
    """File that a client has announced or sent. Times are simulated seconds.

    Attributes:
        body: fields of the request that created it.
        owner: API key of the client.
        path: content on disk.
        stored: `True` once all bytes are there.
        ingested_at: time when the ingest ends, if it has begun.
        media: type and size, if the content is an image or a video.
        failure: reason if it is neither.

    """

    id: str
    number: int
    body: FileBody
    owner: str
    path: Path
    created_at: float
    stored: bool = False
    ingested_at: float | None = None
    deleted_at: float | None = None
    media: Media | None = None
    failure: str | None = None

    def state(self, now: float) -> FileState:
        """Return the state of the file at a simulated time."""
        if self.deleted_at is not None:
            return "deleted"
        if self.ingested_at is None or now < self.ingested_at:
            return "pending"
        return "failed" if self.failure else "ready"


class UploadedFiles:
    """Files of all clients, in the order of their creation."""

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        self._clock = clock
        self._chance = chance
        self._files: dict[str, UploadedFile] = {}

    def create(self, body: FileBody, owner: str, folder: Path) -> UploadedFile:
        """Add a file without content."""
        id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        file = UploadedFile(
            id=id,
            number=len(self._files) + 1,
            body=body,
            owner=owner,
            path=folder / f"upload-{id}",
            created_at=self._clock.now(),
        )
        self._files[id] = file
        return file

    def find(self, id: str, owner: str | None) -> UploadedFile | None:
        """Return a client's file, or anybody's if no client is given."""
        file = self._files.get(id)
        return file if file is not None and owner in (None, file.owner) else None

    def newest_first(self, owner: str) -> Iterator[UploadedFile]:
        """Yield a client's files."""
        return (file for file in reversed(self._files.values()) if file.owner == owner)

    async def ingest(self, file: UploadedFile) -> None:
        """Start the ingest of a file with all its bytes. It ends after some simulated time."""
        try:
            file.media = await asyncio.to_thread(probe, file.path)
        except UnusableMediaError as error:
            file.failure = str(error)
        file.ingested_at = self._clock.now() + INGEST_SECONDS
