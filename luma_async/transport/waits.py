"""Seconds to wait before trying again."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import backoff


def waits() -> Generator[float, Any, None]:
    """Give the seconds before each next try: exponential, half of it random.

    After a first `next()` it is sent what went wrong, whose `retry_after` is a floor unless it is
    `None`.
    """
    growing = backoff.expo(base=2, factor=0.5, max_value=30.0)
    next(growing)
    failed = yield 0.0
    while True:
        pause: float = next(growing)
        least = pause / 2 if failed.retry_after is None else failed.retry_after
        failed = yield least + backoff.full_jitter(pause / 2)
