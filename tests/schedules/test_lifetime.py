"""Lifetimes: distributions of durations, learned from finished jobs."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async.schedules.lifetime import Lifetime

POSITIVE = st.floats(1e-3, 1e6)


def after(draw: Callable[[random.Random], float], jobs: int = 400) -> Lifetime:
    chance = random.Random(3)
    lifetime = Lifetime.expecting(60.0)
    for _ in range(jobs):
        lifetime.observe(draw(chance))
    return lifetime


@pytest.mark.parametrize(("median", "spread"), [(10.0, 0.2), (60.0, 0.35), (300.0, 0.8)])
def test_it_finds_median_and_spread(median: float, spread: float) -> None:
    """The initial expectation is forgotten."""
    lifetime = after(lambda chance: median * math.exp(chance.gauss(0, spread)))

    assert lifetime.median == pytest.approx(median, rel=0.2)
    assert lifetime.spread == pytest.approx(spread, rel=0.3)
    assert lifetime.memoryless < 0.1


def test_it_sees_when_jobs_have_no_memory() -> None:
    """The hazard rate of memoryless jobs is constant."""
    lifetime = after(lambda chance: chance.expovariate(1 / 60))

    assert lifetime.memoryless > 0.3
    assert lifetime.hazard(5.0) == pytest.approx(lifetime.hazard(100.0), rel=0.5)


def test_it_adapts_to_a_server_that_has_become_slower() -> None:
    """After a hundred jobs, the old durations hardly count."""
    lifetime = after(lambda chance: 60 * math.exp(chance.gauss(0, 0.35)))
    chance = random.Random(4)
    for _ in range(100):
        lifetime.observe(180 * math.exp(chance.gauss(0, 0.35)))

    assert 140 < lifetime.median < 220


def test_the_hazard_is_the_chance_of_ending_now() -> None:
    """The integral of the hazard rate gives the survival function of the durations."""
    lifetime = after(lambda chance: 60 * math.exp(chance.gauss(0, 0.35)))
    step = 0.05

    cumulated = sum(lifetime.hazard((n + 0.5) * step) * step for n in range(int(60 / step)))

    assert math.exp(-cumulated) == pytest.approx(0.5, abs=0.08)


@given(st.lists(POSITIVE, max_size=30), st.floats(0, 1e9))
def test_the_hazard_is_never_out_of_range(durations: list[float], age: float) -> None:
    """The hazard rate is a finite number at any age."""
    lifetime = Lifetime.expecting(60.0)
    for duration in durations:
        lifetime.observe(duration)

    assert 0.0 <= lifetime.hazard(age) < math.inf


@pytest.mark.parametrize("duration", [0.0, -1.0, math.nan, math.inf])
def test_invalid_durations_are_ignored(duration: float) -> None:
    """A clock that was set back does no harm."""
    lifetime = Lifetime.expecting(60.0)

    lifetime.observe(duration)

    assert lifetime == Lifetime.expecting(60.0)


@given(st.lists(POSITIVE, max_size=30))
def test_its_state_goes_through_json(durations: list[float]) -> None:
    """The restored lifetime equals the saved one."""
    lifetime = Lifetime.expecting(60.0)
    for duration in durations:
        lifetime.observe(duration)

    assert Lifetime.from_state(json.loads(json.dumps(lifetime.state()))) == lifetime


@pytest.mark.parametrize(
    "change",
    [{"weight": 0}, {"total": -1}, {"squares": -1}, {"mean_log": 1e3}, {"evidence": "x"}],
    ids=str,
)
def test_an_invalid_state_is_rejected(change: dict[str, Any]) -> None:
    """The state may come from another program, or may be incomplete."""
    with pytest.raises(ValueError, match="not a valid lifetime"):
        Lifetime.from_state({**Lifetime.expecting(60.0).state(), **change})
    with pytest.raises(ValueError, match="not a valid lifetime"):
        Lifetime.from_state(None)
