"""What is wrong with a manifest, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from luma_async.errors import ManifestError

MOST_SHOWN = 50


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong; lines and columns count from 1, and 0 means no one of them."""

    line: int
    column: int
    text: str

    def at(self, path: Path) -> str:
        """Return it as editors and compilers write it: `file:line:column: text`."""
        place = [str(path), *(str(number) for number in (self.line, self.column) if number)]
        return f"{':'.join(place)}: {self.text}"


def manifest_error(path: Path, problems: Iterable[Problem]) -> ManifestError:
    """Return the error that says all of them, in the order of the file."""
    found = sorted(problems)
    lines = [problem.at(path) for problem in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        lines.append(f"and {len(found) - MOST_SHOWN:,} more")
    return ManifestError("\n".join(lines))
