"""Follower: sees jobs through to their end, and their files to the disk, on a board."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import anyio.to_thread

from luma_async.cli.connection import Connection
from luma_async.cli.progress_display import Board, Line
from luma_async.cli.report import Report
from luma_async.cli.target import Output
from luma_async.cli.terminal import Terminal
from luma_async.client import LumaClient
from luma_async.errors import DownloadError, GenerationFailedError, LumaError
from luma_async.generation import Generation
from luma_async.tasks import VideoTask

Observer = Callable[[Generation], object]


class Follower:
    """Follows jobs of one client, and tells the terminal how they are taken up again meanwhile.

    `output` is where their files go; they are not downloaded if there is none.
    """

    def __init__(
        self,
        luma: LumaClient,
        terminal: Terminal,
        board: Board,
        connection: Connection,
        *,
        output: Output | None = None,
    ) -> None:
        self._luma = luma
        self._terminal = terminal
        self._board = board
        self._connection = connection
        self._output = output

    async def see_through(
        self, task: VideoTask, line: Line, *, observe: Observer = lambda _: None
    ) -> Report:
        """Follow a job to its end, and return what became of it. Errors are in the report."""
        self._terminal.take_up[task.id] = self._connection.command("watch", task.id)
        file = None
        error: LumaError | None = None
        try:
            state = None
            async for generation in task.updates():
                self._board.move(line, generation.state, generation.progress)
                if generation.state is not state:
                    state = generation.state
                    observe(generation)
            generation = await task
            if self._output is not None:
                file = await self._downloaded(generation, line, self._output)
        except LumaError as caught:
            error = caught
            self._board.move(line, state_after(error))
        del self._terminal.take_up[task.id]
        return Report(id=task.id, key=task.key, generation=task.generation, file=file, error=error)

    async def find(self, id: str, line: Line, *, observe: Observer = lambda _: None) -> Report:
        """Follow the job with an id."""
        self._board.move(line, "looking")
        try:
            task = await self._luma.watch(id)
        except LumaError as error:
            self._board.move(line, state_after(error))
            return Report(id=id, error=error)
        if task.generation.prompt:
            line.retitle(f"{id}  {task.generation.prompt}")
        return await self.see_through(task, line, observe=observe)

    async def _downloaded(self, generation: Generation, line: Line, output: Output) -> Path:
        here = await anyio.to_thread.run_sync(output.existing, generation.id)
        if here is not None:
            self._terminal.say(f"{here} is here already; --overwrite replaces it.")
            self._board.move(line, "saved")
            return here
        self._terminal.take_up[generation.id] = self._download_command(generation.id, output)
        self._board.move(line, "downloading")
        file = await self._luma.download(
            generation,
            output.path,
            what=output.what,
            watermark_free=output.watermark_free,
            overwrite=output.overwrite,
            progress=lambda done, total: self._board.receive(line, done, total),
        )
        self._board.move(line, "saved")
        return file

    def _download_command(self, id: str, output: Output) -> str:
        return self._connection.command_that_downloads(
            "download",
            id,
            *([] if output.watermark_free else ["--watermark"]),
            *(["--overwrite"] if output.overwrite else []),
            output=output.named_place,
            what=None if output.what == "video" else output.what,
        )


def state_after(error: LumaError) -> str:
    """Return where an error leaves a job on the board."""
    if isinstance(error, GenerationFailedError):
        return "failed"
    return "not saved" if isinstance(error, DownloadError) else "stopped"


async def side_by_side(works: Iterable[Awaitable[None]]) -> None:
    """Do several things at once; the first exception ends them all, and is raised as it is."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
