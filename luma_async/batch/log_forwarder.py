"""Log forwarder: pass the warnings of a worker on to the log of the coordinator of its batch."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable

_MOST_WAITING = 100
"""Maximum number of messages that wait to be sent. The oldest ones are dropped."""

_logger = logging.getLogger("luma_async")


class LogForwarder(logging.Handler):
    """Collects the warnings and errors of this library in a process, from `start()` to `stop()`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._waiting: deque[tuple[int, str]] = deque(maxlen=_MOST_WAITING)

    def start(self) -> None:
        """Collect messages from now on."""
        _logger.addHandler(self)

    def stop(self) -> None:
        """Collect no more messages."""
        _logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the level and the text of a message. Tracebacks stay in the log of the worker."""
        self._waiting.append((record.levelno, record.getMessage()))

    def take(self) -> list[tuple[int, str]]:
        """Return the messages since the last call."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


def log_forwarded(messages: Iterable[tuple[int, str]], worker: str) -> None:
    """Log the messages that a worker has sent."""
    for level, text in messages:
        _logger.log(level, "%s (on the worker %s)", text, worker)
