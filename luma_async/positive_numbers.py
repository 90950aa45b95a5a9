"""Positive numbers: check settings that are limits, and times in seconds."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from luma_async.errors import ConfigurationError

_WHOLE_NUMBERS = frozenset(
    {"max_requests", "max_tasks", "max_tries", "batch_size", "max_downloads"}
)
"""Settings that count things. Other numbers would fail later, or retry for ever (`max_tries`)."""


def is_number(value: object) -> bool:
    """Return `True` if a value is a number. Python counts `True` as one, and nobody means that."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_positive(**settings: Any) -> None:
    """Check that settings are positive numbers, and whole ones where they count things.

    Raises:
        ConfigurationError: a setting is another value. The error names it.

    """
    for name, value in settings.items():
        may_be_infinite = name == "task_timeout"
        if value is None:
            no_limit = ", or pass math.inf for no limit" if may_be_infinite else ""
            raise ConfigurationError(
                f"{name} must be a number, got None. Leave it out for the default{no_limit}."
            )
        if not is_number(value):
            raise ConfigurationError(f"{name} must be a number, got {value!r}.")
        if not float(value) > 0:
            raise ConfigurationError(f"{name} must be above 0, got {value!r}.")
        if value == math.inf and not may_be_infinite:
            raise ConfigurationError(f"{name} must be a number, got {value!r}.")
        if name in _WHOLE_NUMBERS and not isinstance(value, Integral):
            raise ConfigurationError(f"{name} must be a whole number, got {value!r}.")
