"""Runs benchmarks, prints their table, and writes it as JSON."""

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

from benchmarks.row import Row

NAMES = ("limits", "responsiveness")
RESULTS = Path(__file__).parent / "results" / "results.json"


def main() -> int:
    """Run what was named, or everything; 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    names = parser.parse_args().names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(
            f"no such benchmark: {', '.join(sorted(unknown))}; there is {', '.join(NAMES)}"
        )
    console = Console()
    rows: list[Row] = []
    for name in names:
        for row in import_module(f"benchmarks.{name}").rows():
            rows.append(row)
            console.print(f"{'met   ' if row.met else 'MISSED'} {row.what}: {row.figure}")
    table = Table("figure", "measured", "target", "")
    for row in rows:
        table.add_row(row.what, row.figure, row.target, "met" if row.met else "missed")
    console.print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    machine = f"{platform.machine()}, Python {platform.python_version()}, {platform.system()}"
    RESULTS.write_text(
        json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2)
    )
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
