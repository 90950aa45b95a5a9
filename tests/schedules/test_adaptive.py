"""The adaptive schedule: looks are most frequent at the ages at which jobs end."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import AdaptiveSchedule, ConfigurationError, PollSchedule
from luma_async.schedules.adaptive import MAX_KINDS
from luma_async.schedules.schedule import ScheduleByKind

FREE: dict[str, Any] = {"shortest": 1e-3, "longest": 1e6}


def taught(schedule: AdaptiveSchedule, jobs: int = 200, median: float = 60.0) -> AdaptiveSchedule:
    chance = random.Random(5)
    for _ in range(jobs):
        schedule.observe(median * math.exp(chance.gauss(0, 0.35)))
    return schedule


def ages(schedule: PollSchedule, until: float) -> list[float]:
    found: list[float] = []
    age = 0.0
    while age < until:
        age += schedule.next_delay(age, len(found))
        found.append(age)
    return found


def lateness(schedule: PollSchedule) -> tuple[float, float]:
    """Return looks and seconds of lateness for a job, on average over log-normal durations."""
    chance = random.Random(6)
    looks = ages(schedule, 600.0)
    late = seen = 0.0
    for _ in range(4000):
        duration = 60.0 * math.exp(chance.gauss(0, 0.35))
        number = next(number for number, age in enumerate(looks) if age >= duration)
        late += looks[number] - duration
        seen += number + 1
    return seen / 4000, late / 4000


def test_it_looks_where_jobs_end() -> None:
    """Looks are rare while no job ends, and frequent once the first jobs do."""
    looks = ages(taught(AdaptiveSchedule(0.25, **FREE)), 200.0)

    early, late = (sum(low <= age < low + 30 for age in looks) for low in (0, 40))
    assert early <= 1
    assert late >= 5


def test_it_is_twice_as_good_as_a_fixed_interval() -> None:
    """With the same number of looks, the mean lateness is about half."""
    looks, late = lateness(taught(AdaptiveSchedule(0.25, **FREE)))

    interval = 62.5 / (looks - 0.5)  # gives as many looks on average

    assert late < 0.65 * interval / 2


def test_look_cost_is_what_a_look_is_worth() -> None:
    """A quarter of `look_cost` gives twice the looks and half the lateness."""
    few, late = lateness(taught(AdaptiveSchedule(1.0, **FREE)))
    many, less_late = lateness(taught(AdaptiveSchedule(0.25, **FREE)))

    assert many == pytest.approx(2 * few, rel=0.15)
    assert less_late == pytest.approx(late / 2, rel=0.15)


def test_jobs_that_share_a_request_are_looked_at_more_often() -> None:
    """Each of a hundred jobs pays for a hundredth of the request, and for its row."""
    schedule = taught(AdaptiveSchedule(0.25, **FREE))

    alone = len(ages(schedule.for_jobs("generate", 1), 100.0))
    shared = len(ages(schedule.for_jobs("generate", 100), 100.0))

    assert 6 * alone < shared < 9 * alone


def test_kinds_are_learned_separately() -> None:
    """An extension that takes longer is looked at later than a new video."""
    schedule = AdaptiveSchedule()
    for _ in range(50):
        schedule.for_jobs("generate", 1).observe(30.0)
        schedule.for_jobs("extend", 1).observe(120.0)

    first = {kind: schedule.for_jobs(kind, 1).next_delay(0.0, 0) for kind in ("generate", "extend")}

    assert first["generate"] < 30 <= first["extend"]


def test_a_new_kind_begins_with_what_all_kinds_taught() -> None:
    """The default expectation is not used."""
    schedule = taught(AdaptiveSchedule(), median=300.0)

    assert schedule.for_jobs("generate ray-v3", 1).next_delay(0.0, 0) > 20.0
    assert AdaptiveSchedule().for_jobs("generate ray-v3", 1).next_delay(0.0, 0) < 15.0


def test_kinds_without_end_do_not_fill_the_memory() -> None:
    """Names of models are not limited."""
    schedule = AdaptiveSchedule()
    for number in range(MAX_KINDS + 50):
        schedule.for_jobs(f"kind {number}", 1).observe(60.0)

    assert len(schedule.learned()) == MAX_KINDS


def test_learned_durations_can_be_saved() -> None:
    """A later schedule continues with the state of an earlier one."""
    schedule = taught(AdaptiveSchedule(), median=200.0)
    schedule.for_jobs("extend", 1).observe(500.0)

    kept = json.loads(json.dumps(schedule.learned()))
    later = AdaptiveSchedule(learned=kept)

    assert later.learned() == schedule.learned()
    for kind in ("", "extend"):
        assert later.for_jobs(kind, 1).next_delay(9.0, 1) == pytest.approx(
            schedule.for_jobs(kind, 1).next_delay(9.0, 1), rel=0.1
        )


@given(
    st.lists(st.floats(1e-2, 1e5), max_size=20),
    st.floats(0, 1e9),
    st.integers(0, 10**6),
    st.integers(1, 1000),
)
def test_delays_keep_to_their_bounds(
    durations: list[float], age: float, looks: int, sharing: int
) -> None:
    """Delays are within their bounds at any age, and equal for equal arguments."""
    schedule = AdaptiveSchedule(shortest=0.5, longest=20.0)
    for duration in durations:
        schedule.observe(duration)

    delays = {schedule.for_jobs("", sharing).next_delay(age, looks) for _ in range(2)}

    assert len(delays) == 1
    assert 0.5 <= delays.pop() <= 20.0


def test_a_change_is_noticed_by_a_view_that_was_there_before() -> None:
    """Learned durations take effect at once in all schedules of a kind."""
    schedule = AdaptiveSchedule()
    view = schedule.for_jobs("generate", 1)
    before = view.next_delay(0.0, 0)

    for _ in range(30):
        schedule.for_jobs("generate", 50).observe(500.0)

    assert view.next_delay(0.0, 0) > 2 * before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"look_cost": 0}, "look_cost"),
        ({"look_cost": math.nan}, "look_cost"),
        ({"shortest": 5.0, "longest": 4.0}, "shortest at most longest"),
        ({"longest": math.inf}, "longest"),
        ({"expected": 0}, "expected"),
        ({"learned": {"": {"weight": 1}}}, "learned"),
        ({"learned": {"extend": None}}, "extend"),
    ],
    ids=str,
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], said: str) -> None:
    """The error names the wrong setting."""
    with pytest.raises(ConfigurationError, match=said):
        AdaptiveSchedule(**settings)


def test_its_repr_shows_the_expected_duration() -> None:
    """`repr()` is readable."""
    text = repr(taught(AdaptiveSchedule()))

    assert "look_cost=0.25" in text
    assert "expects 56 s" in text


def test_it_is_a_schedule_by_kind() -> None:
    """The poller requests the schedule of each kind."""
    assert isinstance(AdaptiveSchedule(), ScheduleByKind)
