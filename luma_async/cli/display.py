"""Display: something that moves on a terminal, and makes room for the lines of others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from luma_async.cli.text import clean

_REMARK_LASTS = 5.0
"""Seconds."""


class Display:
    """Shows what `draw` returns, again and again, while its context is open; in a pipe nothing.

    `stays` is whether the last of it is left on the terminal at the end.
    """

    def __init__(
        self,
        console: Console,
        draw: Callable[[], Sequence[RenderableType]],
        *,
        per_second: int,
        stays: bool = True,
    ) -> None:
        self._console = console
        self._draw = draw
        self._per_second = per_second
        self._stays = stays
        self._live: Live | None = None
        self._remark = ""
        self._remarked = 0.0

    @property
    def can_move(self) -> bool:
        """Whether there is a terminal that it can move on."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    @property
    def is_live(self) -> bool:
        """Whether it moves now."""
        return self._live is not None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._remark = ""
        self._stop(stays=self._stays)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for somebody else's lines on the same terminal."""
        was_live = self.is_live
        self._stop(stays=False)
        try:
            yield
        finally:
            if was_live:
                self._start()

    def remark(self, text: str) -> None:
        """Show below it, for a while, what is going on."""
        self._remark, self._remarked = clean(text), time.monotonic()

    def _start(self) -> None:
        if self.can_move:
            self._live = Live(
                self,
                console=self._console,
                refresh_per_second=self._per_second,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)

    def _stop(self, *, stays: bool) -> None:
        if self._live is not None:
            self._live.transient = not stays
            self._live.stop()
            self._live = None

    def __rich__(self) -> Group:
        parts = list(self._draw())
        if self._remark and time.monotonic() < self._remarked + _REMARK_LASTS:
            parts.append(Text(self._remark, "dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)
