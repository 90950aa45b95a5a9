"""Timing: a job is due when the schedule says so, give or take, unless the server knows better."""

from __future__ import annotations

import pytest

from luma_async import FixedSchedule, Generation, PollSchedule, State, VideoTask
from luma_async.tasks.agenda import Agenda
from luma_async.tasks.timing import JITTER, LONGEST_ESTIMATE, Timing
from luma_async.tasks.watch import Watch

NOW = 1000.0


def watch(estimate: float | None = None, looks: int = 0, since: float = NOW) -> Watch:
    generation = Generation(id="job-1", state=State.PENDING, estimate_wait_seconds=estimate)
    watch = Watch(
        VideoTask(generation, lambda _: None), since, born=since, kind="", submitted_here=True
    )
    watch.looks = looks
    return watch


def delay(watch: Watch, schedule: PollSchedule | None = None) -> float:
    agenda: Agenda[Watch] = Agenda(lambda _: False)
    timing = Timing(schedule or FixedSchedule(10.0), task_timeout=3600.0)
    timing.put([watch], agenda, now=NOW, sharing=1)
    assert agenda.next_due() == watch.due
    return watch.due - NOW


def test_delays_are_spread_a_little() -> None:
    """Clients that were started together do not look together for ever."""
    delays = [delay(watch()) for _ in range(200)]

    assert min(delays) >= 10.0 * (1 - JITTER)
    assert max(delays) <= 10.0 * (1 + JITTER)
    assert max(delays) - min(delays) > 10.0 * JITTER


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
    """The first either way, two more to sooner: an estimate that never changes is none."""
    assert low <= delay(watch(estimate, looks)) <= high


def test_nobody_is_due_after_their_time() -> None:
    """The last look is when the time of a job is up."""
    assert delay(watch(since=NOW - 3599.0)) == 1.0
