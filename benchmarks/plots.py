"""Plots of the results, as PNG files in the folder `plots`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from benchmarks.lateness import LogNormal, ages_of, cost, frontier, lateness_at_interval
from benchmarks.row import Row
from luma_async import AdaptiveSchedule

FOLDER = Path(__file__).parent / "plots"
_OURS, _OTHERS = "#0a7d8c", "#9aa5ab"


def draw(rows: Mapping[str, Sequence[Row]]) -> None:
    """Draw the plots of the benchmarks that were run."""
    FOLDER.mkdir(exist_ok=True)
    if "learning" in rows:
        _draw_lateness()
    if "cost" in rows:
        _draw_cost(_data(rows["cost"]))
    if "scale" in rows:
        _draw_scale(_data(rows["scale"]))


def _data(rows: Sequence[Row]) -> dict[str, float]:
    return {name: value for row in rows for name, value in row.data.items()}


def _draw_lateness() -> None:
    durations = LogNormal(0.35)
    chance = np.random.default_rng(1)
    seen = [durations.draw(chance) for _ in range(200)]
    looks, late = [], []
    for look_cost in np.geomspace(0.05, 5, 12):
        schedule = AdaptiveSchedule(float(look_cost), shortest=1e-3, longest=1e6)
        for duration in seen:
            schedule.observe(duration)
        found = cost(ages_of(schedule.next_delay, durations.quantile(1 - 1e-7)), durations)
        looks.append(found.looks)
        late.append(found.lateness)
    best = [each for each in frontier(durations) if min(looks) <= each.looks <= max(looks)]
    figure, axes = plt.subplots(figsize=(7, 4.2))
    axes.plot(
        looks,
        [lateness_at_interval(each, durations) for each in looks],
        color=_OTHERS,
        label="fixed interval",
    )
    axes.plot(looks, late, "o-", color=_OURS, label="AdaptiveSchedule, 200 durations learned")
    axes.plot(
        [each.looks for each in best],
        [each.lateness for each in best],
        "k--",
        linewidth=1,
        label="optimum",
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="looks at a job",
        ylabel="mean lateness, seconds",
        title="One job at a time, log-normal durations (median 60 s, sigma 0.35)",
    )
    axes.xaxis.set_minor_formatter(ScalarFormatter())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
    _finish(axes)
    _save(figure, "lateness")


def _draw_cost(cost_of: Mapping[str, float]) -> None:
    names = sorted(cost_of, key=lambda name: cost_of[name])
    values = [cost_of[name] * 1e6 for name in names]
    figure, axes = plt.subplots(figsize=(7, 3.6))
    colours = [_OURS if name.startswith("luma-async") else _OTHERS for name in names]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, [f" {value:,.0f}" if value > 100 else f" {value:.1f}" for value in values])
    axes.set(xscale="log", xlabel="CPU of the client for one look at one job, microseconds")
    axes.set_xlim(1, max(values) * 4)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, "cost")


def _draw_scale(data: Mapping[str, float]) -> None:
    figure, (memory, look) = plt.subplots(1, 2, figsize=(9, 3.6))
    for axes, prefix, factor, label in (
        (memory, "size ", 1 / 1024, "memory for each pending job, KiB"),
        (look, "look ", 1e6, "CPU for one look, microseconds"),
    ):
        points = sorted(
            (int(name.removeprefix(prefix)), value * factor)
            for name, value in data.items()
            if name.startswith(prefix)
        )
        axes.plot(*zip(*points, strict=True), "o-", color=_OURS)
        axes.set(xscale="log", xlabel="pending jobs", ylabel=label)
        axes.set_ylim(0, 1.6 * statistics.mean(value for _, value in points))
        _finish(axes, legend=False)
    _save(figure, "scale")


def _finish(axes: Axes, *, legend: bool = True) -> None:
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False)


def _save(figure: Figure, name: str) -> None:
    figure.tight_layout()
    figure.savefig(FOLDER / f"{name}.png", dpi=110)
    plt.close(figure)
