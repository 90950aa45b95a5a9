"""The gallery with hostile, long and invisible texts."""

from __future__ import annotations

import shlex

import pytest
from selenium.common.exceptions import JavascriptException
from selenium.webdriver import Keys

from luma_async.batch.results import Result, ResultState
from tests.batch.gallery.pages import ALL, COMMAND, NASTY, Page, Web, result


def test_texts_are_shown_and_never_run(page: Page) -> None:
    """Prompts, keys, ids and errors may contain HTML, scripts and templates."""
    rows = []
    for number, text in enumerate(NASTY):
        rows.append(
            Result(
                key=f"{number} {text}",
                line=2 * number,
                state=ResultState.DONE,
                prompt=text,
                extends=f"{number - 1} {NASTY[number - 1]}" if number else text,
                id=text,
                file="videos/1.mp4",
            )
        )
        rows.append(
            Result(
                key=f"{number} failed {text}",
                line=2 * number + 1,
                state=ResultState.UNCERTAIN,
                prompt=text,
                extends=text,
                id=text,
                error=text,
            )
        )

    page.open(rows, title=NASTY[0] + NASTY[1], command=f"{COMMAND} {shlex.quote(NASTY[0])}")

    assert page.texts(".prompt") == [text for text in NASTY for _ in range(2)]
    assert page.texts(".reason") == NASTY
    assert page.texts(".key") == [row.key for row in rows]
    assert page.ask("cards.map((card) => card.dataset.id)") == [
        text for text in NASTY for _ in range(2)
    ]
    assert page.browser.title == NASTY[0] + NASTY[1]
    assert page.ask("document.querySelectorAll('script, style, img').length") == 2
    page.click("#row-1 .play")
    for text in NASTY:
        assert page.texts(".caption .prompt") == [text]
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        page.press(Keys.ARROW_RIGHT)
    assert page.ask("window.pwned === undefined")


def test_control_characters_are_shown_as_symbols(page: Page) -> None:
    """HTML does not allow some of them, and others, like lone surrogates, are invisible."""
    page.open([result(1, prompt="a\0b\x1b[31m\x07\x7f\x85 c\r\nd\re\tf \ud83d.")])

    assert page.texts(".prompt") == ["a␀b␛[31m␇␡\ufffd c\nd␍e\tf \ufffd."]


def test_a_long_prompt_is_shortened_and_can_be_read(page: Page) -> None:
    """A button shows the rest; a short prompt has no button."""
    text = "A fox walks. " * 384 + "The end."
    page.open([result(1, prompt=text), result(2), result(3, ResultState.FAILED, error=text)])
    page.wait("document.querySelector('#row-1 .more').checkVisibility()")
    height = page.ask("document.querySelector('#row-1').offsetHeight")
    assert height < 450
    assert not page.ask("document.querySelector('#row-2 .more').checkVisibility()")

    page.click("#row-1 .more")
    page.click("#row-3 .more")

    assert len(text) == 5000
    assert page.texts("#row-1 .prompt") == [text]
    assert page.texts(".more[aria-expanded='true']") == ["Less", "Less"]
    assert height < page.ask("document.querySelector('#row-1').offsetHeight") < 900
    page.ask("document.querySelector('#row-1 .prompt').scrollTo(0, 1e6)")
    page.click("#row-1 .more")
    assert page.ask("document.querySelector('#row-1 .prompt').offsetHeight") < 100


def test_only_the_script_of_the_page_runs(page: Page, web: Web) -> None:
    """Its policy allows script and style by their hashes, and no request to any host."""
    page.open(ALL)

    with pytest.raises(JavascriptException, match="TrustedHTML"):
        page.ask("document.body.innerHTML = '<img src=x onerror=\"window.pwned=1\">'")
    for tag, directive in (("img", "img-src"), ("video", "media-src")):
        page.ask(
            f"void document.body.append(Object.assign(document.createElement('{tag}'),"
            f" {{ src: '{web.url}/{tag}', onerror: () => {{ window.refused = '{tag}'; }} }}))"
        )
        page.wait(f"window.refused === '{tag}'")
        said = [line for line in page.console() if web.url in line]
        assert said
        assert directive in said[0]

    assert page.ask("window.pwned === undefined")
    assert web.asked == []
