"""Job pages: go through a list of jobs page by page while it changes. Pure.

A server counts the jobs in its list from the newest, so that each new job moves all others to the
next place, and each deleted one moves them back.
"""

from __future__ import annotations

from luma_async.dialects.account import Page
from luma_async.generation import Generation


class JobPages:
    """Progress in a list of jobs: the next page to request, and the jobs that were seen.

    A page begins with the last job of the page before. If none of its jobs was seen before, jobs
    were deleted, and those in between have moved to earlier pages. Thus no job is left out, and
    none comes twice. A server that ignores the offset answers with the same page again, which ends
    the list as well.
    """

    def __init__(self, size: int) -> None:
        self.size = max(size, 2)  # one job more than the one that pages have in common
        self.offset = 0
        self.is_done = False
        self._seen: set[str] = set()
        self._longest = 0
        self._fruitless: set[tuple[str, ...]] = set()

    def take(self, page: Page) -> list[Generation]:
        """Take the page at `offset`. Return its new jobs, and set `offset` for the next page."""
        ids = tuple(generation.id for generation in page.generations)
        has_overlap = self.offset > 0 and self._longest > 1
        is_joined = not has_overlap or not self._seen.isdisjoint(ids)
        fresh = {
            generation.id: generation
            for generation in page.generations
            if generation.id not in self._seen
        }
        if not is_joined:
            self._step(ids, max(0, self.offset - self.size), is_fruitful=False)
            return []
        self._seen.update(fresh)
        self._longest = max(self._longest, len(ids))
        # Servers may have shorter pages than requested, so a short page is not the last one.
        has_more = len(ids) >= self._longest if page.has_more is None else page.has_more
        if not ids or not has_more:
            self.is_done = True
        else:
            following = self.offset + max(1, len(ids) - 1)
            self._step(ids, following, is_fruitful=bool(fresh))
        return list(fresh.values())

    def _step(self, ids: tuple[str, ...], offset: int, *, is_fruitful: bool) -> None:
        """Go to another offset, unless that leads in a circle."""
        if is_fruitful:
            self._fruitless.clear()
        else:
            self.is_done = ids in self._fruitless
            self._fruitless.add(ids)
        self.offset = offset
