"""No account calls: base of the dialects whose servers tell nothing about an account. Pure."""

from __future__ import annotations

from typing import ClassVar

from luma_async.dialects.account import Credits, Page
from luma_async.errors import UnsupportedError
from luma_async.transport.call import Call


class NoAccountCalls:
    """Calls that raise `UnsupportedError`, with the name of the dialect and advice.

    Attributes:
        name: name of the dialect.
        list_instead: advice for callers who want the list of jobs.
        credits_instead: advice for callers who want the balance.

    """

    name: ClassVar[str]
    list_instead: ClassVar[str]
    credits_instead: ClassVar[str]

    def page(self, *, offset: int, limit: int) -> Call[Page]:  # noqa: ARG002  of the protocol
        """Raise an error, because there is no list of jobs.

        Raises:
            UnsupportedError: always.

        """
        raise self._unsupported("generations", "has no list of jobs", self.list_instead)

    def delete(self, id: str) -> Call[None]:  # noqa: ARG002  of the protocol
        """Raise an error, because jobs cannot be deleted.

        Raises:
            UnsupportedError: always.

        """
        raise self._unsupported(
            "delete", "has no call that deletes a job", "forget() on its handle stops watching it"
        )

    def credits(self) -> Call[Credits]:
        """Raise an error, because there is no call for the balance.

        Raises:
            UnsupportedError: always.

        """
        raise self._unsupported("credits", "has no call for the balance", self.credits_instead)

    def concepts(self) -> Call[tuple[str, ...]]:
        """Raise an error, because there are no concepts.

        Raises:
            UnsupportedError: always.

        """
        raise self._unsupported(
            "concepts", "has no concepts", "describe the motion of the camera in the prompt"
        )

    def _unsupported(self, call: str, problem: str, instead: str) -> UnsupportedError:
        return UnsupportedError.of(call, f"the {self.name} dialect {problem}; {instead}")
