"""Public names: complete, nothing else, and loaded only when they are used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

import pytest

import luma_async


def test_every_public_name_is_there() -> None:
    """And `from luma_async import *` gives them all."""
    names: dict[str, object] = {}
    exec("from luma_async import *", names)  # noqa: S102  an import that no function may hold

    assert set(luma_async.__all__) <= set(names)
    assert set(luma_async.__all__) <= set(dir(luma_async))
    assert luma_async.__all__ == sorted(luma_async.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any other module."""
    with pytest.raises(AttributeError, match="no attribute 'LumaCliend'"):
        luma_async.LumaCliend  # type: ignore[attr-defined]  # noqa: B018


NOT_FOR_USERS = {
    *("PassAList", "ReadsBytes", "SavesItself", "ScheduleOfKind", "StatusChange", "Takeover"),
    *("Change", "HomeLoop", "Limit", "Page", "Secret", "TakesCallbacks", "Watcher"),
}
"""Types in public signatures that nobody has to name: a marker for type checkers, protocols that
other types fulfil by themselves, and types in methods and constructors that only the client
calls."""


def test_all_types_of_public_signatures_are_public() -> None:
    """Every type that a public call takes or returns can be imported from `luma_async`."""
    public = {name: getattr(luma_async, name) for name in luma_async.__all__}

    types = {
        type
        for value in public.values()
        for call in public_calls(value)
        for hint in get_type_hints(call, localns=public).values()
        for type in own_types(hint)
    }

    assert {luma_async.Generation, luma_async.FailedDownload, luma_async.Hint} <= types
    assert {type.__name__ for type in types} - NOT_FOR_USERS <= set(luma_async.__all__)


def public_calls(value: Any) -> Iterator[Callable[..., Any]]:
    """Yield a public function, or the public methods of a class and its constructor.

    The methods of its bases in this package are its own to a user.
    """
    members: dict[str, Any] = {} if inspect.isclass(value) else {"": value}
    for base in reversed(value.__mro__) if inspect.isclass(value) else ():
        if base.__module__.startswith("luma_async"):
            members |= vars(base)
    for name, member in members.items():
        found = member.fget if isinstance(member, property) else member
        found = getattr(found, "__func__", found)
        if inspect.isfunction(found) and (name == "__init__" or not name.startswith("_")):
            yield inspect.unwrap(found)


def own_types(hint: Any) -> Iterator[type]:
    """Yield the types of this package in a type hint."""
    arguments = get_args(hint)
    for argument in arguments:
        for each in argument if isinstance(argument, list) else [argument]:  # of a function
            yield from own_types(each)
    if inspect.isclass(hint) and not arguments and hint.__module__.startswith("luma_async"):
        yield hint


def test_importing_it_loads_nothing_else() -> None:
    """Programs that import the package, but rarely use it, start quickly."""
    program = (
        "import sys, luma_async; assert not {'aiohttp', 'pydantic', 'anyio'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
