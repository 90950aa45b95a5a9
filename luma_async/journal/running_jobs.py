"""RunningJobs: the running jobs of the journal that a client polls, or follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakSet

from luma_async.errors import ClientClosedError, NotFoundError, TaskForgottenError
from luma_async.generation import Generation, State
from luma_async.journal.change_listener import ChangeListener
from luma_async.journal.followed_jobs import FollowedJobs
from luma_async.journal.journal import Entry
from luma_async.journal.lease_writer import LeaseWriter
from luma_async.journal.served_jobs import ServedJobs
from luma_async.journal.shared_journal import Change, SharedJournal
from luma_async.journal.write_behind import Ends
from luma_async.tasks import TaskManager, VideoTask
from luma_async.tasks.submitter import kind_of

RELEASE_AFTER = 30.0
"""Seconds after a failed delivery in which the program may try again. Then another process may."""


class RunningJobs:
    """Running jobs of a journal that several processes share. One process polls each job.

    A job that no process watches is leased and polled. One that another live process watches is
    followed: its end comes from the journal.

    Args:
        journal: the journal.
        manager: the task manager.
        ends: the writer of the ends of jobs.
        server: the URL of the API of all jobs.
        open_journal: opens the journal.
        has_hooks: `True` if callbacks about jobs may come.
        owns_journal: `True` if the journal is closed with the client, which releases all jobs.

    """

    def __init__(
        self,
        journal: SharedJournal,
        manager: TaskManager,
        ends: Ends,
        *,
        server: str,
        open_journal: Callable[[], Awaitable[None]],
        has_hooks: bool,
        owns_journal: bool,
    ) -> None:
        self.journal = journal
        self.server = server
        self._open_journal = open_journal
        self._manager = manager
        self._ends = ends
        self._has_hooks = has_hooks
        self._owns_journal = owns_journal
        self._leases = LeaseWriter(
            journal, server=server, on_lease=self._leased, on_delay=self._delayed
        )
        self._followed = FollowedJobs(
            journal, manager, server=server, on_free=self._take_over, record=ends.add
        )
        self._served: WeakSet[ServedJobs] = WeakSet()
        self._listener = ChangeListener(
            journal,
            is_needed=lambda: bool(self._followed or self._served),
            on_begin=self._look_soon,
            on_change=self._heard,
        )
        self._given_up: set[str] = set()
        """Running jobs that this client watches no more, so that it does not take them over."""
        self._taken: set[str] = set()
        """Jobs that iterators have taken over, or are about to, until they have ended."""
        self._offers: dict[str, tuple[Entry, VideoTask]] = {}
        """Jobs, by id, that this client has taken over and that no iterator has yielded yet. The
        program may have dropped the handles on them."""
        self._is_serving = False
        self._is_closing = False
        ends.deliveries.on_failure = self._not_delivered

    def watch(self, entry: Entry) -> VideoTask:
        """Return the handle on a running job, and poll or follow the job."""
        id = entry.id or ""
        self._given_up.discard(id)
        task = self._handle(entry)
        if task.done() or id in self._followed:
            return task
        if not entry.is_watched_elsewhere:
            self._leases.lease(entry)
        elif not self._manager.is_polled(id):
            self._follow(task)
        return task

    def serve(self, only: Callable[[Entry], bool] | None) -> ServedJobs:
        """Return an iterator over the jobs that no live process watches, now and later."""
        served = ServedJobs(self, only)
        self._is_serving = True
        self._served.add(served)
        return served

    def ended(self, task: VideoTask) -> None:
        """Record that the handle of a job is done, and release the job if it is still running."""
        self._taken.discard(task.id)
        if self._followed.ended(task):
            return
        self._ends.add(task)
        if task.state.terminal or isinstance(task.error, NotFoundError | TaskForgottenError):
            self._leases.drop(task.id)
        elif not isinstance(task.error, ClientClosedError):
            self._given_up.add(task.id)
            self._leases.release([task.id])
        elif not self._owns_journal:
            self._leases.release([task.id])

    def stop(self) -> None:
        """Take over no more jobs, because the client is being closed."""
        self._is_closing = True
        for served in list(self._served):
            served.close()
        if self._owns_journal:
            self._leases.leave_all()

    async def aclose(self) -> None:
        """Release the jobs that this client has watched."""
        await self._listener.aclose()
        await self._followed.stop()
        self._leases.release(self._ends.deliveries.unrecorded())
        await self._leases.aclose()

    async def cancel(self) -> None:
        """Stop all work. Releases that are not written are not missed: the heartbeat ends."""
        await self._leases.stop()

    # The calls of `ServedJobs`.

    async def open(self) -> None:
        """Open the journal, and hear the changes of other processes."""
        await self._open_journal()
        self._listener.wake()

    def may_take(self, entry: Entry) -> bool:
        """Return `True` if this client has not given a job up before, nor asks for its lease."""
        id = entry.id or ""
        is_given_up = id in self._given_up or self._ends.deliveries.awaits(id)
        return not (is_given_up or self._leases.is_asked(id) or self._is_closing)

    def begin(self, entry: Entry) -> bool:
        """Return `True` if no iterator of this client has taken a job, or is about to."""
        id = entry.id or ""
        if id in self._taken or self._ends.has_end_of(id) or not self.may_take(entry):
            return False
        if self._manager.is_polled(id):  # the program has it; only the lease was lost
            self._leases.lease(entry)
            return False
        self._taken.add(id)
        return True

    def lost(self, entry: Entry) -> None:
        """Record that another process has got the lease of a job."""
        self._taken.discard(entry.id or "")

    def take(self, entry: Entry) -> VideoTask:
        """Watch a job whose lease this process has, and return its handle."""
        id = entry.id or ""
        self._followed.discard(id)
        task = self._handle(entry)
        self._poll(entry)
        return task

    def take_offer(self, only: Callable[[Entry], bool] | None) -> VideoTask | None:
        """Return a job on offer that an iterator yields next; `None` if there is none for it."""
        for id, (entry, task) in self._offers.items():
            if only is None or only(entry):
                del self._offers[id]
                return task
        return None

    def give_back(self, entry: Entry) -> None:
        """Release a job whose lease this process may have."""
        id = entry.id or ""
        self._taken.discard(id)
        if not self._manager.is_polled(id):
            self._leases.release([id])

    def left(self, served: ServedJobs) -> None:
        """Forget an iterator that has ended."""
        self._served.discard(served)

    def _handle(self, entry: Entry) -> VideoTask:
        """Return the handle on a job, and do not poll the job yet."""
        return self._manager.follow(
            status_of(entry),
            kind=kind_of(entry.verb, entry.request),
            key=entry.key,
            metadata=entry.metadata,
        )

    def _follow(self, task: VideoTask) -> None:
        self._followed.add(task)
        self._listener.wake()

    def _poll(self, entry: Entry) -> None:
        request_id = entry.request_id if self._has_hooks else None
        self._manager.poll(entry.id or "", request_id=request_id)

    def _take_over(self, entry: Entry) -> None:
        """Ask for the lease of a followed job that no process watches any more."""
        id = entry.id or ""
        deliveries = self._ends.deliveries
        if deliveries.awaits(id) and not deliveries.is_open(id):
            self._poll(entry)  # another process may deliver it, because this one has failed
        elif id not in self._taken and not self._leases.is_asked(id):
            self._leases.lease(entry)

    def _leased(self, entry: Entry, is_won: bool) -> None:
        """Poll a job whose lease this process has got, and follow one that it has not."""
        id = entry.id or ""
        task = self._manager.find(id)
        if task is None:
            if is_won and not self._ends.deliveries.awaits(id):
                self._leases.release([id])
        elif is_won:
            was_followed = self._followed.discard(id)
            self._poll(entry)
            if was_followed:
                self._offer(entry, task)
        elif id not in self._followed:
            self._manager.unpoll(id)
            self._follow(task)

    def _offer(self, entry: Entry, task: VideoTask) -> None:
        """Let an iterator yield a job, unless one has it already, because its process has ended."""
        id = entry.id or ""
        if not self._is_serving or id in self._taken:
            return
        self._taken.add(id)
        self._offers[id] = entry, task
        for served in self._served:
            served.look_at_offers()

    def _delayed(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._poll(entry)

    def _not_delivered(self, task: VideoTask) -> None:
        """Release a job whose delivery has failed, unless this program soon tries again."""
        asyncio.get_running_loop().call_later(RELEASE_AFTER, self._release_undelivered, task.id)

    def _release_undelivered(self, id: str) -> None:
        deliveries = self._ends.deliveries
        if deliveries.awaits(id) and not deliveries.is_open(id) and not self._is_closing:
            self._leases.release([id])

    def _look_soon(self) -> None:
        self._followed.look_soon()
        for served in self._served:
            served.look_soon()

    def _heard(self, change: Change) -> None:
        self._followed.heard(change)
        if change.is_released:
            for served in self._served:
                served.look_soon()


def status_of(entry: Entry) -> Generation:
    """Return the status of a running job, as far as its entry tells."""
    return Generation(
        id=entry.id or "",
        state=State.PENDING,
        prompt=entry.request.get("prompt"),
        created_at=entry.submitted_at,
    )
