"""The gallery of a thousand rows, of one row, and of none."""

from __future__ import annotations

from selenium.webdriver import Keys

from luma_async.batch.results import ResultState
from tests.batch.gallery.pages import Page, result


def test_a_page_of_a_thousand_rows_stays_fast(page: Page) -> None:
    """Only videos near the viewport are loaded, others are released, and the filter keeps up."""
    rows = [
        result(n, ResultState.FAILED if n % 50 == 0 else ResultState.DONE, prompt=f"Take {n}")
        for n in range(1, 1001)
    ]
    with page.computing() as opening:
        page.open(rows)
    loaded = "document.querySelectorAll('.card video[src]').length"
    page.wait(f"{loaded} > 0")
    page.wait("document.querySelector('#row-1 video').readyState >= 2")
    counts = [page.ask(loaded)]

    page.press("/", Keys.ARROW_DOWN, Keys.END, Keys.ARROW_LEFT)
    page.wait("document.querySelector('#row-999 video').readyState >= 2")
    page.wait("!document.querySelector('#row-1 video').hasAttribute('src')")
    counts.append(page.ask(loaded))
    with page.computing() as filtering:
        page.ask(
            """['t', 'ta', 'take 9', 'take 99', '', '3'].map((text) => {
              filter.value = text;
              filter.dispatchEvent(new Event('input'));
              document.body.getBoundingClientRect();
            })"""
        )

    assert max(counts) < 40
    assert len(page.shown()) == 271
    assert sum(filtering) < 6 * 0.4  # some 30 ms each
    assert sum(opening) < 4  # some 500 ms


def test_a_batch_may_be_empty(page: Page) -> None:
    """The page says so, and no key causes an error."""
    page.open([])

    page.press("/", "x", Keys.ARROW_DOWN, Keys.ESCAPE, Keys.ESCAPE)

    assert page.shown() == []
    assert page.texts(".states button") == ["All 0"]
    assert page.ask(
        "[...document.querySelectorAll('.nothing')].filter((one) => one.checkVisibility())"
        ".map((one) => one.textContent)"
    ) == ["There are no rows in this batch."]


def test_a_batch_may_have_one_row(page: Page) -> None:
    """Its card is as wide as any other."""
    page.open([result(1)])

    page.press("/", Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)

    page.wait("player.currentTime > 0.1")
    assert page.texts("#place") == ["1 of 1"]
    assert page.ask("document.querySelector('#row-1').offsetWidth") < 400
