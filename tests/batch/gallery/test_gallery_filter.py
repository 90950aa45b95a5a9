"""The gallery's filter by text and by state."""

from __future__ import annotations

from selenium.webdriver import Keys

from tests.batch.gallery.pages import ALL, Page


def test_text_filters_as_it_is_typed(page: Page) -> None:
    """Each word is searched in prompt, key and id, in any case."""
    page.open(ALL)
    page.click("#filter")

    seen = []
    for typed in ("GOES", " fox"):
        page.press(typed)
        seen.append((page.shown(), page.texts("#count")[0]))
    page.press_with_control("a")
    page.press("job-E")

    assert seen == [(["fox-2", "elk-2", "old-2"], "3 of 7"), (["fox-2"], "1 of 7")]
    assert page.shown() == ["elk"]


def test_states_filter(page: Page) -> None:
    """Several states can be chosen; All clears them."""
    page.open(ALL)

    page.click("[data-state='failed']")
    page.click("[data-state='not started']")

    assert page.shown() == ["owl", "elk-2"]
    pressed = ".states [aria-pressed='true']"
    assert page.texts(pressed) == ["Failed 1", "Not started 1"]
    page.click("[data-state='failed']")
    assert page.shown() == ["elk-2"]
    page.click(".states [data-state='']")
    assert len(page.shown()) == 7
    assert page.texts(pressed) == ["All 7"]


def test_the_filter_outlives_a_reload(page: Page) -> None:
    """Text and states are in the address."""
    page.open(ALL)
    page.click("[data-state='done']")
    page.click("#filter")
    page.press("goes & é")
    page.wait("location.hash === '#q=goes+%26+%C3%A9&state=done'")
    page.press(*[Keys.BACKSPACE] * 4)
    page.wait("location.hash === '#q=goes&state=done'")

    page.browser.refresh()

    assert page.shown() == ["fox-2", "old-2"]
    assert page.ask("filter.value") == "goes"
    assert page.texts(".states [aria-pressed='true']") == ["Done 3"]


def test_a_filter_without_matches_shows_a_message(page: Page) -> None:
    """A button clears the filter."""
    page.open(ALL)
    page.click("#filter")
    page.press("zebra")

    assert page.shown() == []
    assert page.ask("document.querySelector('#nothing').checkVisibility()")
    page.click("#clear")

    assert len(page.shown()) == 7
    assert not page.ask("document.querySelector('#nothing').checkVisibility()")
