"""Signals: short messages between the processes that share a journal.

A signal has a topic and a payload. PostgreSQL passes signals on with NOTIFY, and SQLite in rows of
a table. They are hints: a process that is not listening at the moment never receives them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeAlias

from luma_async.errors import InvalidRequestError, JournalError
from luma_async.journal.sql.error_explanations import explain
from luma_async.journal.sql.signal_sender import Signal, SignalSender

logger = logging.getLogger("luma_async")

LARGEST_PAYLOAD = 7800
"""Maximum size of a payload in bytes. NOTIFY takes less than 8,000 bytes, sender and topic
included."""

_PROBE = "-"
"""Topic of the signals that a listener sends to itself. No other topic is named so."""

_READY_TIMEOUT = 2.0
"""Seconds that the first listening may take before a caller continues without it."""


class SignalListener(Protocol):
    """Background listener that passes signals on, until it is stopped."""

    def start(self) -> None:
        """Begin to listen, now and after each failure."""

    async def ready(self) -> None:
        """Wait until the first attempt to listen has succeeded or failed."""

    async def stop(self) -> None:
        """Stop listening, and release all resources."""


Receive: TypeAlias = Callable[[Signal], None]
SendProbe: TypeAlias = Callable[[str], Awaitable[None]]
OnSignal: TypeAlias = tuple[str, Callable[[str], None]]
"""Topic, and the function to call with each payload."""
MakeListener: TypeAlias = Callable[[Receive, SendProbe], SignalListener]
"""Callable that makes a listener. The listener may send a probe, which it will receive itself."""


class Signals:
    """Signals from and to one open journal, their `sender`.

    `write` sends some signals in a transaction. There is a listener only while a topic is being
    listened to. The signals of this sender itself are not passed on to its functions.

    `functions` are those that listen. They outlive this object: if the journal is opened again, the
    next one has the same list, and `resume()` makes it listen.
    """

    def __init__(
        self,
        sender: str,
        write: Callable[[Sequence[Signal]], Awaitable[None]],
        make_listener: MakeListener,
        functions: list[OnSignal],
    ) -> None:
        self._sender = sender
        self._write = write
        self._outbox = SignalSender(write)
        self._make_listener = make_listener
        self._listener: SignalListener | None = None
        self._functions = functions
        self._is_closed = False

    async def send(self, topic: str, payload: str) -> None:
        """Send a signal to the other processes that listen to a topic. A topic is one word.

        A signal that is repeated within a second is sent once more at the end of that second,
        however often it was repeated.

        Raises:
            InvalidRequestError: the payload is too large, or the topic is not one word.
            JournalError: the signal could not be sent.

        """
        if len(payload.encode()) > LARGEST_PAYLOAD:
            raise InvalidRequestError.of("payload", f"must have {LARGEST_PAYLOAD:,} bytes at most")
        if not topic.isidentifier():
            raise InvalidRequestError.of("topic", f"must be one word, got {topic!r}")
        if self._is_closed:
            raise _closed_error()
        await self._outbox.send(Signal(self._sender, topic, payload))

    @asynccontextmanager
    async def listen(
        self, topic: str, on_signal: Callable[[str], None]
    ) -> AsyncGenerator[None, None]:
        """Call `on_signal(payload)` for each signal of other senders on a topic.

        Listening never fails: the listener logs the problem, and tries again.
        """
        if self._is_closed:
            raise _closed_error()
        function = (topic, on_signal)
        self._functions.append(function)
        try:
            listener = self._started()
            try:
                async with asyncio.timeout(_READY_TIMEOUT):
                    await listener.ready()
            except TimeoutError:
                logger.debug("Listening to the signals of other processes takes long to begin.")
            yield
        finally:
            self._functions.remove(function)
            await self.stop_if_unused()

    def resume(self) -> None:
        """Begin to listen if a closed journal has left functions that do."""
        if self._functions:
            self._started()

    async def stop_if_unused(self) -> None:
        """Stop listening if no function does any more."""
        if not self._functions:
            await self._stop_listening()

    async def aclose(self, *, within: float) -> None:
        """Stop listening, and send the signals that are queued for at most `within` seconds."""
        self._is_closed = True
        try:
            await self._stop_listening()
        finally:
            await self._outbox.aclose(_closed_error(), within=within)

    def _started(self) -> SignalListener:
        """Return the listener. It is made and started if there is none."""
        if self._listener is None:
            self._listener = self._make_listener(self._receive, self._send_probe)
            self._listener.start()
        return self._listener

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.stop()

    async def _send_probe(self, payload: str) -> None:
        await self._write([Signal(self._sender, _PROBE, payload)])

    def _receive(self, signal: Signal) -> None:
        if signal.sender == self._sender:
            return
        for topic, function in list(self._functions):
            if topic == signal.topic:
                try:
                    function(signal.payload)
                except Exception:
                    logger.exception("A function that listens to the topic %r failed.", topic)


class Outage:
    """Reports in the log about the times in which a listener does not receive signals.

    Each outage has one warning, and one line at its end.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._is_reported = False

    def report(self, error: BaseException) -> None:
        """Warn about an error, unless the outage was reported before."""
        if not self._is_reported:
            self._is_reported = True
            reason = str(error) if isinstance(error, JournalError) else f"{explain(error)}."
            logger.warning(
                "The journal %s does not receive the signals of other processes at the moment, and "
                "continues to try. Jobs are polled as usual. The reason: %s",
                self._shown,
                reason,
            )

    def end(self) -> None:
        """Record that signals are received."""
        if self._is_reported:
            self._is_reported = False
            logger.info("The journal %s receives signals of other processes again.", self._shown)


def is_probe(signal: Signal, payload: str) -> bool:
    """Return `True` for the probe with this payload."""
    return signal.topic == _PROBE and signal.payload == payload


def _closed_error() -> JournalError:
    return JournalError("The journal was closed before this signal was sent.")
