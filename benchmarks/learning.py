"""Adaptive schedule: its lateness compared with the optimum and with fixed intervals."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator

import numpy as np

from benchmarks.lateness import (
    Cost,
    Distribution,
    LogNormal,
    Memoryless,
    ages_of,
    cost,
    frontier,
    lateness_at,
    lateness_at_interval,
)
from benchmarks.row import Row
from luma_async import AdaptiveSchedule

SIGMAS = (0.15, 0.25, 0.35, 0.5, 0.65, 0.8)
LOOK_COSTS = (0.1, 0.25, 0.5, 1.0, 2.0)
SEEDS = range(10)
OBSERVED = 200
SLOWED_DOWN = 100
"""Number of jobs after the change of the server's speed."""


def rows() -> Iterator[Row]:
    """Compare with the optimum and with fixed intervals, and measure a change of durations."""
    ratios = {sigma: _against_the_best(LogNormal(sigma)) for sigma in SIGMAS}
    yield Row(
        f"Mean lateness with {OBSERVED} durations learned: ratio to the optimum with as many "
        f"looks, sigma {SIGMAS[0]} to {SIGMAS[-1]}",
        f"{max(ratios.values()):.3f} at worst ("
        + ", ".join(f"sigma {sigma}: {ratio:.3f}" for sigma, ratio in ratios.items())
        + ")",
        "at most 1.15",
        max(ratios.values()) <= 1.15,
    )
    fixed = {
        "memoryless": _against_an_interval(Memoryless()),
        **{f"sigma {sigma}": _against_an_interval(LogNormal(sigma)) for sigma in SIGMAS},
    }
    yield Row(
        "Mean lateness: ratio to a fixed interval with as many looks",
        f"{max(fixed.values()):.3f} at worst ("
        + ", ".join(f"{name}: {ratio:.3f}" for name, ratio in fixed.items())
        + ")",
        "at most 1.05",
        max(fixed.values()) <= 1.05,
    )
    changed = _against_the_best(
        LogNormal(0.35, median=180.0), before=LogNormal(0.35), observed=SLOWED_DOWN
    )
    yield Row(
        f"Mean lateness {SLOWED_DOWN} jobs after durations have tripled: ratio to the optimum",
        f"{changed:.3f}",
        "at most 1.3",
        changed <= 1.3,
    )


def learned_costs(
    durations: Distribution, *, before: Distribution | None = None, observed: int = OBSERVED
) -> Iterator[Cost]:
    """Yield the cost of a schedule for each look cost and seed, after durations were observed."""
    for seed in SEEDS:
        chance = np.random.default_rng(seed)
        seen = [before.draw(chance) for _ in range(OBSERVED)] if before else []
        seen += [durations.draw(chance) for _ in range(observed)]
        for look_cost in LOOK_COSTS:
            schedule = AdaptiveSchedule(look_cost, shortest=1e-3, longest=1e6)
            for duration in seen:
                schedule.observe(duration)
            until = durations.quantile(1 - 1e-7)
            yield cost(ages_of(schedule.next_delay, until), durations)


def _against_the_best(
    durations: Distribution, *, before: Distribution | None = None, observed: int = OBSERVED
) -> float:
    best = frontier(durations)
    found = learned_costs(durations, before=before, observed=observed)
    return _worst_mean(each.lateness / lateness_at(each.looks, best) for each in found)


def _against_an_interval(durations: Distribution) -> float:
    found = learned_costs(durations)
    return _worst_mean(
        each.lateness / lateness_at_interval(each.looks, durations) for each in found
    )


def _worst_mean(ratios: Iterable[float]) -> float:
    """Return the mean over the seeds for the look cost with the largest mean."""
    listed = list(ratios)
    return max(
        statistics.mean(listed[place :: len(LOOK_COSTS)]) for place in range(len(LOOK_COSTS))
    )
