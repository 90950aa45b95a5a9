"""The gallery's layout: screen sizes, shapes of videos, and contrast."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver import Keys

from luma_async.batch.results import ResultState
from tests.batch.gallery.pages import ALL, Page, result


@pytest.mark.parametrize("width", [320, 360, 800, 1600, 2560])
def test_the_page_fits_all_screens(page: Page, width: int) -> None:
    """Neither the grid nor the large view is wider than the screen."""
    page.resize(width, 900)
    words = "w" * 200
    page.open(
        [
            *ALL,
            result(8, key=words, prompt=words, extends=words, id=words),
            result(9, ResultState.UNCERTAIN, key=words, prompt=words, error=words, extends=words),
        ],
        title=words,
        command=f"luma-async batch {words}",
    )
    wide = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    cut = (
        "[...document.querySelectorAll('.card')].filter((card) => card.scrollWidth"
        " > card.clientWidth || card.getBoundingClientRect().right > innerWidth).length"
    )

    sizes = [page.ask(wide)]
    assert page.ask(cut) == 0
    page.press("/", Keys.ARROW_DOWN, Keys.ENTER, Keys.ARROW_LEFT)
    assert page.texts("#name") == [words]
    sizes.append(page.ask(wide))
    sizes.append(page.ask("[theatre.scrollWidth, theatre.clientWidth]"))

    assert [scrolled - seen for scrolled, seen in sizes] == [0, 0, 0]
    assert page.ask("player.getBoundingClientRect().height > 200")


@pytest.mark.parametrize(
    ("size", "shape"), [((1280, 720), "wide"), ((720, 720), "square"), ((720, 1280), "tall")]
)
def test_cards_have_the_shape_of_most_videos(page: Page, size: tuple[int, int], shape: str) -> None:
    """Upright videos are not small between bars."""
    page.open([result(n, width=size[0], height=size[1]) for n in range(1, 4)])

    width, height = page.ask(
        "(({ width, height }) => [width, height])"
        "(document.querySelector('.stage').getBoundingClientRect())"
    )

    assert page.ask("grid.className") == f"grid {shape}"
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_legible(page: Page, scheme: str) -> None:
    """In both color schemes, grid and large view have the contrast of WCAG level AA."""
    page.prefer(color_scheme=scheme)
    page.open([*ALL, result(8, prompt="A long way. " * 50)])
    page.wait("document.querySelector('#row-8 .more').checkVisibility()")
    page.click("[data-state='']")

    poor = _poor_contrast(page)
    page.click("#row-2 .play")
    poor += _poor_contrast(page)

    assert poor == []
    page.press(Keys.ESCAPE)
    lightness = page.ask("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(lightness) > 128) is (scheme == "light")


def _poor_contrast(page: Page) -> list[Any]:
    """Return the texts with a contrast of less than 4.5 to 1."""
    return list(
        page.ask(
            r"""(() => {
          const light = (colour) => {
            const [r, g, b] = colour.match(/[\d.]+/g).slice(0, 3).map((part) => part / 255)
              .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (element) => {
            const colour = getComputedStyle(element).backgroundColor;
            return colour === "rgba(0, 0, 0, 0)" ? behind(element.parentElement) : colour;
          };
          const within = theatre.open ? theatre : document.body;
          return [...within.querySelectorAll("*")].filter((element) => element.checkVisibility()
            && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
            .map((element) => {
              const pair = [light(getComputedStyle(element).color), light(behind(element))];
              const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
              return [element.className || element.tagName, element.textContent, ratio];
            }).filter(([, , ratio]) => ratio < 4.5);
        })()"""
        )
    )
