"""Journals, schedules, dialects and durations of users, as type checkers see them. Never run.

Each protocol of the package can be implemented without a base class. An object that lacks a method
is an error at the place where it is passed.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, assert_type

from luma_async import (
    Asset,
    End,
    Entry,
    EntryState,
    GenerateRequest,
    Generation,
    Hint,
    JobRequest,
    Journal,
    LumaClient,
    PollSchedule,
    ResponseError,
    SQLJournal,
    State,
    UnsupportedError,
)
from luma_async.dialects import (
    Body,
    Call,
    Dialect,
    FileCalls,
    FilePurpose,
    JSONObject,
    Mark,
    NoAccountCalls,
    PresignedUpload,
    StoredFile,
    StoredState,
)
from luma_async.simulator import Durations, Simulator


class MemoryJournal:
    """Journal in a dictionary, with hints between the clients that share it."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._learned: dict[str, Mapping[str, Any]] = {}
        self._listeners: list[Callable[[Hint], None]] = []

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
        if self._entries.get(entry.key) == instead_of:
            self._entries[entry.key] = entry
        return self._entries[entry.key]

    async def hold(self, entry: Entry) -> bool:
        return self._entries.get(entry.key) == entry

    async def mark_accepted(self, entry: Entry, id: str) -> None:
        pass

    async def mark_rejected(self, entry: Entry, *, instead_of: Entry | None = None) -> None:
        pass

    async def mark_uncertain(self, entry: Entry, reason: str) -> None:
        pass

    async def finish(self, ends: Sequence[End]) -> None:
        for end in ends:
            assert_type(end.generation, Generation | None)

    async def mark_forgotten(self, server: str, ids: Sequence[str], *, forgotten: bool) -> None:
        pass

    async def find(self, key: str) -> Entry | None:
        return self._entries.get(key)

    async def states(self) -> dict[str, EntryState]:
        return {key: entry.state for key, entry in self._entries.items()}

    async def unfinished(self, server: str) -> list[Entry]:
        return [entry for entry in self._entries.values() if entry.server == server]

    async def uncertain(self) -> list[Entry]:
        return []

    async def settle(self, key: str, *, id: str | None = None, resubmit: bool = False) -> None:
        pass

    async def purge(self, older_than: timedelta | float) -> int:
        return 0

    async def export(self) -> AsyncIterator[str]:
        for key in self._entries:
            yield json.dumps(key)

    async def learned(self, server: str) -> Mapping[str, Any]:
        return self._learned.get(server, {})

    async def keep_learned(self, server: str, learned: Mapping[str, Any]) -> None:
        self._learned[server] = learned

    async def send_hint(self, request_id: str, *, says_ended: bool = False) -> None:
        for listener in self._listeners:
            listener(Hint(request_id, says_ended))

    @asynccontextmanager
    async def hints(self, on_hint: Callable[[Hint], None]) -> AsyncGenerator[None]:
        self._listeners.append(on_hint)
        yield


class HalfJournal:
    async def find(self, key: str) -> Entry | None:
        return None


class Patient:
    """Schedule without a base class."""

    def next_delay(self, age: float, looks: int) -> float:
        return max(2.0, age / 10)

    def observe(self, duration: float) -> None:
        print("a job took", duration)


class Deaf:
    def next_delay(self, age: float, looks: int) -> float:
        return 2.0


class Uploads:
    """Calls for files of a dialect."""

    inline_limit = 2**20
    inline_total = 2**22
    image_limit = 2**24
    video_limit = 2**28

    def create(
        self, *, media_type: str, size: int, filename: str | None, purpose: FilePurpose
    ) -> Call[tuple[StoredFile, PresignedUpload]]:
        body = Body({"type": media_type, "size": size, "name": filename, "purpose": purpose})
        return Call("POST", "/files", self._created, body=body)

    def complete(self, id: str) -> Call[StoredFile]:
        return Call("POST", f"/files/{id}/complete", self._stored)

    def get(self, id: str) -> Call[StoredFile]:
        return Call("GET", f"/files/{id}", self._stored)

    def _created(self, body: bytes) -> tuple[StoredFile, PresignedUpload]:
        return self._stored(body), PresignedUpload(url=row_of(body)["url"], headers={})

    def _stored(self, body: bytes) -> StoredFile:
        return StoredFile(id=row_of(body)["id"], state=StoredState.READY)


class VideoShop(NoAccountCalls):
    """Dialect of a server with few calls."""

    name = "video-shop"
    default_base_url = "https://video-shop.example"
    path_prefix = ""
    supports_batch = False
    supports_callbacks = False
    list_instead = "keep your jobs in a journal"
    credits_instead = "the shop shows it on its website"
    files = Uploads()

    def check(self, request: JobRequest, *, has_source: bool) -> None:
        if not isinstance(request, GenerateRequest) or has_source:
            raise UnsupportedError.of("request", "must be for a new video")

    def linked_outputs(self, request: JobRequest, source_id: str | None) -> dict[str, str]:
        return {}

    def submission(self, request: JobRequest, source_id: str | None) -> Call[Generation]:
        body = json.dumps({"prompt": request.prompt}).encode()
        return Call("POST", "/videos", self.accepted, body=body, submits=True)

    def accepted(self, body: bytes) -> Generation:
        return self.generation(row_of(body))

    def get(self, id: str) -> Call[JSONObject]:
        return Call("GET", f"/videos/{id}", row_of, looks=True)

    def get_many(self, ids: Sequence[str]) -> Call[dict[str, JSONObject]]:
        raise UnsupportedError.of("get_many", "is not offered")

    def watermark_free_url(self, id: str) -> Call[str]:
        raise UnsupportedError.of("watermark_free_url", "is not offered")

    def generation(self, row: JSONObject) -> Generation:
        video = Asset(url=row["video"]) if "video" in row else None
        return Generation(id=row["id"], state=State.PROCESSING, video=video, raw=row)

    def ids(self, row: JSONObject) -> Sequence[str]:
        return [row["id"]]

    def mark(self, row: JSONObject) -> Mark:
        return (row.get("state"),)


class HalfDialect:
    name = "half"


def row_of(body: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(body))
    except ValueError:
        raise ResponseError("it is not the JSON object of a job") from None


class InTurn:
    """Durations of simulated jobs."""

    def draw(self, chance: random.Random) -> float:
        return chance.choice([1.0, 2.0])


journal: Journal = MemoryJournal()
journal = SQLJournal("jobs.db")
schedule: PollSchedule = Patient()
dialect: Dialect = VideoShop()
files: FileCalls = VideoShop.files
durations: Durations = InTurn()

luma = LumaClient(journal=MemoryJournal(), schedule=Patient(), dialect=VideoShop())
simulator = Simulator(durations=InTurn())
assert_type(luma.dialect, Dialect)
assert_type(luma.journal, Journal | None)
hints: AbstractAsyncContextManager[None] = SQLJournal("jobs.db").hints(print)

LumaClient(journal=HalfJournal())  # type: ignore[arg-type]
LumaClient(journal=SQLJournal)  # type: ignore[arg-type]
LumaClient(schedule=Deaf())  # type: ignore[arg-type]
LumaClient(schedule=2.0)  # type: ignore[arg-type]
LumaClient(dialect=HalfDialect())  # type: ignore[arg-type]
LumaClient(dialect=VideoShop)  # type: ignore[arg-type]
LumaClient(dialect="luma")  # type: ignore[arg-type]
Simulator(durations=Patient())  # type: ignore[arg-type]
