"""Row of the table of results: a quantity, its measured value and its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """Row of the table of results.

    Attributes:
        what: the measured quantity.
        figure: the measured value.
        target: the target of the value, empty if there is none.
        met: `True` if the target is met, `None` if there is none.
        data: values for the plots by name.

    """

    what: str
    figure: str
    target: str = ""
    met: bool | None = None
    data: Mapping[str, float] = field(default_factory=dict)
