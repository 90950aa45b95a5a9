"""One row of the table: what was measured, the figure, and the target it is held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """A figure and its target; `met` is `None` where there is none, `data` is for the plots."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None
    data: Mapping[str, float] = field(default_factory=dict)
