"""The gallery with a keyboard."""

from __future__ import annotations

from selenium.webdriver import Keys

from tests.batch.gallery.pages import ALL, Page, result


def test_everything_can_be_done_with_the_keyboard(page: Page) -> None:
    """Find, choose, watch one after the other, and come back to the card of the last."""
    page.open(ALL)

    page.press("/")
    assert page.focused() == "filter"
    page.press("fox", Keys.ESCAPE, Keys.ESCAPE)
    assert (page.focused(), len(page.shown())) == ("row-1", 7)
    page.press(Keys.ARROW_RIGHT, Keys.ENTER)
    page.wait("player.currentTime > 0.1")
    assert page.texts("#name") == ["fox-2"]
    page.press(Keys.ARROW_RIGHT)
    assert page.texts("#name, #place") == ["old-2", "3 of 3"]
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    page.press(Keys.SPACE)
    page.wait("player.paused")
    page.press(Keys.ESCAPE)

    page.wait("!theatre.open && document.activeElement.id === 'row-7'")
    assert page.ask("player.paused && !player.hasAttribute('src')")


def test_arrows_move_in_the_grid(page: Page) -> None:
    """The focus visits the visible cards line by line; Tab stops at one card only."""
    page.open([result(number) for number in range(1, 11)])
    assert page.ask("getComputedStyle(grid).gridTemplateColumns.split(' ').length") == 4
    page.press("/", Keys.ARROW_DOWN)
    moves = {
        Keys.ARROW_LEFT: "row-1",
        Keys.ARROW_RIGHT: "row-2",
        Keys.ARROW_DOWN: "row-6",
        Keys.END: "row-10",
        Keys.ARROW_UP: "row-6",
        Keys.HOME: "row-1",
    }

    reached = {}
    for key in moves:
        page.press(key)
        reached[key] = page.focused()

    assert reached == moves
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, *[Keys.ARROW_DOWN] * 3)
    assert page.focused() == "row-10"
    assert page.texts(".card[tabindex='0'] .key") == ["row-10"]
    assert page.ask("document.activeElement.getBoundingClientRect().bottom <= innerHeight")
    page.press(Keys.ESCAPE)
    assert page.focused() == "BODY"


def test_tab_reaches_everything_of_a_card(page: Page) -> None:
    """Escape leads back to the card."""
    page.open(ALL)
    page.press("/")
    way = []
    for _ in range(10):
        page.press(Keys.TAB)
        way.append(page.focused())
    page.press("/", Keys.ARROW_DOWN, Keys.END, Keys.ARROW_LEFT, Keys.TAB, Keys.TAB)

    assert way[:6] == ["BUTTON"] * 6
    assert way[6:9] == ["row-1", "play", "A"]
    assert page.focused() == "copy"
    page.press(Keys.ESCAPE)
    assert page.focused() == "row-6"


def test_the_focus_is_visible(page: Page) -> None:
    """A ring surrounds the focused element."""
    page.open(ALL)
    page.press("/")

    widths = []
    for _ in range(10):
        widths.append(
            page.ask(
                "(({ outlineStyle, outlineWidth }) => [outlineStyle, outlineWidth])"
                "(getComputedStyle(document.activeElement))"
            )
        )
        page.press(Keys.TAB)

    assert widths == [["solid", "2px"]] * 10
