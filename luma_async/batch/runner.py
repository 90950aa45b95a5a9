"""Batch: every row of a manifest becomes a file, once, however often it is stopped."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio.to_thread

from luma_async.batch import outcomes
from luma_async.batch.manifest import Manifest
from luma_async.batch.progress import Progress
from luma_async.batch.queue import Queue
from luma_async.batch.results import Result, ResultState
from luma_async.batch.results_file import Results, is_lasting
from luma_async.batch.rows import Row
from luma_async.client import LumaClient
from luma_async.concurrency import to_completion
from luma_async.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    BatchError,
    ClientClosedError,
    ConfigurationError,
    InsufficientCreditsError,
    JournalError,
    LumaError,
    PermissionDeniedError,
    SubmissionStoppedError,
    SubmissionUncertainError,
)
from luma_async.generation import Generation
from luma_async.journal import EntryState
from luma_async.media.downloads import Download, Source, download_all
from luma_async.media.filenames import safe_stem
from luma_async.schedules.adaptive import EVERY_KIND
from luma_async.schedules.lifetime import Lifetime
from luma_async.tasks.run_many import Outcome

VIDEOS = "videos"
_FATAL = (
    AuthenticationError,
    InsufficientCreditsError,
    JournalError,
    ConfigurationError,
    ClientClosedError,
)
"""What every further row would meet as well."""

_MOST_IN_VAIN = 10
"""Rows one after another that reached nothing, were forbidden, or left no file: so will all."""


class Batch:
    """One run of a manifest into a folder.

    >>> batch = Batch(luma, read_manifest("prompts.csv"), "prompts")   # doctest: +SKIP
    >>> async for result in batch.run():                              # doctest: +SKIP
    ...     print(result.key, result.state, result.file or result.error)

    The client needs a journal: with it, running the same again goes on where it was, and pays for
    nothing twice. `results.jsonl` in the folder has a line for each row that has ended.

    Args:
        luma: the client.
        manifest: what is to be made.
        folder: where it goes, made if need be: `videos/`, with a file for each row named by its
            key, and `results.jsonl`.
        max_tasks: jobs that run at once.
        limit_jobs: stop submitting after so many paid jobs.
        retry_failed: submit anew what failed in an earlier run.
        retry_uncertain: submit once more each row that an earlier run left uncertain. It may have
            been accepted, so that may pay for it twice. A row that becomes uncertain in this run
            stays so.

    """

    def __init__(
        self,
        luma: LumaClient,
        manifest: Manifest,
        folder: str | os.PathLike[str],
        *,
        max_tasks: int = 100,
        limit_jobs: int | None = None,
        retry_failed: bool = False,
        retry_uncertain: bool = False,
    ) -> None:
        if luma.journal is None:
            raise ConfigurationError("A batch needs a journal: LumaClient(journal='jobs.db').")
        self.folder = Path(folder)
        self.max_tasks = max_tasks
        self.progress = Progress(len(manifest.rows), limit=limit_jobs)
        self.problem: LumaError | None = None
        """What every row meets, if there is such a thing: a wrong key, a host that is not there."""
        self._luma = luma
        self._journal = luma.journal
        self._rows = {row.key: row for row in manifest.rows}
        self._children_left: Counter[str] = Counter()
        self._retry_failed = retry_failed
        self._retry_uncertain = retry_uncertain
        self._is_stopped = False
        self._queue: Queue | None = None
        self._results = Results(self.folder)
        self._has_run = False
        self._ended: set[str] = set()
        self._known: Mapping[str, EntryState] = {}
        self._begun: dict[str, tuple[float, bool]] = {}
        self._made: dict[str, Generation | str] = {}
        self._took: dict[str, float] = {}
        self._in_vain = 0
        self._undelivered = 0
        self._was_reached = False
        self._unreached: LumaError | None = None
        self._has_ended = asyncio.Event()

    @property
    def results(self) -> list[Result]:
        """What became of each row that has ended, in this run or before, in the manifest's order.

        Behind them stands what became of rows that other manifests had in this folder.
        """
        found = self._results.all
        ours = [found[key] for key in self._rows if key in found]
        return ours + [result for key, result in found.items() if key not in self._rows]

    def stop(self) -> None:
        """Submit no more rows; jobs that run are watched to their end and downloaded.

        Rows that wait for their turn in the client are still submitted, unless
        `LumaClient.stop_submitting()` is called as well.
        """
        self._is_stopped = True
        self._has_ended.set()
        if self._queue is not None:
            self._queue.stop()

    async def run(self) -> AsyncGenerator[Result, None]:
        """Run it, once, and yield what became of each row that had no lasting result before.

        To leave early call `stop()` and read on, or close it (`contextlib.aclosing`): what runs
        then goes on at the server, and the next run takes it up.

        Raises:
            BatchError: the folder cannot be used.
            LumaError: the client was closed, or the journal cannot be used.

        """
        if self._has_run:
            raise ConfigurationError("A batch runs once. Make another one to run it again.")
        self._has_run = True
        results = self._results
        try:
            await to_completion(self._open)
            self.progress.mean = await self._learned_duration()
            self._known = await self._journal.states()
            held_back = self._held_back()
            self.progress.failed += len(held_back)
            rest = [
                row
                for key, row in self._rows.items()
                if key not in self._ended and key not in held_back
            ]
            self._children_left.update(row.parent for row in rest if row.parent is not None)
            self._queue = Queue(rest, made=self._made)
            if self._is_stopped:
                self._queue.stop()
            for result in [*held_back.values(), *self._never_begun_from(held_back)]:
                results.add(result)
                yield result
            async with aclosing(download_all(self._outcomes(), self._deliver)) as files:
                async for file in files:
                    for result in self._results_of(file):
                        results.add(result)
                        yield result
            if not self._was_reached:
                self.problem = self.problem or self._unreached
        finally:
            results.close()

    async def _open(self) -> None:
        await anyio.to_thread.run_sync(self._prepare_folder)

    def _prepare_folder(self) -> None:
        """Read what became of the rows so far, and make room for videos before any is paid for."""
        found = self._results
        found.open()
        try:
            (self.folder / VIDEOS).mkdir(exist_ok=True)
        except OSError as error:
            raise BatchError(
                f"There can be no folder {str(self.folder / VIDEOS)!r} for the videos: "
                f"{error.strerror or error}. Nothing was submitted."
            ) from None
        for key in found.all.keys() & self._rows.keys():
            row, result = self._rows[key], found.all[key]
            found.all[key] = result = replace(result, line=row.line)
            if is_lasting(result, row, self.folder, retry_failed=self._retry_failed):
                self._ended.add(key)
                if result.id is not None and result.state is ResultState.DONE:
                    self._made[key] = result.id
        self.progress.before = len(self._ended)

    def _held_back(self) -> dict[str, Result]:
        """Return rows that are paid for, and that the journal does not know."""
        found = self._results.all
        held_back = {}
        for key in (found.keys() & self._rows.keys()) - self._ended - self._known.keys():
            result = found[key]
            is_changed = result.asks not in (None, self._rows[key].asks)
            may_be_paid_anew = result.id is None or result.state is ResultState.FAILED
            if not (is_changed or may_be_paid_anew):
                held_back[key] = outcomes.unknown_to_journal(result)
        return held_back

    def _never_begun_from(self, held_back: Iterable[str]) -> list[Result]:
        """Return the rows that cannot begin whatever this run brings."""
        without_video = {*held_back, *(self._ended - self._made.keys())}
        return [lost for key in without_video for lost in self._never_begun(key)]

    async def _learned_duration(self) -> float | None:
        """Return how many seconds a job takes, as far as that was learned in earlier runs."""
        learned = await self._journal.learned(self._luma.base_url)
        try:
            # Not its mean, in which a minute that was expected at first weighs for long.
            return Lifetime.from_state(learned[EVERY_KIND]).median
        except (KeyError, ValueError):
            return None

    async def _outcomes(self) -> AsyncIterator[Outcome]:
        ended = self._luma.run_many(
            self._requests(),
            max_tasks=self.max_tasks,
            retry_failed=self._retry_failed,
            retry_uncertain="once" if self._retry_uncertain else False,
        )
        async with aclosing(ended):
            async for outcome in ended:
                self._note(outcome)
                yield outcome

    async def _requests(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        assert self._queue is not None  # noqa: S101  it is made before
        async for row in self._queue.rows():
            is_new = self._is_new(row)
            if is_new and not await self._may_pay():
                self._queue.skip(row.key)  # others may be paid for already
                continue
            if self._is_stopped:
                return
            self.progress.paid += is_new
            self.progress.repeated += is_new and self._is_open(row.key)
            self._begun[row.key] = (time.monotonic(), is_new)
            self.progress.submitted += 1
            self.progress.running += 1
            fields = {name: value for name, value in dict(row.request).items() if value is not None}
            source = row.source_id if row.parent is None else self._parent_of(row)
            if source is not None:
                fields["extends"] = source
            yield row.key, fields

    def _parent_of(self, row: Row) -> Generation | str:
        """Return what a row continues, and forget it after the last that does."""
        parent = row.parent or ""
        self._children_left[parent] -= 1
        if self._children_left[parent] > 0:
            return self._made[parent]
        return self._made.pop(parent)

    async def _may_pay(self) -> bool:
        """Whether another job may be paid for, once that is known of those before it."""
        limit = self.progress.limit
        while limit is not None and self.progress.paid >= limit:
            if self._is_stopped or not any(is_new for _, is_new in self._begun.values()):
                return False
            self._has_ended.clear()
            await self._has_ended.wait()
        return True

    def _is_new(self, row: Row) -> bool:
        """Whether a row is paid for when it is submitted now."""
        state = self._known.get(row.key)
        failed = (EntryState.FAILED, EntryState.LOST)
        return (
            state is None
            or (self._retry_failed and state in failed)
            or (self._retry_uncertain and self._is_open(row.key))
        )

    def _is_open(self, key: str) -> bool:
        """Whether an earlier submission of a row may have been accepted, and nobody knows."""
        # One that is being submitted may be that of a run that was killed.
        return self._known.get(key) in (EntryState.UNCERTAIN, EntryState.SUBMITTING)

    def _note(self, outcome: Outcome) -> None:
        """Take in the end of a job, before its file comes."""
        assert self._queue is not None  # noqa: S101  it is made before
        key = outcome.key or ""
        begun, is_new = self._begun.pop(key, (0.0, False))
        self._has_ended.set()
        self.progress.running -= 1
        if outcome.generation is not None:
            self._was_reached = True
            self.progress.done += 1
            if is_new:
                self._took[key] = time.monotonic() - begun
                self.progress.observe(self._took[key])
            self._in_vain = 0
            if self._children_left[key] > 0:
                self._made[key] = outcome.generation
            self._queue.made(key)
            return
        error = outcome.error
        if is_new and outcomes.is_unpaid(outcome):
            self.progress.paid -= 1
            self.progress.repeated -= self._is_open(key)
        if isinstance(error, SubmissionStoppedError):
            self.progress.submitted -= 1
            self.stop()
            return
        is_unreachable = isinstance(error, APIConnectionError) and outcome.id is None
        is_forbidden = isinstance(error, PermissionDeniedError)  # all of it, or one prompt
        self._in_vain = self._in_vain + 1 if is_unreachable or is_forbidden else 0
        self._was_reached |= isinstance(error, APIError) or outcome.id is not None
        if is_unreachable:
            self._unreached = error
        problem = _problem_of_all(error)
        if problem is not None or self._in_vain >= _MOST_IN_VAIN:
            self._give_up(problem or error)

    def _give_up(self, problem: LumaError | None) -> None:
        self.problem = self.problem or problem
        self.stop()

    async def _deliver(self, source: Source) -> Download:
        """Bring the file of a job that has ended well to its place."""
        assert isinstance(source, Outcome)  # noqa: S101  nothing else goes in
        if source.generation is None:
            return Download(source, source.id, error=source.error)
        path = self.folder / VIDEOS / f"{safe_stem(source.key or '')}.mp4"
        try:
            # What stands there without a result may be of another job that had this key.
            await self._luma.download(source.generation, path, overwrite=True)
        except LumaError as error:
            return Download(source, source.id, error=error)
        return Download(source, source.id, path)

    def _results_of(self, file: Download) -> list[Result]:
        """Return what became of a row, and of those that can never begin because of it."""
        outcome = file.source
        assert isinstance(outcome, Outcome)  # noqa: S101  nothing else went in
        key = outcome.key or ""
        row, made = self._rows[key], outcome.generation
        if isinstance(outcome.error, SubmissionStoppedError):
            return []  # it is still to do
        if made is None:
            self.progress.failed += 1
            result = outcomes.not_made(row, outcome, was_uncertain=self._is_open(key))
            return [result, *self._never_begun(key)]
        if file.ok:
            self.progress.downloaded += 1
            self._undelivered = 0
        else:
            self.progress.failed += 1
            self._undelivered += 1
            if self._undelivered >= _MOST_IN_VAIN:
                self._give_up(file.error)
        place = file.path.relative_to(self.folder) if file.path else None
        took = self._took.pop(key, None)
        return [outcomes.made(row, made, file=place, error=file.error, took=took)]

    def _never_begun(self, key: str) -> list[Result]:
        assert self._queue is not None  # noqa: S101  it is made before
        lost = self._queue.not_made(key)
        self.progress.failed += len(lost)
        return [outcomes.never_begun(row) for row in lost]


def _problem_of_all(error: LumaError | None) -> LumaError | None:
    """Return what every further row would meet as well, if an error tells of such a thing."""
    if isinstance(error, SubmissionUncertainError):  # one row is uncertain, the account is empty
        error = error.cause if isinstance(error.cause, InsufficientCreditsError) else None
    return error if isinstance(error, _FATAL) else None
