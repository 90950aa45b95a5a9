"""Verbosity: the option `-v`, before a command and after it, and the log levels that it shows."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Annotated, Any

import typer

_count: ContextVar[int] = ContextVar("luma-async verbosity", default=0)

_HELP = "Show the log: jobs with -v, and each request with -vv."


def _set(count: int) -> None:
    _count.set(count)


def _add(count: int) -> None:
    _count.set(_count.get() + count)


VerboseBefore = Annotated[
    int,
    typer.Option("--verbose", "-v", count=True, callback=_set, help=_HELP, show_default=False),
]
"""The option before the name of a command. It begins the count, also if it is not there."""

_VerboseAfter = Annotated[
    int,
    typer.Option("--verbose", "-v", count=True, callback=_add, help=_HELP, show_default=False),
]


def log_level() -> int:
    """Return the lowest level of the log that the command shows."""
    return {0: logging.WARNING, 1: logging.INFO}.get(_count.get(), logging.DEBUG)


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes the option as well."""

    @wraps(command)
    def wrapped(*, verbose: int = 0, **arguments: Any) -> None:  # noqa: ARG001  its callback has it
        command(**arguments)

    option = inspect.Parameter(
        "verbose", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=_VerboseAfter
    )
    signature = inspect.signature(command, eval_str=True)
    wrapped.__signature__ = signature.replace(  # type: ignore[attr-defined]  # typer reads it
        parameters=[*signature.parameters.values(), option]
    )
    return wrapped
