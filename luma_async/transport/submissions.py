"""What is told of a submission while it is on its way."""

from __future__ import annotations

from typing import Protocol, TypeVar

from luma_async.errors import LumaError

T_contra = TypeVar("T_contra", contravariant=True)


class SubmissionRecord(Protocol[T_contra]):
    """Writes down what becomes of one submission, before its caller sees it.

    Each try is told of: `sending()` first, `confirm()` when it is about to leave, then one of the
    others, which never raise. None of them is cut off by a cancellation of the caller.
    """

    @property
    def request_id(self) -> str:
        """The id that goes with each try, so that a server can tell that they are one job's."""

    async def sending(self) -> None:
        """Note that the submission leaves now; what this raises keeps it from leaving."""

    async def confirm(self) -> None:
        """Look once more, right before it leaves, that it still may; raises as `sending()`."""

    async def taken(self, result: T_contra) -> None:
        """Note what the server answered."""

    async def not_taken(self) -> None:
        """Note that it did not leave, or was refused."""

    async def unclear(self, error: LumaError) -> None:
        """Note that it may have been taken."""

    def cut_off(self, *, has_left: bool) -> None:
        """Note, without waiting, that nobody will hear of it, as everything is being ended."""
