"""The limits of a session hold for calls at the same time, and count each job key once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from luma_async.mcp_server import SessionLimits
from luma_async.mcp_server.agent_errors import RefusedCallError


def running(*keys: str) -> Any:
    """Return the handles on running jobs."""
    return [SimpleNamespace(id=f"id of {key}", key=key) for key in keys]


def test_submissions_that_are_on_their_way_count_as_running() -> None:
    """Each takes one place: before its job has a handle, and after that."""
    limits = SessionLimits(max_jobs=9, max_tasks=2)

    with limits.submitting("cat", []):
        with limits.submitting("dog", running("cat")) as is_new:
            assert is_new
            with pytest.raises(RefusedCallError, match="2 jobs of this session are running"):
                limits.submitting("cow", running("cat")).__enter__()
        with limits.submitting("cow", running("cat")):  # the job of the dog was rejected
            pass

    assert limits.jobs_left == 6


def test_a_refused_submission_takes_no_place() -> None:
    """Neither one of those that run, nor one of those that are paid for."""
    limits = SessionLimits(max_jobs=2, max_tasks=1)

    with limits.submitting("cat", []):
        pass
    for _ in range(3):
        with pytest.raises(RefusedCallError, match="with the id id of cat"):
            limits.submitting("dog", running("cat")).__enter__()

    assert limits.jobs_left == 1
    with limits.submitting("dog", []):
        pass
    with pytest.raises(RefusedCallError, match="has submitted 2 jobs, which is its limit"):
        limits.submitting("cow", []).__enter__()


def test_a_repeated_key_needs_no_further_place() -> None:
    """At the limits as well, until its place is given back. Jobs of other programs take none."""
    limits = SessionLimits(max_jobs=1, max_tasks=1)

    with limits.submitting("cat", running("other", "another")) as is_new:
        assert is_new
    with limits.submitting("cat", running("cat")) as is_new:
        assert not is_new
    assert limits.jobs_left == 0
    limits.give_back("cat")
    limits.give_back("cat")
    assert limits.jobs_left == 1
