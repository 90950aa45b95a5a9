"""Errors are one tree, can travel, and say what happened and what to do."""

from __future__ import annotations

import copy
import pickle

import pytest

import luma_async
from luma_async import (
    APIError,
    Generation,
    GenerationFailedError,
    InsufficientCreditsError,
    InvalidRequestError,
    LumaError,
    ModerationError,
    NoVideoError,
    RateLimitError,
    ResponseError,
    State,
    SubmissionUncertainError,
    TaskTimeoutError,
    UnsupportedError,
    errors,
    generation,
)

FAILED = Generation(id="job-1", state=State.FAILED, failure_reason="too cute")
MODERATED = Generation(id="job-1", state=State.FAILED, failure_reason="flagged for: violence")

EXAMPLES = [
    LumaError("text"),
    InvalidRequestError({"prompt": "is empty"}),
    UnsupportedError({"loop": "the gateway has no loop"}),
    APIError("no", status=418, code="c", request_id="r", call="GET /x"),
    RateLimitError("slow down", status=429, retry_after=3.0),
    SubmissionUncertainError(ResponseError("lost"), prompt="a cat"),
    GenerationFailedError(FAILED),
    ModerationError(MODERATED),
    TaskTimeoutError("late", task_id="job-1"),
    NoVideoError("none", task_id="job-1"),
]


def test_the_tree_at_the_top_of_the_file_is_the_tree_of_the_classes() -> None:
    """Each error stands in the drawing, as deep as it inherits."""
    drawn = {
        line.strip("│├└─ ").split(" ")[0]: next(
            index for index, character in enumerate(line) if character.isalpha()
        )
        for line in (errors.__doc__ or "").splitlines()
        if "Error" in line.split("  ")[0] or line.strip("│├└─ ").split(" ")[0].endswith("Error")
    }
    classes = {
        name: value
        for name, value in {**vars(errors), **vars(generation)}.items()
        if isinstance(value, type) and issubclass(value, LumaError)
    }

    assert set(drawn) == set(classes)
    for name, kind in classes.items():
        depth = len([base for base in kind.__mro__ if issubclass(base, LumaError)]) - 1
        assert drawn[name] == (0 if depth == 0 else depth * 4), name


def test_every_error_has_a_text_for_users() -> None:
    """Short sentences without anything of the account or the program, such as ids and calls."""
    for kind in (each for each in vars(errors).values() if isinstance(each, type)):
        if issubclass(kind, LumaError) and kind is not SubmissionUncertainError:
            assert len(kind.for_users) < 80
    texts = {type(error).__name__: error.for_users for error in EXAMPLES}

    assert texts == {
        "LumaError": "This does not work at the moment. Please try again later.",
        "InvalidRequestError": "This request is not valid. prompt: is empty",
        "UnsupportedError": "The server does not offer this.",
        "APIError": "This does not work at the moment. Please try again later.",
        "RateLimitError": "There is too much to do at the moment. Please try again later.",
        "SubmissionUncertainError": "The server did not confirm this request. It may have accepted "
        "it, so it is not sent again.",
        "GenerationFailedError": "The server could not do this. Please try again.",
        "ModerationError": "The server rejected the content (violence). Please change the request.",
        "TaskTimeoutError": "This takes longer than expected.",
        "NoVideoError": "This does not work at the moment. Please try again later.",
    }


def test_every_error_is_public() -> None:
    """What can be raised can be imported from the top."""
    names = {
        name
        for name, value in {**vars(errors), **vars(generation)}.items()
        if isinstance(value, type) and issubclass(value, LumaError)
    }

    assert names <= set(luma_async.__all__)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_can_be_copied_and_pickled(error: LumaError) -> None:
    """They cross process borders with what they know (a handle does not)."""
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin).keys() == vars(error).keys()


def test_an_api_error_says_what_where_why_and_what_next() -> None:
    """The text has status, call, the server's words, its code and request id, and the next step."""
    error = InsufficientCreditsError(
        "balance is not enough",
        status=402,
        code="insufficient_user_quota",
        request_id="r-1",
        call="POST /luma/generations",
    )

    assert str(error) == (
        "HTTP 402 from POST /luma/generations: balance is not enough "
        "(code insufficient_user_quota, request id r-1). Top up the account."
    )


def test_a_task_timeout_is_a_timeout() -> None:
    """`except TimeoutError` catches it, as everywhere in asyncio."""
    assert issubclass(TaskTimeoutError, TimeoutError)
