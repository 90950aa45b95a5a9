"""Lane: the way out for calls of one kind, apart from those of the others."""

from __future__ import annotations

import anyio

from luma_async.transport.rate_limiter import RateLimiter


class Lane:
    """Lets calls of one kind leave: so many at a time, and no faster than the server bears.

    Those that wait for the brake take none of the places that all kinds share.
    """

    def __init__(self, kind: str, places: int, shared: anyio.Semaphore) -> None:
        self.limiter = RateLimiter(kind)
        self._own = anyio.Semaphore(places, fast_acquire=True)
        self._shared = shared

    @property
    def is_free(self) -> bool:
        """Whether a call could leave now."""
        return self.limiter.is_open and bool(self._own.value and self._shared.value)

    def try_to_enter(self) -> bool:
        """Take a place if a call could leave now."""
        if not self.is_free:
            return False
        self._own.acquire_nowait()
        self._shared.acquire_nowait()
        return True

    async def enter(self) -> None:
        """Wait for the brake and a free place, and take it."""
        await self._own.acquire()
        try:
            await self.limiter.wait()
            await self._shared.acquire()
            while self.limiter.is_held:  # since it had to wait for the place
                self._shared.release()
                await self.limiter.wait()
                await self._shared.acquire()
        except BaseException:
            self._own.release()
            raise

    def leave(self) -> None:
        """Give the place back."""
        self._shared.release()
        self._own.release()
