"""Timing: a job is due by its schedule with some jitter, or by an estimate of the server."""

from __future__ import annotations

import itertools
import math

import pytest

from luma_async import (
    ExponentialSchedule,
    FixedSchedule,
    Generation,
    PollSchedule,
    State,
    VideoTask,
)
from luma_async.tasks.agenda import Agenda
from luma_async.tasks.timing import JITTER, LONGEST_ESTIMATE, LinkSchedule, Timing
from luma_async.tasks.watched_job import WatchedJob
from tests.watchers import Witness

NOW = 1000.0


def watch(estimate: float | None = None, looks: int = 0, since: float = NOW) -> WatchedJob:
    generation = Generation(id="job-1", state=State.PENDING, estimate_wait_seconds=estimate)
    watch = WatchedJob(
        VideoTask(generation, Witness()), since, born=since, kind="", submitted_here=True
    )
    watch.looks = looks
    return watch


def delay(
    watch: WatchedJob, schedule: PollSchedule | None = None, *, at_most: float = math.inf
) -> float:
    agenda: Agenda[WatchedJob] = Agenda(lambda _: False)
    timing = Timing(schedule or FixedSchedule(10.0), task_timeout=3600.0, link_timeout=120.0)
    timing.put([watch], agenda, now=NOW, sharing=1, at_most=at_most)
    assert agenda.next_due() == watch.due
    return watch.due - NOW


def test_delays_are_spread_a_little() -> None:
    """Clients that were started together do not look together forever."""
    delays = [delay(watch()) for _ in range(200)]

    assert min(delays) >= 10.0 * (1 - JITTER)
    assert max(delays) <= 10.0 * (1 + JITTER)
    assert max(delays) - min(delays) > 10.0 * JITTER


class _Adapting:
    """Poll schedule that treats kinds of request differently, and returns 10 s for each."""

    def next_delay(self, age: float, looks: int) -> float:
        return 10.0

    def observe(self, duration: float) -> None:
        """Do nothing."""

    def for_jobs(self, kind: str, sharing: int) -> PollSchedule:
        return self


@pytest.mark.parametrize(
    ("estimate", "looks", "low", "high"),
    [
        (None, 0, 9.5, 10.5),
        (0.0, 0, 9.5, 10.5),
        (2.0, 0, 2.0, 2.1),
        (60.0, 0, 60.0, 63.0),
        (1e6, 0, LONGEST_ESTIMATE, LONGEST_ESTIMATE * 1.05),
        (2.0, 1, 2.0, 2.1),
        (60.0, 1, 9.5, 10.5),
        (2.0, 3, 9.5, 10.5),
    ],
)
def test_an_estimate_of_the_servers_moves_the_first_looks(
    estimate: float | None, looks: int, low: float, high: float
) -> None:
    """An estimate replaces the first delay and shortens the next two; later ones are ignored."""
    assert low <= delay(watch(estimate, looks), _Adapting()) <= high


class _OfAUser:
    """Poll schedule of a user."""

    def next_delay(self, age: float, looks: int) -> float:
        return 10.0

    def observe(self, duration: float) -> None:
        """Do nothing."""


@pytest.mark.parametrize("estimate", [0.5, 37.0, 1e6])
@pytest.mark.parametrize(
    "schedule", [FixedSchedule(10.0), ExponentialSchedule(10.0, 1.0, 10.0), _OfAUser()]
)
def test_an_estimate_moves_no_look_of_a_schedule_that_does_not_adapt(
    schedule: PollSchedule, estimate: float
) -> None:
    """A user who chose a delay gets it, give or take the jitter."""
    assert 9.5 <= delay(watch(estimate), schedule) <= 10.5


def test_no_job_is_due_after_its_timeout() -> None:
    """The last look is at the time at which `task_timeout` ends."""
    assert delay(watch(since=NOW - 3599.0)) == 1.0


class _NotANumber:
    """Poll schedule of a user that returns NaN."""

    def next_delay(self, age: float, looks: int) -> float:
        return math.nan

    def observe(self, duration: float) -> None:
        """Do nothing."""


@pytest.mark.parametrize("at_most", [math.inf, 2.0])
def test_a_delay_of_nan_becomes_a_short_one(at_most: float) -> None:
    """Too many looks are better than none."""
    assert delay(watch(), _NotANumber(), at_most=at_most) == pytest.approx(0.01)


def test_a_look_can_be_wanted_sooner_than_the_schedule_has_it() -> None:
    """A rejected look is repeated before the schedule is due."""
    assert delay(watch(), FixedSchedule(30.0), at_most=2.0) == pytest.approx(2.0)
    assert delay(watch(), FixedSchedule(1.0), at_most=2.0) < 1.1


@pytest.mark.parametrize("schedule", [FixedSchedule(30.0), FixedSchedule(0.01)])
def test_a_job_without_its_link_is_due_by_the_links_own_schedule(schedule: PollSchedule) -> None:
    """The next look comes neither half a minute later nor a hundred times per second."""
    without_link = watch()
    without_link.without_output_since = NOW - 8.0

    assert delay(without_link, schedule) == pytest.approx(4.0)


def looks_for_a_link(timeout: float) -> list[float]:
    """Return the moments of all looks, from the completion on."""
    links = LinkSchedule(timeout)
    moments = [0.0]
    while (wait := links.next_delay(moments[-1])) > 0:
        moments.append(moments[-1] + wait)
    return moments[1:]


@pytest.mark.parametrize("timeout", [0.5, 30.0, 120.0, 3600.0])
def test_looks_for_a_link_come_soon_and_then_more_slowly(timeout: float) -> None:
    """The first look comes within a second, and no delay is over 10 s."""
    moments = looks_for_a_link(timeout)
    gaps = [later - sooner for sooner, later in itertools.pairwise([0.0, *moments])]

    assert gaps[0] <= 1.0
    assert max(gaps) <= 10.0
    assert sorted(gaps[:-1]) == pytest.approx(gaps[:-1])
    assert moments[-1] == pytest.approx(timeout)


def test_a_link_that_never_comes_costs_few_looks() -> None:
    """The looks are counted within the default of two minutes."""
    assert len(looks_for_a_link(120.0)) == 18
