"""Agent tools: the calls of an agent on one client, with the limits of its session."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread
from mcp import types

from luma_async.client import LumaClient
from luma_async.errors import (
    ConfigurationError,
    DownloadError,
    InvalidRequestError,
    LumaError,
    SubmissionUncertainError,
)
from luma_async.generation import Generation, State, failure_of
from luma_async.journal import Entry, EntryState, Journal
from luma_async.journal.fingerprint import checked_key
from luma_async.mcp_server.agent_errors import RefusedCallError
from luma_async.mcp_server.agent_folder import AgentFolder, without_file_scheme
from luma_async.mcp_server.session_limits import SessionLimits
from luma_async.mcp_server.tool_arguments import (
    DownloadArguments,
    JobArguments,
    ListArguments,
    SourceArgument,
    WaitArguments,
)
from luma_async.mcp_server.tool_results import (
    AccountCredits,
    ConceptNames,
    JobList,
    JobStatus,
    SavedFile,
    SavedFiles,
)
from luma_async.mcp_server.tool_schemas import LONGEST_KEY
from luma_async.request_kinds import REQUESTS
from luma_async.requests import JobRequest, Kind
from luma_async.tasks import VideoTask
from luma_async.text_values import bounded

HEARTBEAT = 10.0
"""Seconds after which a wait reports its progress again, so that its client does not give up."""

_SUBMITTED_BY = "mcp_call"
"""Name in the metadata of a job for the call that submitted it."""

Report = Callable[[float, str], Awaitable[None]]
"""Function that sends a progress notification: seconds so far, and a text."""


@runtime_checkable
class _ReadsNewest(Protocol):
    """Journal that reads its newest entries without all others."""

    async def newest(
        self, limit: int, *, state: EntryState | None = None
    ) -> tuple[list[Entry], int]: ...


class AgentTools:
    """Tools of one session.

    `check_key` raises an `InvalidRequestError` for a job key that the journal must not store.
    """

    def __init__(
        self,
        luma: LumaClient,
        folder: AgentFolder,
        limits: SessionLimits,
        *,
        check_key: Callable[[str], None] = lambda _: None,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        if luma.journal is None:
            raise ConfigurationError(
                "The MCP server needs a journal: LumaClient(journal='jobs.db')."
            )
        self.luma = luma
        self.folder = folder
        self.limits = limits
        self._journal: Journal = luma.journal
        self._check_key = check_key
        self._heartbeat = heartbeat
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._cut_off: dict[str, set[str]] = {}
        """Cancelled calls by job key, until the journal tells if one has submitted the job."""

    async def submit(self, kind: Kind, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Submit a job, unless its key is known, and return its status.

        Raises:
            RefusedCallError: the limits of the session allow no further job, or the source is still
                running; nothing was submitted.
            LumaError: as in `LumaClient.submit()`.

        """
        given = {name: value for name, value in arguments.items() if value is not None}
        key = checked_key(str(given.pop("key", "")).strip())
        if len(key) > LONGEST_KEY:
            problem = f"must have at most {LONGEST_KEY} characters, has {len(key)}"
            raise InvalidRequestError.of("key", problem)
        self._check_key(key)
        source = SourceArgument.of({"source": given.pop("source", None)}).source
        request = REQUESTS[kind].from_mapping(without_file_scheme(given))
        request = await self.folder.with_allowed_files(request)
        async with self._locks.setdefault(key, asyncio.Lock()):
            task, submitted = await self._submit(request, key, source)
        status = JobStatus.of(
            task.generation,
            prompt=request.prompt,
            key=key,
            submitted=submitted,
            jobs_left=self.limits.jobs_left,
        )
        return status.result(status.links())

    async def get_job(self, arguments: JobArguments) -> types.CallToolResult:
        """Look at a job once, and return its status.

        Raises:
            LumaError: there was no usable answer.

        """
        entry = await self._entry(arguments.job)
        if entry is not None and entry.id is None:
            return _status_of(entry).result()
        generation = await self.luma.get(self._id(arguments.job, entry))
        return self._result(generation, entry)

    async def wait_for_job(self, arguments: WaitArguments, report: Report) -> types.CallToolResult:
        """Wait until a job ends or a time has passed, and return its status as of then.

        Raises:
            LumaError: the job is not known, or cannot be watched.

        """
        entry = await self._entry(arguments.job)
        task = await self.luma.watch(self._id(arguments.job, entry))
        clock = asyncio.get_running_loop().time
        start = clock()
        async with task.updates() as updates:
            while not task.done() and (left := start + arguments.timeout - clock()) > 0:
                with anyio.move_on_after(min(left, self._heartbeat)):
                    await anext(updates, None)
                await report(clock() - start, _progress_text(task.generation))
        if task.done() and not task.state.terminal:
            task.result()  # raises the reason why the job is not watched any more
        return self._result(task.generation, entry, key=task.key)

    async def list_jobs(self, arguments: ListArguments) -> types.CallToolResult:
        """Return the newest jobs of the journal.

        Raises:
            JournalError: the journal cannot be read.

        """
        await self._give_back_unused()
        limit, state = arguments.limit, arguments.state
        if isinstance(self._journal, _ReadsNewest):
            wanted = None if state is None else EntryState(state)
            entries, found = await self._journal.newest(limit, state=wanted)
            jobs = tuple(map(_status_of, entries))
        else:
            newest: deque[dict[str, Any]] = deque(maxlen=limit)
            found = 0
            async for line in self._journal.export():
                entry = json.loads(line)
                if state in (None, entry["state"]):
                    found += 1
                    newest.appendleft(entry)
            jobs = tuple(map(JobStatus.of_entry, newest))
        return JobList(jobs=jobs, found=found, jobs_left=self.limits.jobs_left).result()

    async def download_files(self, arguments: DownloadArguments) -> types.CallToolResult:
        """Save files of a completed job in the folder, and return their paths.

        Raises:
            RefusedCallError: the job is still running.
            LumaError: the job failed, or a file did not arrive whole.

        """
        entry = await self._entry(arguments.job)
        generation = await self._ended(self._id(arguments.job, entry), "nothing was downloaded")
        paths = await self._download(generation, arguments)
        files = await anyio.to_thread.run_sync(lambda: tuple(map(SavedFile.at, paths)))
        saved = SavedFiles(id=generation.id, files=files)
        return saved.result([file.link() for file in files])

    async def get_credits(self) -> types.CallToolResult:
        """Return the balance of the account.

        Raises:
            LumaError: the server does not tell it, or gave no usable answer.

        """
        return AccountCredits(usd=(await self.luma.credits()).usd).result()

    async def list_concepts(self) -> types.CallToolResult:
        """Return the names of the concepts that a video can follow.

        Raises:
            LumaError: the server has none, or gave no usable answer.

        """
        return ConceptNames(concepts=await self.luma.concepts()).result()

    async def _submit(
        self, request: JobRequest, key: str, source: str | None
    ) -> tuple[VideoTask, bool]:
        """Return the handle on the job of a key, and `True` if this call submitted it."""
        known = await self._journal.find(key)
        # A job that another program is submitting may be rejected, and is this call's then.
        may_submit = known is None or known.state is EntryState.SUBMITTING
        job: Generation | str | None = None
        if source is not None:
            job = self._id(source, await self._entry(source))
            if may_submit:
                job = await self._ended(job, "nothing was submitted")
        if not may_submit:
            return await self.luma.submit(request, source=job, key=key), False
        await self._give_back_unused()
        call = uuid4().hex
        with self.limits.submitting(key, self.luma.tasks) as has_new_place:
            if key in self._cut_off:
                self._cut_off[key].add(call)
            try:
                task = await self.luma.submit(
                    request, source=job, key=key, metadata={_SUBMITTED_BY: call}
                )
            except LumaError as error:
                if has_new_place and not isinstance(error, SubmissionUncertainError):
                    self.limits.give_back(key)
                raise
            except asyncio.CancelledError:
                if has_new_place:
                    self._cut_off[key] = {call}
                raise
        # Another program may have submitted the job between the two looks at the journal.
        submitted = task.metadata.get(_SUBMITTED_BY) == call
        if has_new_place and not submitted:
            self.limits.give_back(key)
        return task, submitted

    async def _give_back_unused(self) -> None:
        """Free the places of cancelled calls, if none of them has submitted the job of its key."""
        for key in list(self._cut_off):
            entry = await self._journal.find(key)
            lock = self._locks.get(key)
            if lock is not None and lock.locked():
                continue  # the call is being repeated
            if entry is not None and entry.state is EntryState.SUBMITTING:
                continue
            calls = self._cut_off.pop(key, set())
            if calls and (entry is None or entry.metadata.get(_SUBMITTED_BY) not in calls):
                self.limits.give_back(key)

    async def _download(
        self, generation: Generation, arguments: DownloadArguments
    ) -> tuple[Path, ...]:
        folder, clean = self.folder.path, not arguments.watermark
        if arguments.what == "outputs":
            return await self.luma.download_outputs(generation, folder, watermark_free=clean)
        async for file in self.luma.download_all(
            [generation], folder, what=arguments.what, watermark_free=clean
        ):
            if file.error is not None:
                raise file.error
            if file.path is not None:
                return (file.path,)
        raise DownloadError(f"Job {generation.id} has no such file.")

    async def _entry(self, job: str) -> Entry | None:
        """Return the entry whose job key an agent has named, `None` if it is not a known key."""
        try:
            return await self._journal.find(checked_key(job))
        except InvalidRequestError:
            return None

    def _id(self, job: str, entry: Entry | None) -> str:
        """Return the id of a job that an agent has named by its id or its key.

        Raises:
            RefusedCallError: the job has no id, or belongs to another server.

        """
        if entry is None:
            return job
        if entry.id is None:
            status = _status_of(entry)
            raise RefusedCallError(
                f"The job {bounded(job, 80)!r} is {entry.state}, and has no id. {status.next_step}"
            )
        if entry.server != self.luma.api_url:
            raise RefusedCallError(
                f"The job {bounded(job, 80)!r} is at {entry.server}, and this server is set up for "
                f"{self.luma.api_url}. Tell the user."
            )
        return entry.id

    async def _ended(self, id: str, consequence: str) -> Generation:
        """Return the generation of a completed job.

        Raises:
            RefusedCallError: the job is still running.
            LumaError: the job failed, or there was no usable answer.

        """
        generation = await self.luma.get(id)
        if not generation.state.terminal:
            raise RefusedCallError(
                f"The job {id} is still {generation.state}; {consequence}. Call wait_for_job for "
                "it first, and then repeat this call."
            )
        if generation.state is State.FAILED:
            raise failure_of(generation)
        return generation

    def _result(
        self, generation: Generation, entry: Entry | None, *, key: str | None = None
    ) -> types.CallToolResult:
        status = JobStatus.of(
            generation,
            prompt=entry.request.get("prompt") if entry else None,
            key=entry.key if entry else key,
        )
        return status.result(status.links())


def _status_of(entry: Entry) -> JobStatus:
    return JobStatus.of_entry(
        {
            "id": entry.id,
            "key": entry.key,
            "state": entry.state,
            "request": entry.request,
            "submitted_at": entry.submitted_at.isoformat(),
            "reason": entry.reason,
            "generation": {"failure_reason": entry.generation.failure_reason}
            if entry.generation
            else None,
        }
    )


def _progress_text(generation: Generation) -> str:
    progress = generation.progress
    shown = f", {progress:.0%}" if progress is not None and not generation.state.terminal else ""
    return f"job {bounded(generation.id, 80)}: {generation.state}{shown}"
