"""Schedules are pure: an age and a number of looks in, a delay out."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import (
    AdaptiveSchedule,
    ConfigurationError,
    ExponentialSchedule,
    FixedSchedule,
    PollSchedule,
)

AGES = st.floats(0, 1e9)
LOOKS = st.integers(0, 10**6)


@given(AGES, LOOKS)
def test_a_fixed_schedule_never_changes(age: float, looks: int) -> None:
    """The delay is always the interval."""
    assert FixedSchedule(3.0).next_delay(age, looks) == 3.0


def test_an_exponential_schedule_grows_to_its_longest() -> None:
    """Each delay is `factor` times the last."""
    schedule = ExponentialSchedule(first=1.0, factor=2.0, longest=6.0)

    assert [schedule.next_delay(0.0, looks) for looks in range(5)] == [1.0, 2.0, 4.0, 6.0, 6.0]


@given(AGES, LOOKS)
def test_an_exponential_schedule_stays_between_first_and_longest(age: float, looks: int) -> None:
    """The number of looks does not matter."""
    assert 2.0 <= ExponentialSchedule().next_delay(age, looks) <= 10.0


@given(st.floats(0, 1e6))
def test_simple_schedules_ignore_durations(duration: float) -> None:
    """Calls of `observe()` have no effect."""
    schedules: list[PollSchedule] = [FixedSchedule(), ExponentialSchedule()]
    for schedule in schedules:
        before = schedule.next_delay(10.0, 3)
        schedule.observe(duration)
        assert schedule.next_delay(10.0, 3) == before


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_an_invalid_interval_is_rejected(interval: float) -> None:
    """Zero would look without a pause, infinity never."""
    with pytest.raises(ConfigurationError, match="interval"):
        FixedSchedule(interval)


@pytest.mark.parametrize(
    "settings", [{"first": 0}, {"factor": 0.5}, {"first": 9.0, "longest": 8.0}]
)
def test_invalid_exponential_settings_are_rejected(settings: dict[str, float]) -> None:
    """The error names all related settings."""
    with pytest.raises(ConfigurationError, match="first at most longest"):
        ExponentialSchedule(**settings)


@pytest.mark.parametrize("kind", [FixedSchedule, ExponentialSchedule, AdaptiveSchedule])
@pytest.mark.parametrize("value", [None, "3", True], ids=repr)
def test_settings_of_a_schedule_are_numbers(kind: type, value: object) -> None:
    """The error names the setting."""
    for name, parameter in inspect.signature(kind).parameters.items():
        if name != "learned":
            assert isinstance(parameter.default, float)
            with pytest.raises(ConfigurationError, match=f"^{kind.__name__}: .*{name}"):
                kind(**{name: value})
