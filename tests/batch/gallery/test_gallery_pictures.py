"""Rows of images in the gallery: images, layers with transparency, and EXR files."""

from __future__ import annotations

from pathlib import Path

import pytest

from luma_async.batch.cards import Cards, FileLink, PictureLink
from luma_async.batch.gallery import render
from luma_async.batch.next_steps import Commands
from luma_async.batch.results import OutputFile, Result
from luma_async.simulator import film
from tests.batch.gallery.pages import COMMAND, NASTY, Page, Web, a_job, result

LABELS = ("caption", "discs", "background")
LAYERS = tuple(
    OutputFile(file=f"pictures/layers{'' if n == 0 else f'.{n}-{label}'}.png", layer=label)
    for n, label in enumerate(LABELS)
)
ROWS = [
    result(1, key="still", file="pictures/still.png", id="job-s", took=9.0),
    result(2, key="layers", prompt="Apart", file=LAYERS[0].file, outputs=LAYERS, extends="still"),
    result(
        3,
        key="film",
        file="videos/1.mp4",
        outputs=(OutputFile(file="videos/1.mp4"), OutputFile(file="videos/1.1.exr")),
    ),
    result(4, key="light", file="pictures/light.exr"),
    result(5, key="gone", file="pictures/gone.png"),
]


@pytest.fixture
def pictures(page: Page) -> Path:
    """Return a folder with an image of 192 by 108 pixels, and its three layers."""
    folder = page.folder / "pictures"
    folder.mkdir()
    job = a_job(1)
    film.frame(job, last=False).save(folder / "still.png")
    for number, layer in enumerate(LAYERS):
        film.save_layer(job, page.folder / layer.file, number)
    return folder


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("way", ["file", "http"])
def test_images_and_layers_are_shown(page: Page, web: Web, way: str) -> None:
    """All layers of a row are side by side on a checkerboard, each with its label."""
    page.open(ROWS[:3], at=web.url if way == "http" else None)

    page.wait("[...document.querySelectorAll('.pictures img')].every((one) => one.naturalWidth)")
    page.wait("document.querySelector('#row-3 video').readyState >= 2")
    assert page.ask("[...document.querySelectorAll('#row-2 img')].map((one) => one.alt)") == [
        *LABELS
    ]
    assert page.ask(
        "[...document.querySelectorAll('#row-2 img')]"
        ".every((one) => getComputedStyle(one).backgroundImage.includes('conic-gradient'))"
    )
    assert page.ask("getComputedStyle(document.querySelector('#row-1 img')).backgroundImage") == (
        "none"
    )
    assert page.ask(
        "[...document.querySelectorAll('.card')].map((card) => ["
        "card.querySelectorAll('video').length, card.querySelectorAll('img').length])"
    ) == [[0, 1], [0, 3], [1, 0]]
    assert page.texts(".files a") == ["1.1.exr"]
    tops = page.ask(
        "[...document.querySelectorAll('#row-2 img')].map((one) => one.getBoundingClientRect())"
        ".map(({ left, top, width, height }) => [left, top, width, height].map(Math.round))"
    )
    stage = page.ask("document.querySelector('#row-2 .stage').getBoundingClientRect().toJSON()")
    assert tops[0][1] == tops[1][1] < tops[2][1]
    assert tops[2][1] + tops[2][3] <= stage["bottom"] + 1


@pytest.mark.usefixtures("pictures")
def test_images_are_shown_large_between_videos(page: Page) -> None:
    """The arrow keys go from images to videos and back; Escape returns to the card."""
    page.open(ROWS[:3])

    page.click("#row-2 .play")
    page.wait(
        "[...pictures.querySelectorAll('img')].filter((one) => one.naturalWidth).length === 3"
    )
    assert page.texts("#pictures figcaption") == [*LABELS]
    assert page.ask("player.hidden && !player.src && !pictures.hidden")
    assert page.ask("pictures.getBoundingClientRect().bottom <= innerHeight")
    page.press(" ")
    page.press("\ue014")  # to the right
    page.wait("!player.hidden && player.currentTime > 0 && pictures.hidden")
    assert page.ask("pictures.childElementCount") == 0
    page.press("\ue014")
    assert page.texts("#name, #place") == ["still", "1 of 3"]
    page.wait("player.hidden && pictures.querySelector('img').naturalWidth === 192")
    assert page.texts("#pictures figcaption") == []
    page.press("\ue00c")  # Escape

    page.wait("document.activeElement.id === 'row-1'")
    assert page.ask("!theatre.open && !pictures.childElementCount")


@pytest.mark.usefixtures("pictures")
def test_an_image_that_is_missing_is_said(page: Page) -> None:
    """So is a missing video; a file that browsers do not show has a link."""
    page.open(ROWS[3:])

    page.wait("document.querySelector('#row-2 .broken') !== null")
    assert page.texts("#row-2 .broken") == ["Its file is not here, or cannot be shown."]
    assert page.texts("#row-1 .reason") == ["Its file is here, but browsers do not show it."]
    assert page.ask("document.querySelector('#row-1 .files a').getAttribute('href')") == (
        "pictures/light.exr"
    )
    assert any("gone.png" in line for line in page.console())


def test_names_of_layers_cannot_become_markup() -> None:
    """A server may give a layer any label."""
    for label in NASTY:
        outputs = (OutputFile(file="a.png", layer=label), OutputFile(file="b.png", layer=label))
        page = render([result(1, file="a.png", outputs=outputs)], title="Films", command=COMMAND)

        assert page.count("<img") == 2
        assert "onerror='" not in page


@pytest.mark.parametrize(
    ("files", "link", "pictures", "further"),
    [
        (["a.mp4"], "a.mp4", [], []),
        (["a.PNG"], "a.PNG", ["a.PNG"], []),
        (["a.mp4", "a.1.exr"], "a.mp4", [], ["a.1.exr"]),
        (["a.mp4", "a.1.png"], "a.mp4", [], ["a.1.png"]),
        (["a.png", "a.1.png", "a.2.exr"], "a.png", ["a.png", "a.1.png"], ["a.2.exr"]),
        (["a.exr"], None, [], ["a.exr"]),
        (["a.exr", "a.1.png"], "a.1.png", ["a.1.png"], ["a.exr"]),
        (["a.png", "../b.png"], "a.png", ["a.png"], []),
        (["../a.png"], None, [], []),
    ],
)
def test_a_card_shows_what_a_browser_can_show(
    files: list[str], link: str | None, pictures: list[str], further: list[str]
) -> None:
    """A video, or else all images; other files have links, and none leads out of the folder."""
    outputs = tuple(OutputFile(file=file) for file in files) if len(files) > 1 else ()
    row: Result = result(1, file=files[0], outputs=outputs)
    (card,) = Cards([row], Commands(COMMAND))

    assert card.link == link
    assert [*card.pictures] == [PictureLink(each) for each in pictures]
    assert [*card.files] == [FileLink(each, each) for each in further]
    assert (card.reason is None) == (link is not None)
