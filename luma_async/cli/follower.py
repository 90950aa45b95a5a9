"""Follow jobs to their ends, and download their files, shown on a board."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import anyio.to_thread

from luma_async.cli.connection import Connection
from luma_async.cli.progress_display import Board, BoardLine
from luma_async.cli.report import Report
from luma_async.cli.target import DownloadTarget
from luma_async.cli.terminal import Terminal
from luma_async.client import LumaClient
from luma_async.errors import DownloadError, LumaError
from luma_async.generation import Generation, GenerationFailedError
from luma_async.tasks import VideoTask

OnChange = Callable[[Generation], object]


class Follower:
    """Follow jobs of one client to their ends.

    Files are downloaded to `target`, if there is one. While a job is followed, the terminal has the
    command that resumes it.
    """

    def __init__(
        self,
        luma: LumaClient,
        terminal: Terminal,
        board: Board,
        connection: Connection,
        *,
        target: DownloadTarget | None = None,
    ) -> None:
        self._luma = luma
        self._terminal = terminal
        self._board = board
        self._connection = connection
        self._target = target

    async def follow(
        self, task: VideoTask, line: BoardLine, *, on_change: OnChange = lambda _: None
    ) -> Report:
        """Follow a job to its end, download its file, and return the report.

        `on_change` is called for each new state. Errors are in the report.
        """
        self._offer_commands(task.id)
        line.task = task
        files: tuple[Path, ...] = ()
        error: LumaError | None = None
        try:
            state = None
            async for generation in task.updates():
                self._board.set_state(line, generation.state)
                if generation.state is not state:
                    state = generation.state
                    on_change(generation)
            generation = await task
            self._terminal.running_ids.discard(task.id)
            if self._target is not None:
                files = await self._download(generation, line, self._target)
        except LumaError as caught:
            error = caught
            self._board.set_state(line, state_after(error))
        self._withdraw_commands(task.id)
        return Report(
            id=task.id, key=task.key, generation=task.generation, files=files, error=error
        )

    async def find(
        self, id: str, line: BoardLine, *, on_change: OnChange = lambda _: None
    ) -> Report:
        """Find a job by its id, and follow it."""
        self._board.set_state(line, "looking")
        self._offer_commands(id)
        try:
            task = await self._luma.watch(id)
        except LumaError as error:
            self._withdraw_commands(id)
            self._board.set_state(line, state_after(error))
            return Report(id=id, error=error)
        if task.generation.prompt:
            line.set_title(f"{id}  {task.generation.prompt}")
        return await self.follow(task, line, on_change=on_change)

    async def _download(
        self, generation: Generation, line: BoardLine, target: DownloadTarget
    ) -> tuple[Path, ...]:
        existing = await anyio.to_thread.run_sync(target.existing, generation)
        if existing is not None:
            self._terminal.say(f"{existing} already exists; --overwrite replaces it.")
            self._board.set_state(line, "saved")
            return (existing,)
        self._board.set_state(line, "downloading")
        if target.what == "all":
            files = await self._luma.download_outputs(
                generation,
                target.path,
                watermark_free=target.watermark_free,
                overwrite=target.overwrite,
            )
            self._board.set_state(line, "saved")
            return files
        file = await self._luma.download(
            generation,
            target.path,
            what=target.what,
            watermark_free=target.watermark_free,
            overwrite=target.overwrite,
            progress=lambda done, total: self._board.set_received(line, done, total),
        )
        self._board.set_state(line, "saved")
        return (file,)

    def _offer_commands(self, id: str) -> None:
        """Let the terminal print, after an interruption, the commands for a job."""
        self._terminal.running_ids.add(id)
        download = download_command(self._connection, [id], self._target)
        self._terminal.download_commands[id] = download
        if self._target is None:
            self._terminal.resume_commands[id] = watch_command(self._connection, [id])

    def _withdraw_commands(self, id: str) -> None:
        self._terminal.running_ids.discard(id)
        self._terminal.download_commands.pop(id, None)
        self._terminal.resume_commands.pop(id, None)


def watch_command(connection: Connection, ids: Sequence[str]) -> str:
    """Return the command that watches jobs."""
    return connection.command("watch", *ids, journal=connection.journal)


def download_command(
    connection: Connection, ids: Sequence[str], target: DownloadTarget | None
) -> str:
    """Return the command that waits for the ends of jobs, and downloads their files."""
    target = target or DownloadTarget()
    return connection.command_that_downloads(
        "download",
        *ids,
        *([] if target.watermark_free else ["--watermark"]),
        *(["--overwrite"] if target.overwrite else []),
        output=target.named_place,
        what=None if target.what == "output" else str(target.what),
        journal=connection.journal,
    )


def resume_command(connection: Connection, target: DownloadTarget, *words: str) -> str:
    """Return the command that resumes all jobs of the journal, and downloads their videos."""
    return connection.command_that_downloads(
        "resume",
        *words,
        "--download",
        *([] if target.watermark_free else ["--watermark"]),
        *(["--overwrite"] if target.overwrite else []),
        output=target.named_place,
        journal=connection.journal,
    )


def state_after(error: LumaError) -> str:
    """Return the state of a board's line after an error."""
    if isinstance(error, GenerationFailedError):
        return "failed"
    return "not saved" if isinstance(error, DownloadError) else "stopped"


async def run_concurrently(works: Iterable[Awaitable[None]]) -> None:
    """Await several things at once; the first exception cancels all others, and is raised.

    Unlike a task group, it raises the exception itself, not a group.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
