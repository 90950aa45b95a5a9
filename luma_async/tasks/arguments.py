"""Argument checks: reject one item where a list is expected, and the reverse.

A string is an iterable of characters, and a request is an iterable of its fields, so a caller who
forgets the brackets would pay for each of them. Such an argument is rejected before anything is
read or sent, with a message that shows the correct call.
"""

from __future__ import annotations

from collections import UserString
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, cast

from pydantic import BaseModel

from luma_async.errors import InvalidRequestError
from luma_async.generation import Generation
from luma_async.tasks.run_many import Job, Outcome
from luma_async.tasks.task import VideoTask
from luma_async.text_values import bounded, has_lone_surrogate

OneText = str | bytes | bytearray
OneJob = OneText | VideoTask | Generation | Outcome
"""One item, where a list of jobs is expected."""

_TEXTS = (str, UserString, bytes, bytearray, memoryview)
_SINGLE = (*_TEXTS, Mapping, BaseModel, VideoTask, Outcome, Job)
_ONE_JOB = "a VideoTask, a Generation or an id"

Many = Iterable[Any] | AsyncIterable[Any]

_SHOWN = 60
"""Maximum number of characters of an argument in an error message."""


class PassAList:
    """Return type of a call that gets one item in place of a list.

    It can be neither awaited nor iterated over, so type checkers report the use of its result. At
    run time such a call raises `InvalidRequestError`.
    """


def checked_requests(requests: Any) -> Many:
    """Return an iterable of requests.

    Raises:
        InvalidRequestError: `requests` is a single request, a pair, or not iterable.

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
        InvalidRequestError: `sources` is a single job, or not iterable.

    """
    return _many(sources, "download_all", "sources", "jobs", (Iterable, AsyncIterable))


def checked_ids(ids: Any) -> list[str]:
    """Return ids as a list.

    Raises:
        InvalidRequestError: `ids` is a single id, not iterable, or contains an item that is not an
            id.

    """
    _many(ids, "get_many", "ids", "ids", (Iterable,))
    return [checked_id(id, f"ids[{index}]") for index, id in enumerate(ids)]


def checked_id(id: object, name: str = "id") -> str:
    """Return the id of a job.

    Raises:
        InvalidRequestError: `id` is not the id of a job.

    """
    if isinstance(id, str) and has_lone_surrogate(id):
        raise InvalidRequestError.of(name, f"must not contain lone surrogates, got {id!r}")
    if isinstance(id, str) and id.strip():
        return id
    if isinstance(id, VideoTask | Generation | Outcome):
        raise InvalidRequestError.of(name, f"{_shown(id)} has an id, and is not one: pass its .id")
    if isinstance(id, str):
        raise InvalidRequestError.of(name, f"must not be blank, got {id!r}")
    raise InvalidRequestError.of(name, f"must be a string, got {_shown(id)}")


def check_source(source: object, *, outcomes: bool = False) -> None:
    """Check that a source is one job: a task, a generation or an id; with `outcomes`, an outcome.

    Raises:
        InvalidRequestError: `source` is not one job.

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


def _many(things: Any, call: str, name: str, nouns: str, kinds: tuple[type, ...]) -> Many:
    if isinstance(things, _SINGLE):
        raise InvalidRequestError.of(
            name, f"{_kind(things)} is not a list of {nouns}: pass {call}([{_shown(things)}])"
        )
    if not isinstance(things, kinds):
        raise InvalidRequestError.of(
            name, f"{_shown(things)} is not a list of {nouns}; pass {call}([...])"
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
    return not fields.keys().isdisjoint(("prompt", "kind", "extends"))


def _kind(thing: object) -> str:
    if isinstance(thing, _TEXTS):
        return "one text"
    if isinstance(thing, Mapping):
        return "one mapping"
    return f"one {'Outcome' if isinstance(thing, Outcome) else type(thing).__name__}"


def _shown(thing: Any) -> str:
    """Return a short representation for error messages; of bytes, their number only."""
    if isinstance(thing, bytes | bytearray | memoryview):
        return f"<{len(thing)} bytes>"
    return bounded(repr(thing), _SHOWN)
