"""Foreign ids: tell another job's row from a job that the gateway calls by another id. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LOOKS = 3
"""A foreign id must be answered for a job so many times in a row before it counts as the job's."""

SURE_AFTER = 60.0
"""Seconds of nothing but one foreign id after which it counts as the job's in any case."""

_MOST_JOBS = 200_000
"""Jobs whose ids are remembered; further ones take the place of the oldest."""


@dataclass(slots=True)
class _Sighting:
    """The foreign ids that were answered for one job."""

    believed: str | None = None
    candidate: str | None = None
    since: float = 0.0
    times: int = 0
    began_running: bool = False


class ForeignIds:
    """Tells rows of other jobs from rows that call the same job by another id.

    A row of another job must never end this one, for its owner would get somebody else's video.
    But some gateways pass on the answers of their upstream, which has ids of its own, and a job
    that is paid for must not be lost over that. Such a gateway gives itself away: it never answers
    with the id that it was asked for, but for each job with the same foreign id look after look,
    and with none for two jobs. Some looks in a row are enough there, if the first of them found
    the job running: a row of another job that is kept by mistake does not go on to its end. In
    all other cases only a minute of the same answer is believed; where that was so once, on a
    gateway that never answers by id, some looks are enough for jobs that have ended, too.
    """

    def __init__(self) -> None:
        self._sightings: dict[str, _Sighting] = {}
        self._claims: dict[str, str] = {}  # by foreign id: the job that it is believed or may be of
        self._own: dict[str, None] = {}  # ids that jobs were answered by, in order
        self._passes_ids_on = False

    def named(self, id: str) -> None:
        """Note that a look at one job was answered with its own id."""
        self._own[id] = None
        if len(self._own) > _MOST_JOBS:
            del self._own[next(iter(self._own))]
        if (sighting := self._sightings.get(id)) is not None:
            self._drop_candidate(id, sighting)

    def is_same_job(
        self, id: str, foreign: str, *, running: bool, is_another: bool, now: float
    ) -> bool:
        """Note that a look at the job `id` was answered with a foreign id, and judge it.

        `running` is whether the row says that its job is. `is_another` is whether the foreign id
        is that of another job of this client's.
        """
        sighting = self._sightings.get(id) or self._begin(id)
        if foreign == sighting.believed:
            self._drop_candidate(id, sighting)
            return True
        claimed_by = self._claims.get(foreign, id)
        if is_another or foreign in self._own or claimed_by != id:
            self._drop_candidate(id, sighting)
            self._dispute(foreign, claimed_by)
            return False
        if foreign != sighting.candidate:
            self._drop_candidate(id, sighting)
            sighting.candidate, sighting.since = foreign, now
            sighting.times, sighting.began_running = 0, running
            self._claims[foreign] = id
        sighting.times += 1
        is_plain = (sighting.began_running or self._passes_ids_on) and not self._own
        is_long_enough = is_plain or now - sighting.since >= SURE_AFTER
        if sighting.times < LOOKS or not is_long_enough:
            return False
        self._passes_ids_on = True
        if sighting.believed is not None:
            del self._claims[sighting.believed]
        sighting.believed, sighting.candidate = foreign, None
        return True

    def _begin(self, id: str) -> _Sighting:
        if len(self._sightings) >= _MOST_JOBS:
            oldest = next(iter(self._sightings))
            forgotten = self._sightings.pop(oldest)
            self._drop_candidate(oldest, forgotten)
            if forgotten.believed is not None:
                del self._claims[forgotten.believed]
        sighting = self._sightings[id] = _Sighting()
        return sighting

    def _drop_candidate(self, id: str, sighting: _Sighting) -> None:
        candidate, sighting.candidate = sighting.candidate, None
        if candidate is not None and self._claims.get(candidate) == id:
            del self._claims[candidate]

    def _dispute(self, foreign: str, claimed_by: str) -> None:
        """Have a foreign id that is answered for two jobs begin anew with both, if not believed."""
        other = self._sightings.get(claimed_by)
        if other is not None and other.candidate == foreign:
            self._drop_candidate(claimed_by, other)
