"""The gallery's videos: the large view, playing in place, and missing files."""

from __future__ import annotations

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By

from luma_async.batch.gallery import render
from tests.batch.gallery.pages import ALL, AWKWARD, COMMAND, Page, Web, result


@pytest.mark.parametrize("way", ["file", "http"])
def test_a_click_plays_the_video_large(page: Page, web: Web, way: str) -> None:
    """Frames of its size are shown, one after the other."""
    page.open(ALL, at=web.url if way == "http" else None)

    page.click("#row-1 .play")

    assert page.ask("theatre.open && theatre.clientWidth === innerWidth")
    page.wait("player.currentTime > 0.3 && !player.paused")
    assert page.ask("[player.videoWidth, player.videoHeight]") == [192, 108]
    assert page.ask("player.loop && player.controls")
    assert page.texts("#name, #place") == ["fox", "1 of 3"]
    assert page.texts(".caption .prompt") == ["A fox, take 1"]
    assert page.texts(".caption .facts > *") == [
        "Done",
        "fox",
        "5.0 s",
        "took 41 s",
        "192 × 108",  # noqa: RUF001
        "job-a",
    ]


def test_the_first_frame_is_shown_before_playing(page: Page) -> None:
    """A card near the viewport has a still frame."""
    page.open(ALL)

    page.wait("document.querySelector('#row-1 video').readyState >= 2")

    assert page.ask("document.querySelector('#row-1 video').paused")
    assert page.ask("document.querySelector('#row-1 video').videoWidth") == 192


def test_a_file_may_have_any_name(page: Page) -> None:
    """Spaces, characters with a meaning in URLs, and letters of all alphabets."""
    page.open([result(1, file=f"videos/{AWKWARD}")])

    page.wait("document.querySelector('#row-1 video').readyState >= 2")

    assert page.ask("document.querySelectorAll('.broken').length") == 0


@pytest.mark.parametrize(
    "file",
    [
        "/etc/passwd",
        "//host/a.mp4",
        "https://host/a.mp4",
        "javascript:alert(1)",
        "data:text/html,x",
        "C:\\a.mp4",
        "\\\\host\\a.mp4",
        "../a.mp4",
        "videos/../../a.mp4",
        "\ud800.mp4",
        "",
        None,
    ],
)
def test_a_path_out_of_the_folder_is_not_a_link(file: str | None) -> None:
    """The card has a text instead."""
    html = render([result(1, file=file)], title="Films", command=COMMAND)

    assert 'class="play" href' not in html
    assert "Its path does not lead to a file beside this page." in html


def test_a_missing_file_is_reported(page: Page) -> None:
    """The text is in the place of the video."""
    page.open([result(1, file="videos/gone.mp4"), result(2)])

    page.wait("document.querySelector('#row-1 .broken')?.checkVisibility()")

    assert page.texts(".broken") == ["Its file is not here, or cannot be played."]
    assert page.shown() == ["row-1", "row-2"]
    assert all("ERR_FILE_NOT_FOUND" in line for line in page.console())


def test_a_video_plays_in_its_place_while_the_mouse_is_on_it(page: Page) -> None:
    """The first frame is shown again after the mouse has left."""
    page.open(ALL)
    page.wait("document.querySelector('#row-1 video').readyState >= 2")
    link = page.browser.find_element(By.CSS_SELECTOR, "#row-1 .play")

    ActionChains(page.browser).move_to_element(link).perform()
    page.wait("document.querySelector('#row-1 video').currentTime > 0.2")
    title = page.browser.find_element(By.TAG_NAME, "h1")
    ActionChains(page.browser).move_to_element(title).perform()

    page.wait("document.querySelector('#row-1 video').paused")
    page.wait("document.querySelector('#row-1 video').currentTime === 0")


def test_reduced_motion_is_respected(page: Page) -> None:
    """The mouse alone plays no video then; a click does."""
    page.prefer(reduced_motion="reduce")
    page.open(ALL)
    page.wait("document.querySelector('#row-1 video').readyState >= 2")
    link = page.browser.find_element(By.CSS_SELECTOR, "#row-1 .play")

    ActionChains(page.browser).move_to_element(link).perform()

    assert page.ask("previewed === null && document.querySelector('#row-1 video').paused")
    link.click()
    page.wait("player.currentTime > 0.1")
