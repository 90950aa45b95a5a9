"""Bodies of callbacks: counted while they are read, and kept only if they are of use."""

from __future__ import annotations

MOST_KEPT_BYTES = 16 * 2**20
"""Maximum number of bytes of bodies in memory, over all connections of a receiver. A body beyond
that is counted and dropped: its callback is a hint without it as well."""


class BodyMemory:
    """Memory for the bodies that are being read at the same time."""

    def __init__(self, most: int = MOST_KEPT_BYTES) -> None:
        self._left = most

    def take(self, size: int) -> bool:
        """Take memory, and return `False` if that much is not left."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """Give memory back."""
        self._left += size


class CallbackBody:
    """Body of one callback while it is read.

    Every body is read in the same way and with the same limit. That of a callback with an invalid
    token is not kept, so that forged callbacks take no memory.

    Args:
        memory: the memory that all bodies share.
        limit: maximum size in bytes.
        is_kept: `True` if the body is of use.

    """

    __slots__ = ("_chunks", "_is_kept", "_kept", "_limit", "_memory", "_size")

    def __init__(self, memory: BodyMemory, *, limit: int, is_kept: bool) -> None:
        self._memory = memory
        self._limit = limit
        self._is_kept = is_kept
        self._chunks: list[bytes] = []
        self._kept = self._size = 0

    def add(self, chunk: bytes) -> bool:
        """Add the next part, and return `False` if the body is larger than allowed."""
        self._size += len(chunk)
        if self._size > self._limit:
            return False
        if self._is_kept and chunk:
            if self._memory.take(len(chunk)):
                self._kept += len(chunk)
                self._chunks.append(chunk)
            else:
                self._is_kept = False
                self.release()
        return True

    def content(self) -> bytes:
        """Return the whole body, or nothing if it was not kept."""
        return b"".join(self._chunks)

    def release(self) -> None:
        """Give back the memory of the body."""
        self._memory.give_back(self._kept)
        self._kept = 0
        self._chunks.clear()
