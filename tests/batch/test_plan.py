"""Plan: the decision for each row, from its result, its file and its journal entry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import ExtendRequest, GenerateRequest, Generation, State
from luma_async.batch import Result, ResultState, Row
from luma_async.batch.plan import Plan, RowState, make_plan
from luma_async.batch.redo import Redo
from luma_async.journal import EntryState

CAT = GenerateRequest("a cat")
VIDEO = Generation(id="job-1", state=State.COMPLETED)


def row(key: str = "cat", parent: str | None = None) -> Row:
    request = CAT if parent is None else ExtendRequest("it bows")
    return Row(key=key, line=1, request=request, asks="now", parent=parent)


def result(state: ResultState, key: str = "cat", **fields: Any) -> Result:
    fields = {"id": "job-1", "asks": "now", **fields}
    return Result(key=key, line=1, state=state, prompt="a cat", **fields)


def plan(
    *rows: Row,
    results: tuple[Result, ...] = (),
    has_file: bool = True,
    entry: EntryState | None = None,
    retry_failed: bool = False,
    retry_uncertain: bool = False,
    redo: tuple[str, str] | None = None,
) -> Plan:
    """Plan rows. `redo` has the ids of the job to replace, and of the one in the journal."""
    rows = rows or (row(),)
    return make_plan(
        rows,
        results={each.key: each for each in results},
        with_file={each.key for each in results} if has_file else set(),
        entries={} if entry is None else dict.fromkeys((each.key for each in rows), entry),
        retry_failed=retry_failed,
        retry_uncertain=retry_uncertain,
        redos={} if redo is None else {"cat": Redo(*redo, is_begun=len(set(redo)) > 1)},
    )


@pytest.mark.parametrize(
    ("entry", "retry_failed", "retry_uncertain", "pays"),
    [
        (None, False, False, True),
        (EntryState.RUNNING, True, True, False),
        (EntryState.COMPLETED, True, True, False),
        (EntryState.FAILED, False, True, False),
        (EntryState.FAILED, True, False, True),
        (EntryState.LOST, False, True, False),
        (EntryState.LOST, True, False, True),
        (EntryState.UNCERTAIN, True, False, False),
        (EntryState.UNCERTAIN, False, True, True),
        (EntryState.SUBMITTING, True, False, False),
        (EntryState.SUBMITTING, False, True, True),
    ],
)
def test_the_journal_decides_if_a_row_is_paid(
    entry: EntryState | None, *, retry_failed: bool, retry_uncertain: bool, pays: bool
) -> None:
    """A job that is in the journal is paid again only if the user asks to retry its state."""
    planned = plan(entry=entry, retry_failed=retry_failed, retry_uncertain=retry_uncertain)

    state = planned.states["cat"]
    assert [each.key for each in planned.left] == ["cat"]
    assert state.is_new is pays
    assert state.was_uncertain is (entry in (EntryState.UNCERTAIN, EntryState.SUBMITTING))


def test_a_row_with_its_file_is_finished() -> None:
    """Its extensions get the id of its task."""
    planned = plan(row(), row("bow", "cat"), results=(result(ResultState.DONE),))

    assert planned.finished == 1
    assert [each.key for each in planned.left] == ["bow"]
    assert planned.states["cat"].take_video() == "job-1"


@pytest.mark.parametrize(("retry_failed", "is_left"), [(False, False), (True, True)])
def test_a_failed_row_is_finished_unless_it_is_retried(
    *, retry_failed: bool, is_left: bool
) -> None:
    """A finished row without a video keeps its extensions from beginning."""
    planned = plan(results=(result(ResultState.FAILED),), retry_failed=retry_failed)

    assert bool(planned.left) is is_left
    assert bool(planned.finished) is not is_left
    assert planned.without_video == ([] if is_left else ["cat"])


@pytest.mark.parametrize("state", [ResultState.DONE, ResultState.NOT_DOWNLOADED, ResultState.LOST])
def test_a_paid_row_that_is_not_in_the_journal_is_held_back(state: ResultState) -> None:
    """A run would pay for the row again. With its entry in the journal, it is run."""
    held_back = plan(results=(result(state),), has_file=False)
    known = plan(results=(result(state),), has_file=False, entry=EntryState.COMPLETED)

    assert [each.state for each in held_back.held_back] == [ResultState.NOT_DOWNLOADED]
    assert (held_back.left, held_back.without_video) == ([], ["cat"])
    assert (known.held_back, [each.key for each in known.left]) == ([], ["cat"])


def test_a_row_that_was_edited_keeps_its_video() -> None:
    """Its extensions get the video that exists."""
    done = result(ResultState.DONE, asks="before")

    planned = plan(row(), row("bow", "cat"), results=(done,), entry=None)

    assert planned.finished == 1
    assert [each.key for each in planned.left] == ["bow"]
    assert planned.states["cat"].take_video() == "job-1"


@pytest.mark.parametrize("state", [ResultState.NOT_STARTED, ResultState.UNCERTAIN])
def test_a_row_without_a_known_job_is_run_after_an_edit(state: ResultState) -> None:
    """The journal decides about its key."""
    planned = plan(results=(result(state, asks="before", id=None),))

    assert [each.key for each in planned.left] == ["cat"]


def test_a_row_to_redo_is_left_and_pays() -> None:
    """The job that it replaces is named, and its result is kept."""
    done = result(ResultState.DONE)

    state = plan(results=(done,), entry=EntryState.COMPLETED, redo=("job-1", "job-1")).states["cat"]

    assert (state.is_new, state.redo, state.earlier_result) == (True, "job-1", done)


@pytest.mark.parametrize(
    ("id", "is_left"), [pytest.param("job-1", True, id="not seen"), pytest.param("job-2", False)]
)
def test_a_redo_that_was_begun_is_not_paid_again(id: str, *, is_left: bool) -> None:
    """The row is run only to get the video of its new job, if no result has that yet."""
    planned = plan(
        results=(result(ResultState.DONE, id=id),),
        entry=EntryState.COMPLETED,
        redo=("job-1", "job-2"),
    )

    state = planned.states["cat"]
    assert (state.is_new, state.redo) == (False, None)
    assert bool(planned.left) is is_left


@given(
    parents=st.lists(st.integers(-1, 12), min_size=1, max_size=12),
    states=st.lists(st.sampled_from(ResultState), max_size=12),
    retry_failed=st.booleans(),
    entry=st.none() | st.sampled_from(EntryState),
)
def test_each_row_has_one_fate(
    parents: list[int],
    states: list[ResultState],
    entry: EntryState | None,
    *,
    retry_failed: bool,
) -> None:
    """A row is left, finished or held back, and extensions are counted where they are left."""
    rows = [
        row(str(number), str(parent) if 0 <= parent < number else None)
        for number, parent in enumerate(parents)
    ]
    results = tuple(
        result(state, str(n)) for n, state in zip(range(len(rows)), states, strict=False)
    )

    planned = plan(*rows, results=results, entry=entry, retry_failed=retry_failed)

    left = {each.key for each in planned.left}
    held_back = {each.key for each in planned.held_back}
    assert not left & held_back
    assert len(left) + len(held_back) + planned.finished == len(rows)
    assert planned.states.keys() == {each.key for each in rows}
    for key, state in planned.states.items():
        assert state.extensions_left == sum(each.parent == key for each in planned.left)


def test_a_video_is_released_with_its_last_extension() -> None:
    """A generation takes several kilobytes."""
    state = RowState(row(), is_new=True, was_uncertain=False, extensions_left=2, video=VIDEO)

    assert state.take_video() is VIDEO
    assert state.video is VIDEO
    assert state.take_video() is VIDEO
    assert state.video is None
