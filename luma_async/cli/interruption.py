"""Interruption: what Ctrl-C and the end of a service mean while a batch runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

from luma_async.batch import Batch
from luma_async.cli.program import ENDS
from luma_async.cli.terminal import Terminal
from luma_async.client import LumaClient


class Interruption:
    """What Ctrl-C does: once it stops submitting, twice it leaves, as the end of a service does."""

    def __init__(self, terminal: Terminal, luma: LumaClient, batch: Batch) -> None:
        self.count = 0
        self._luma = luma
        self._terminal = terminal
        self._batch = batch

    @property
    def is_final(self) -> bool:
        """Whether it leaves at once."""
        return self.count > 1

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Listen for it, where the system can."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101  this is called in a coroutine

        def leave() -> None:
            self.count += 2
            self._terminal.warn("Leaving, once what was just sent has its answer.")
            task.cancel()

        def interrupt() -> None:
            if self.count:
                leave()
                return
            self.count = 1
            self._batch.stop()
            self._luma.stop_submitting()
            self._terminal.warn(
                "No more is submitted; jobs that run are watched to their end. "
                "Ctrl-C again leaves at once."
            )

        handlers = {signal.SIGINT: interrupt, **dict.fromkeys(ENDS, leave)}
        before = {number: signal.getsignal(number) for number in handlers}
        heard = []
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C leaves at once
            for number, handler in handlers.items():
                if before[number] is not signal.SIG_IGN:  # as nohup has it
                    loop.add_signal_handler(number, handler)
                    heard.append(number)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])
