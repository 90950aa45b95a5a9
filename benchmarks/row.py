"""One row of the table: what was measured, the figure, and the target it is held to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A figure and its target; `met` is `None` where there is none."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None
