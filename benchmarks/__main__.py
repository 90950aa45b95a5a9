"""Run benchmarks, print the table of results, write it as JSON and Markdown, and draw plots."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import plots
from benchmarks.row import Row

NAMES = (
    "cost",
    "learning",
    "swarm",
    "scale",
    "pending",
    "whole",
    "connections",
    "journal",
    "fleet",
    "leases",
    "rate",
    "imports",
    "limits",
    "responsiveness",
    "media",
    "batch",
    "remote",
    "callbacks",
    "cluster",
)
LONG = ("one_process", "workers", "extras", "first_video")
"""Benchmarks that take minutes, or that install packages. They run only if they are named."""

RESULTS = Path(__file__).parent / "results"
_MARKS = {True: "met", False: "missed", None: ""}


def main() -> int:
    """Run the benchmarks that are named in the command, or all short ones.

    Return 1 if a target was missed.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = ", ".join((*NAMES, *LONG))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {known}")
    names = parser.parse_args().names or NAMES
    if unknown := set(names) - {*NAMES, *LONG}:
        parser.error(f"benchmark not found: {', '.join(sorted(unknown))}; must be of {known}")
    console = Console()
    rows: dict[str, list[Row]] = {}
    for name in names:
        for row in import_module(f"benchmarks.{name}").rows():
            rows.setdefault(name, []).append(row)
            console.print(f"{_MARKS[row.met]:<6} {row.what}: {row.figure}", highlight=False)
    every = [row for found in rows.values() for row in found]
    console.print(_table(every))
    _write(rows)
    plots.draw(rows)
    return 0 if all(row.met is not False for row in every) else 1


def machine() -> str:
    """Return a description of this machine, for the caption of the results."""
    return (
        f"{_processor()}, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} cores of {models[0]}" if models else "unknown processor"


def _table(rows: list[Row]) -> Table:
    table = Table("figure", "measured", "target", "")
    for row in rows:
        table.add_row(row.what, row.figure, row.target, _MARKS[row.met])
    return table


def _write(rows: dict[str, list[Row]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    document = {
        "machine": machine(),
        "rows": {name: [asdict(row) for row in found] for name, found in rows.items()},
    }
    (RESULTS / "results.json").write_text(json.dumps(document, indent=2), "utf-8")
    lines = [
        f"Measured on {machine()}.",
        "",
        "| figure | measured | target | |",
        "|---|---|---|---|",
    ]
    for found in rows.values():
        lines += [
            f"| {row.what} | {row.figure} | {row.target} | {_MARKS[row.met]} |" for row in found
        ]
    (RESULTS / "results.md").write_text("\n".join([*lines, ""]), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
