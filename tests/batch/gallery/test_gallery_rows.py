"""The gallery's rows: states, facts and order."""

from __future__ import annotations

import re

import pytest

from luma_async.batch.gallery import render
from tests.batch.gallery.pages import ALL, COMMAND, Page, result


def test_all_states_are_counted(page: Page) -> None:
    """Counts are in the order of the states, without those that no row has."""
    page.open(ALL)

    assert page.texts("h1") == ["Films"]
    assert page.texts(".states button") == [
        "All 7",
        "Done 3",
        "Not downloaded 1",
        "Failed 1",
        "Uncertain 1",
        "Not started 1",
    ]


def test_rows_are_in_the_given_order(page: Page) -> None:
    """The order is that of the manifest."""
    page.open(list(reversed(ALL)))

    assert page.shown() == [one.key for one in reversed(ALL)]


def test_a_row_shows_its_result(page: Page) -> None:
    """The card has the facts of the video, or the reason why there is none."""
    page.open(ALL)

    assert page.texts("#row-2 .facts > *") == ["Done", "fox-2", "10.0 s", "took 1 min 12 s"]
    assert page.texts("#row-3 .state, #row-3 .reason") == ["Failed", "It could not be rendered."]
    assert page.texts("#row-5 .state, #row-5 .reason") == [
        "Not downloaded",
        "It was accepted and is paid for; its file is not here yet.",
    ]


@pytest.mark.parametrize(
    ("took", "shown"),
    [
        (0.4, "under 1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3725.0, "1 h 02 min"),
        (float("nan"), None),
        (float("inf"), None),
        (-1.0, None),
        (None, None),
    ],
)
def test_durations_are_shown_in_words(took: float | None, shown: str | None) -> None:
    """Values that are not durations are not shown."""
    html = render([result(1, took=took)], title="Films", command=COMMAND)

    assert re.findall(r"<span>took (.*?)</span>", html) == ([shown] if shown else [])
