"""Lane: concurrency limit and rate limiter for calls of one kind."""

from __future__ import annotations

import anyio

from luma_async.transport.rate_limiter import RateLimiter


class Lane:
    """Limit the calls of one kind to a number of places, and to the rate that the server allows.

    All kinds share the places of `shared`. A call that waits for the rate limiter takes none of
    these, so that a limit of one kind does not slow the others.
    """

    def __init__(self, kind: str, places: int, shared: anyio.Semaphore) -> None:
        self.limiter = RateLimiter(kind)
        self._own = anyio.Semaphore(places, fast_acquire=True)
        self._shared = shared

    @property
    def is_free(self) -> bool:
        """`True` if a call can be sent now."""
        return self.limiter.is_open and bool(self._own.value and self._shared.value)

    def try_to_enter(self) -> bool:
        """Take a place and return `True` if a call can be sent now."""
        # The condition of `is_free`, without its call: each request comes by here.
        if not (self.limiter.is_open and self._own.value and self._shared.value):
            return False
        self._own.acquire_nowait()
        self._shared.acquire_nowait()
        return True

    async def enter(self) -> None:
        """Wait for the rate limiter and a place, and take the place."""
        await self._own.acquire()
        try:
            await self.limiter.wait()
            await self._shared.acquire()
            while self.limiter.is_held:  # a 429 may have arrived during the wait for the place
                self._shared.release()
                await self.limiter.wait()
                await self._shared.acquire()
        except BaseException:
            self._own.release()
            raise

    def leave(self) -> None:
        """Release the place."""
        self._shared.release()
        self._own.release()
