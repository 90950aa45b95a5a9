"""A user's program that uses all of it: it is short, needs no assert and no cast, and runs."""

from __future__ import annotations

import re
from pathlib import Path

from luma_async import (
    CompletedOutcome,
    FailedOutcome,
    GenerateRequest,
    Generation,
    LumaError,
    Outcome,
    State,
)
from tests.docs import ROOT
from tests.test_examples import run

PROGRAM = ROOT / "tests" / "typing" / "program.py"
"""`make check` has mypy and pyright check it, both in their strict modes."""


def test_the_program_does_not_help_the_type_checkers() -> None:
    """No assert, no cast, and no comment for a type checker."""
    text = PROGRAM.read_text("utf-8")

    assert re.findall(r"\bassert|\bcast\b|type: ?ignore|pyright:|mypy:|\bAny\b", text) == []
    assert len(text.splitlines()) <= 75


def test_the_program_runs(tmp_path: Path) -> None:
    """At a simulator, with real files."""
    told = run([str(PROGRAM)], tmp_path)

    assert "6 files, 0 errors" in told
    assert "done:" in told
    assert (tmp_path / "cat.mp4").stat().st_size > 1000
    assert len(list((tmp_path / "videos").iterdir())) == 6


def test_an_outcome_is_one_of_two() -> None:
    """`isinstance` and `match` tell them apart, and so does `ok`."""
    request, error = GenerateRequest("a cat"), LumaError("no")
    video = Generation(id="a", state=State.COMPLETED)
    completed = CompletedOutcome(request, video, id="a")
    failed = FailedOutcome(request, error, key="row-1")

    assert isinstance(completed, Outcome)
    assert isinstance(failed, Outcome)
    assert (completed.ok, completed.generation, completed.error) == (True, video, None)
    assert (failed.ok, failed.generation, failed.error) == (False, None, error)
    assert (completed.id, failed.id, completed.key, failed.key) == ("a", None, None, "row-1")
