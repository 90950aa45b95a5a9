"""What is wrong with a manifest, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luma_async.errors import LumaError

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


class ManifestError(LumaError):
    """A manifest cannot be run as it is; nothing was submitted.

    `problems` are all that were found, in the order of the file.
    """

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems))
        lines = [problem.at(path) for problem in self.problems[:MOST_SHOWN]]
        if len(self.problems) > MOST_SHOWN:
            lines.append(f"and {len(self.problems) - MOST_SHOWN:,} more")
        super().__init__("\n".join(lines))
