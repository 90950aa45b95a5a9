"""The gallery's links between a row and its extensions."""

from __future__ import annotations

from luma_async.batch.results import ResultState
from tests.batch.gallery.pages import ALL, Page, result


def test_a_row_links_to_its_source_and_back(page: Page) -> None:
    """Links lead to the cards of rows; the id of a task that is not a row is text."""
    page.open(ALL)

    assert page.texts("#row-1 .kin") == ["Used infox-2"]
    assert page.texts("#row-2 .kin a") == ["fox"]
    assert page.texts("#row-7 .kin > bdi") == ["job-of-last-year"]
    assert page.texts("#row-7 .kin a") == []
    page.click("#row-2 .kin a")
    assert page.focused() == "row-1"
    page.click("#row-1 .kin a")
    assert page.focused() == "row-2"


def test_a_row_may_extend_another_by_the_id_of_its_task(page: Page) -> None:
    """The id leads to the card of the row."""
    page.open([ALL[0], result(2, extends="job-a")])

    assert page.texts("#row-2 .kin a") == ["fox"]


def test_a_link_to_a_filtered_row_clears_the_filter(page: Page) -> None:
    """The card must be visible."""
    page.open(ALL)
    page.click("#filter")
    page.press("fox-2")
    assert page.shown() == ["fox-2"]

    page.click("#row-2 .kin a")

    assert page.focused() == "row-1"
    assert page.shown() == [one.key for one in ALL]
    assert page.ask("location.hash") == ""


def test_a_row_with_many_extensions_shows_a_few(page: Page) -> None:
    """The others are behind a summary."""
    page.open([result(1), *(result(n, extends="row-1") for n in range(2, 42))])

    assert page.texts("#row-1 summary") == ["34 more"]
    assert page.ask("document.querySelector('#row-1').offsetHeight") < 400
    page.click("#row-1 summary")
    page.click("#row-1 details a:last-child")
    assert page.focused() == "row-41"


def test_a_chain_is_followed_in_the_large_view(page: Page) -> None:
    """Links lead from a video to its extension, or to the card of one without a video."""
    page.open([*ALL, result(8, ResultState.FAILED, extends="fox-2")])
    page.click("#row-1 .play")

    page.click(".caption .kin a")

    page.wait("player.currentTime > 0.1")
    assert page.texts("#name") == ["fox-2"]
    page.click(".caption .kin:last-child a")
    page.wait("!theatre.open && document.activeElement.id === 'row-8'")
