"""The site in a real browser: its search, narrow screens, and its two colour schemes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.docs_site.pages import Site

pytestmark = pytest.mark.no_cover

CONTRAST = """
const channels = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
const light = color => channels(color)
    .map(each => each / 255)
    .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
const behind = element => {
    const color = getComputedStyle(element).backgroundColor;
    return /, 0\\)$/.test(color) ? behind(element.parentElement) : color;
};
const texts = [...document.querySelectorAll(arguments[0])].filter(each => each.innerText.trim());
return Math.min(...texts.map(element => {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}));
"""
"""The lowest contrast of a text to its background, as WCAG 2 defines it."""


@pytest.fixture
def browser(chromium: Chrome) -> Iterator[Chrome]:
    show(chromium, 1400, "light")
    yield chromium
    console = chromium.get_log("browser")  # type: ignore[no-untyped-call]
    errors = [line for line in console if line["level"] == "SEVERE"]
    chromium.get("about:blank")
    assert errors == []


def show(browser: Chrome, width: int, scheme: str) -> None:
    """Set the width of the screen, and the colours that its user prefers."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    preferred: Any = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preferred)


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("Retry-After", "retries.html"),
        ("settle", "uncertain-jobs.html"),
        ("run_many", "api/client.html"),
    ],
)
def test_the_search_finds_a_page(browser: Chrome, address: str, words: str, page: str) -> None:
    """The words are typed into the sidebar; a static web server is enough."""
    browser.get(f"{address}/index.html")
    field = browser.find_element(By.CSS_SELECTOR, ".sidebar-search")
    field.send_keys(words)
    field.submit()

    def found(driver: Chrome) -> list[str]:
        links = driver.find_elements(By.CSS_SELECTOR, "#search-results li > a")
        return [str(link.get_attribute("href")) for link in links]

    done = WebDriverWait(browser, 60).until(
        lambda driver: any(f"/{page}" in link for link in found(driver)) and found(driver)
    )
    assert done


WIDTHS = """
const parts = [document.scrollingElement, document.querySelector(".content")].filter(Boolean);
return parts.map(part => [part.scrollWidth, part.clientWidth]);
"""
"""The theme cuts off a wide page, and gives the content of a page a scroll bar in its place."""


def test_no_page_is_wider_than_a_phone(browser: Chrome, address: str, site: Site) -> None:
    """Tables and code have scroll bars of their own."""
    show(browser, 390, "light")
    wide = {}
    for page in site.pages:
        browser.get(f"{address}/{page}")
        widths = browser.execute_script(WIDTHS)
        if any(inner > outer for inner, outer in widths):
            wide[page] = widths
    assert wide == {}


def test_all_files_come_from_the_site(browser: Chrome, address: str) -> None:
    """The browser loads styles, scripts and images, all from the same host."""
    browser.get(f"{address}/performance.html")

    files = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )

    assert any(file.endswith(".png") for file in files)
    assert [file for file in files if not file.startswith(f"{address}/")] == []


@pytest.mark.parametrize("page", ["index.html", "errors.html", "api/client.html"])
def test_both_colour_schemes_are_readable(browser: Chrome, address: str, page: str) -> None:
    """Text and code have the contrast that WCAG 2 requires (AA), on different backgrounds."""
    backgrounds = set()
    for scheme in ("light", "dark"):
        show(browser, 1400, scheme)
        browser.get(f"{address}/{page}")
        backgrounds.add(
            browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        )
        for texts in ("article p, article li, article a", "article code, article pre span"):
            assert browser.execute_script(CONTRAST, texts) >= 4.5, (scheme, texts)
    assert len(backgrounds) == 2
