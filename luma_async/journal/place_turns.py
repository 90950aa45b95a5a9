"""PlaceTurns: the number of submissions that may try to take a shared place. Pure."""

from __future__ import annotations

PROBE_GROWTH = 2
"""Number of further tries after one that succeeded without news of a free place: others may have
become free unnoticed."""


class PlaceTurns:
    """Count of the submissions that may try to take a shared place.

    Only the journal knows if a place is free. A try that fails costs a transaction, so there are
    few of them: at first `max_tasks` at a time, and after one that failed one for each place of
    which there is news. News may get lost, so a probe is made from time to time. While probes
    succeed, there are more and more tries.

    Attributes:
        waiting: number of submissions that wait for their turn.
        trying: number of submissions that had their turn, and have no outcome yet.
        is_full: `True` if a try has failed, and submissions have waited or tried ever since.
        is_probing: `True` if the latest probe has not failed.

    """

    def __init__(self, max_tasks: int) -> None:
        self.waiting = 0
        self.trying = 0
        self.is_full = False
        self._max_tasks = max_tasks
        self._news = 0  # places that became free, and that nobody has tried to take yet
        self.is_probing = False

    @property
    def must_wait(self) -> bool:
        """`True` if a submission that comes now has to wait for its turn."""
        if self.waiting:
            return True
        return bool(self.trying) if self.is_full else self.trying >= self._max_tasks

    @property
    def turns(self) -> int:
        """Number of waiting submissions that may try now."""
        free = self._news if self.is_full else self._max_tasks - self.trying
        return max(min(free, self.waiting), 0)

    def begin(self) -> None:
        """Count a submission that tries now."""
        self.trying += 1
        if self.is_full and self._news:
            self._news -= 1

    def succeeded(self) -> None:
        """Count the end of a try that took a place."""
        self.trying -= 1
        if self.is_probing:
            self._add(PROBE_GROWTH)
        self._settle()

    def failed(self) -> None:
        """Count the end of a try that found no free place."""
        self.trying -= 1
        self.is_full = True
        self.is_probing = False

    def unused(self) -> None:
        """Count the end of a try that did not find out if there is a free place."""
        self.trying -= 1
        self._add(1)
        self._settle()

    def left(self) -> None:
        """Count the end of a wait that was cancelled."""
        self.waiting -= 1
        self._settle()

    def freed(self, places: int) -> None:
        """Record the news that places became free."""
        # While nothing failed and nobody tries, the next submission tries without any news.
        if self.is_full or self.trying:
            self._add(places)

    def probe(self) -> None:
        """Let a waiting submission try without news."""
        if self.is_full and self.waiting and not self._news:
            self.is_probing = True
            self._add(1)

    def _add(self, places: int) -> None:
        self._news = min(self._news + places, self._max_tasks)

    def _settle(self) -> None:
        if not self.waiting and not self.trying:
            self.is_full = self.is_probing = False
            self._news = 0
