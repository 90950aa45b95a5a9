"""Check arguments: many things where many are expected, one where one is.

A text is an iterable of its letters, and a request one of its fields, so a caller who forgets the
brackets would pay for each of them. What cannot be meant is refused before anything is read or
sent, with a sentence that shows the call as it should be.
"""

from __future__ import annotations

from collections import UserString
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, cast

from pydantic import BaseModel

from luma_async.errors import InvalidRequestError
from luma_async.generation import Generation
from luma_async.tasks.run_many import Outcome
from luma_async.tasks.task import VideoTask
from luma_async.text_values import holds_half_character

_TEXTS = (str, UserString, bytes, bytearray, memoryview)
_SINGLE = (*_TEXTS, Mapping, BaseModel, VideoTask, Outcome)
_ONE_JOB = "a VideoTask, a Generation or an id"

Many = Iterable[Any] | AsyncIterable[Any]

_SHOWN = 60
"""Characters of an argument that an error shows."""


class PassAList:
    """The return type, for type checkers, of a call that gets one thing where it takes many.

    It can neither be awaited nor iterated over, so they flag what is done with it. At run time such
    a call raises `InvalidRequestError`.
    """


def checked_requests(requests: Any) -> Many:
    """Return an iterable of requests.

    Raises:
        InvalidRequestError: it is a single request, a pair, or nothing that can be iterated over.

    """
    if isinstance(requests, tuple) and len(requests) == 2 and isinstance(requests[0], str):
        raise _pair_or_two(*requests)
    if isinstance(requests, Mapping) and requests and not _is_request(requests):
        raise InvalidRequestError.of(
            "requests",
            f"{_shown(requests)} is a mapping. Pass a list of requests; "
            "if its keys are job keys, pass its pairs: run_many(requests.items())",
        )
    return _many(requests, "run_many", "requests", "requests", (Iterable, AsyncIterable))


def checked_sources(sources: Any) -> Many:
    """Return an iterable of jobs to download from.

    Raises:
        InvalidRequestError: it is a single job, or nothing that can be iterated over.

    """
    return _many(sources, "download_all", "sources", "jobs", (Iterable, AsyncIterable))


def checked_ids(ids: Any) -> list[str]:
    """Return ids as a list.

    Raises:
        InvalidRequestError: it is a single id, nothing that can be iterated over, or has something
            in it that is no id.

    """
    _many(ids, "get_many", "ids", "ids", (Iterable,))
    return [checked_id(id, f"ids[{index}]") for index, id in enumerate(ids)]


def checked_id(id: object, name: str = "id") -> str:
    """Return the id of a job.

    Raises:
        InvalidRequestError: it is none.

    """
    if isinstance(id, str) and holds_half_character(id):
        raise InvalidRequestError.of(name, f"{id!r} holds half a character (a lone surrogate)")
    if isinstance(id, str) and id.strip():
        return id
    if isinstance(id, VideoTask | Generation | Outcome):
        raise InvalidRequestError.of(name, f"{_shown(id)} has an id, and is none: pass its .id")
    if isinstance(id, str):
        raise InvalidRequestError.of(name, f"{id!r} names no task")
    raise InvalidRequestError.of(name, f"{_shown(id)} is not an id; an id is a text")


def check_source(source: object, *, outcomes: bool = False) -> None:
    """Check that a source is one job: a handle, a generation or an id, maybe an outcome.

    Raises:
        InvalidRequestError: it is not.

    """
    if isinstance(source, VideoTask | Generation) or (outcomes and isinstance(source, Outcome)):
        return
    if isinstance(source, str):
        checked_id(source, "source")
        return
    if isinstance(source, Outcome):
        raise InvalidRequestError.of(
            "source", f"{_shown(source)} is an outcome: pass its .generation"
        )
    allowed = "a VideoTask, a Generation, an Outcome or an id" if outcomes else _ONE_JOB
    raise InvalidRequestError.of("source", f"{_shown(source)} is not a job; allowed: {allowed}")


def _many(things: Any, call: str, name: str, of_what: str, kinds: tuple[type, ...]) -> Many:
    if isinstance(things, _SINGLE):
        raise InvalidRequestError.of(
            name, f"{_kind(things)} is not a list of {of_what}: pass {call}([{_shown(things)}])"
        )
    if not isinstance(things, kinds):
        raise InvalidRequestError.of(
            name, f"{_shown(things)} is not a list of {of_what}; pass {call}([...])"
        )
    return cast("Many", things)


def _pair_or_two(first: str, second: object) -> InvalidRequestError:
    shown = f"{_shown(first)}, {_shown(second)}"
    return InvalidRequestError.of(
        "requests",
        "a tuple of two can mean a job key with its request, or two requests. Pass a list: "
        f"run_many([({shown})]) for one request under a job key, run_many([{shown}]) for two",
    )


def _is_request(fields: Mapping[Any, Any]) -> bool:
    return "prompt" in fields or "extends" in fields


def _kind(thing: object) -> str:
    if isinstance(thing, _TEXTS):
        return "one text"
    return "one mapping" if isinstance(thing, Mapping) else f"one {type(thing).__name__}"


def _shown(thing: Any) -> str:
    """Return a thing as an error shows it: short, and never more than a name of bytes."""
    if isinstance(thing, bytes | bytearray | memoryview):
        return f"<{len(thing)} bytes>"
    shown = repr(thing)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
