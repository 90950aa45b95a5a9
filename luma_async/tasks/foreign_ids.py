"""Foreign ids: detect answers about another job, on gateways that may rename jobs. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MIN_LOOKS = 3
"""Number of consecutive looks at a job that must show the same foreign id before the id can be
assigned to the job."""

ASSIGN_AFTER = 60.0
"""Seconds of consecutive looks with the same foreign id after which the id is assigned to the job
in any case."""

MAX_JOBS = 200_000
"""Maximum number of jobs whose ids are remembered. The oldest are forgotten first."""


@dataclass(slots=True)
class _Sighting:
    """Foreign ids that were seen in answers about one job.

    `candidate` is the id that was seen last, `since` and `times` tell for how long. `was_running`
    is `True` if the candidate's job was unfinished when the id was first seen.
    """

    assigned: str | None = None
    candidate: str | None = None
    since: float = 0.0
    times: int = 0
    was_running: bool = False


class ForeignIds:
    """Judge of answers whose id differs from the requested id.

    The row of another job must never end this job, because its owner would get somebody else's
    video. But some gateways pass on the answers of an upstream server with the upstream's ids, and
    a paid job must not be lost because of that. Such a gateway can be recognised: it never answers
    with the requested id, it shows the same foreign id at each look at a job, and it shows no
    foreign id for two jobs. On such a gateway, `MIN_LOOKS` consecutive looks are enough if the
    first of them found the job running, since a cached row of another job would never finish.

    In all other cases a foreign id is assigned only after `assign_after` seconds of the same
    answer. Once that has happened on a gateway that never answers with requested ids, a few looks
    are enough for finished jobs as well.
    """

    def __init__(self, *, assign_after: float = ASSIGN_AFTER, max_jobs: int = MAX_JOBS) -> None:
        self._assign_after = assign_after
        self._max_jobs = max_jobs
        self._sightings: dict[str, _Sighting] = {}
        self._job_of: dict[str, str] = {}  # for assigned foreign ids and candidates
        self._own: dict[str, None] = {}  # ids that were answered as requested, in order
        self._renames_jobs = False

    def saw_own_id(self, id: str) -> None:
        """Record that a look at a job was answered with the requested id."""
        self._own[id] = None
        if len(self._own) > self._max_jobs:
            del self._own[next(iter(self._own))]
        if (sighting := self._sightings.get(id)) is not None:
            self._drop_candidate(id, sighting)

    def is_same_job(
        self, id: str, foreign: str, *, running: bool, is_another: bool, now: float
    ) -> bool:
        """Record that a look at a job was answered with a foreign id.

        Args:
            id: the requested id.
            foreign: the id in the answer.
            running: `True` if the answer says that the job is unfinished.
            is_another: `True` if the foreign id is the id of another job of this client.
            now: the time in seconds.

        Returns:
            `True` if the foreign id is assigned to the job, so that the answer can be used.

        """
        sighting = self._sightings.get(id) or self._add_sighting(id)
        if foreign == sighting.assigned:
            self._drop_candidate(id, sighting)
            return True
        owner = self._job_of.get(foreign, id)
        if is_another or foreign in self._own or owner != id:
            self._drop_candidate(id, sighting)
            self._restart(foreign, owner)
            return False
        if foreign != sighting.candidate:
            self._drop_candidate(id, sighting)
            sighting.candidate, sighting.since = foreign, now
            sighting.times, sighting.was_running = 0, running
            self._job_of[foreign] = id
        sighting.times += 1
        is_plain = (sighting.was_running or self._renames_jobs) and not self._own
        is_long_enough = is_plain or now - sighting.since >= self._assign_after
        if sighting.times < MIN_LOOKS or not is_long_enough:
            return False
        self._renames_jobs = True
        if sighting.assigned is not None:
            del self._job_of[sighting.assigned]
        sighting.assigned, sighting.candidate = foreign, None
        return True

    def _add_sighting(self, id: str) -> _Sighting:
        if len(self._sightings) >= self._max_jobs:
            oldest = next(iter(self._sightings))
            forgotten = self._sightings.pop(oldest)
            self._drop_candidate(oldest, forgotten)
            if forgotten.assigned is not None:
                del self._job_of[forgotten.assigned]
        sighting = self._sightings[id] = _Sighting()
        return sighting

    def _drop_candidate(self, id: str, sighting: _Sighting) -> None:
        candidate, sighting.candidate = sighting.candidate, None
        if candidate is not None and self._job_of.get(candidate) == id:
            del self._job_of[candidate]

    def _restart(self, foreign: str, owner: str) -> None:
        """Drop a foreign id as the candidate of its job, because it was seen for another job too.

        An id that is already assigned stays assigned.
        """
        other = self._sightings.get(owner)
        if other is not None and other.candidate == foreign:
            self._drop_candidate(owner, other)
