"""The gallery of a running batch, in a browser that nobody reloads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from luma_async.batch.cards import Cards, WaitingRow
from luma_async.batch.earlier_videos import EarlierVideo
from luma_async.batch.gallery import NAME, LivePage, write_page
from luma_async.batch.live_files import PART, LiveFiles, Moment
from luma_async.batch.next_steps import Commands
from luma_async.batch.progress import RunningRow, Stage
from luma_async.batch.results import OutputFile, ResultState
from luma_async.simulator import Fixed, Simulator, Variant, film
from luma_async.testing import running_simulator
from tests.batch.gallery.live_batches import running_batch
from tests.batch.gallery.pages import COMMAND, Page, Web, a_job, result, save_film
from tests.batch.runs import a_manifest, cats
from tests.clients import HOUR

EVERY = 100
"""Milliseconds between two looks of a page at its news. After fifteen looks without news, it takes
the batch for killed: a slow machine must have written the next ones by then."""

COUNT = "document.querySelectorAll(arguments[0]).length"


@pytest.fixture
def gateway() -> Iterator[Simulator]:
    """Run a gateway whose jobs end when a test says so."""
    with running_simulator(
        durations=Fixed(HOUR),
        short_side=90,
        same_films=True,
        link_lifetime=1e9,
        variant=Variant(batch="rows"),
    ) as simulator:
        yield simulator


def wait_for_cards(page: Page, **counts: int) -> None:
    for state, count in counts.items():
        page.wait(f"{COUNT} === arguments[1]", f".card.{state.replace('_', '-')}", count)


def looks_for(page: Page, milliseconds: int) -> int:
    """Count the scripts that a page adds within a time."""
    return int(
        page.browser.execute_async_script(
            """const [wait, done] = arguments;
            let count = 0;
            const observer = new MutationObserver((changes) => {
              for (const { addedNodes } of changes) count += addedNodes.length;
            });
            observer.observe(document.head, { childList: true });
            setTimeout(() => { observer.disconnect(); done(count); }, wait);""",
            milliseconds,
        )
    )


def test_forty_rows_appear_while_somebody_watches(
    page: Page, tmp_path: Path, gateway: Simulator
) -> None:
    """Cards change without a reload; a playing video, filter, text and focus stay as they are."""
    manifest = a_manifest(tmp_path, *cats(40))
    (tmp_path / "videos").unlink()
    with running_batch(gateway, manifest, tmp_path, max_tasks=10) as running:
        page.browser.get((tmp_path / NAME).as_uri())
        wait_for_cards(page, running=10, waiting=30)
        order = page.shown()
        page.ask("void (window.isSame = true)")
        running.end_jobs(10)
        wait_for_cards(page, done=10, running=10, waiting=20)

        # A video plays in its place, while the mouse is on it.
        link = page.browser.find_element(By.CSS_SELECTOR, "#row-1 .play")
        page.wait("document.querySelector('#row-1 video').readyState >= 2")
        page.ask(
            """void (() => {
              window.watched = document.querySelector('#row-1 video');
              Object.assign(watched, { loop: false, playbackRate: 0.2 });
              window.times = [];
              watched.addEventListener('timeupdate', () => times.push(watched.currentTime));
            })()"""
        )
        ActionChains(page.browser).move_to_element(link).perform()
        page.wait("watched.currentTime > 0.05")
        page.ask("void document.querySelector(\".states [data-state='done']\").click()")
        page.ask("void filter.focus()")
        page.press("TAKE")
        before = page.shown()
        running.end_jobs(20)
        wait_for_cards(page, done=20, running=10, waiting=10)

        assert (len(before), len(page.shown())) == (10, 20)
        assert page.texts("#count") == ["20 of 40"]
        assert page.texts(".states [aria-pressed='true']") == ["Done 20"]
        assert page.focused() == "filter"
        assert page.ask("[filter.value, filter.selectionStart]") == ["TAKE", 4]
        running.end_jobs(30)
        wait_for_cards(page, done=30, running=10, waiting=0)
        page.wait("times.length > 3")
        running.end_jobs(40)
        wait_for_cards(page, done=40)
        page.wait("document.querySelector('#live').dataset.phase === 'ended'")

        times = page.ask("times")
        assert page.ask("watched === document.querySelector('#row-1 video') && !watched.paused")
        assert times == sorted(times)
        assert times[-1] > times[0]
        assert page.texts("#tally") == ["40 done"]
        assert page.texts("#news")[0].endswith("the batch ended")
        assert looks_for(page, 500) == 0
        page.ask("void document.querySelector(\".states [data-state='']\").click()")
        assert page.shown() == order == [f"cat-{n}" for n in range(40)]
        assert page.ask("window.isSame")


def test_a_web_server_shows_the_same(
    page: Page, web: Web, tmp_path: Path, gateway: Simulator
) -> None:
    """The files of the updates are not taken from a cache."""
    (tmp_path / "videos").unlink()
    with running_batch(gateway, a_manifest(tmp_path, *cats(4)), tmp_path, max_tasks=2) as running:
        page.browser.get(f"{web.url}/{NAME}")
        wait_for_cards(page, running=2, waiting=2)
        running.end_jobs(2)
        wait_for_cards(page, done=2, running=2)
        running.end_jobs(4)
        wait_for_cards(page, done=4)
        page.wait("document.querySelector('#live').dataset.phase === 'ended'")

    assert looks_for(page, 300) == 0


def test_an_interrupted_batch_goes_on_in_the_same_page(
    page: Page, tmp_path: Path, gateway: Simulator
) -> None:
    """The page has the command that continues the batch, and looks again when somebody returns."""
    (tmp_path / "videos").unlink()
    manifest = a_manifest(tmp_path, *cats(6))
    with running_batch(gateway, manifest, tmp_path, max_tasks=2) as running:
        page.browser.get((tmp_path / NAME).as_uri())
        wait_for_cards(page, running=2)
        running.end_jobs(2)
        wait_for_cards(page, done=2, running=2)
        running.stop()
        page.wait("document.querySelector('#live').dataset.phase === 'stopping'")
        running.cancel()
    page.wait("document.querySelector('#live').dataset.phase === 'stopped'")
    wait_for_cards(page, done=2, waiting=4)
    assert page.texts("#notices p")[0] == "4 rows are still to do in this batch."
    assert page.texts("#notices code") == [COMMAND]
    assert looks_for(page, 300) == 0

    with running_batch(gateway, manifest, tmp_path, max_tasks=2) as running:
        page.ask("void dispatchEvent(new Event('focus'))")
        wait_for_cards(page, done=2, running=2, waiting=2)
        assert not page.ask("document.querySelector('.notice').checkVisibility()")
        running.end_jobs(4)
        wait_for_cards(page, done=4, running=2)
        running.end_jobs(6)
        wait_for_cards(page, done=6)
        page.wait("document.querySelector('#live').dataset.phase === 'ended'")

    assert page.texts("#notices p") == []


# --- Pages with files that a test writes


class Live:
    """The page of a batch whose changes a test writes."""

    def __init__(self, page: Page, count: int, *, sources: dict[int, str] | None = None) -> None:
        self.page = page
        self.sources = sources or {}
        rows = [
            WaitingRow(key=f"row-{n}", prompt=f"A fox, take {n}", extends=self.sources.get(n))
            for n in range(1, count + 1)
        ]
        self.cards = Cards(rows, Commands(COMMAND, retry=f"{COMMAND} --retry-failed"))
        self.files = LiveFiles(page.folder, run="run-1", rows="rows")
        self.files.open()

    def open(self) -> None:
        live = LivePage(self.files.run, self.files.rows, 0, PART, EVERY, "12:00", COMMAND)
        path = write_page(self.page.folder, self.cards, title="Films", live=live)
        self.page.browser.get(path.as_uri())

    def end(self, number: int, state: ResultState = ResultState.DONE, **fields: Any) -> None:
        self.cards.rows[number - 1] = result(
            number, state, extends=self.sources.get(number), **fields
        )
        self.files.add([self.cards.card(number)])

    def write(self, *running: tuple[int, Stage, float | None], phase: str = "running") -> None:
        rows = [(n, RunningRow(f"row-{n}", stage, part)) for n, stage, part in running]
        self.files.write(Moment(phase, rows))

    def phase(self, phase: str) -> None:
        self.page.wait("document.querySelector('#live').dataset.phase === arguments[0]", phase)


def test_a_running_row_shows_its_progress(page: Page) -> None:
    """The stage is a text and, if the server reports the progress, a bar."""
    live = Live(page, 4)
    live.write(
        (1, Stage.SUBMITTING, None),
        (2, Stage.PENDING, None),
        (3, Stage.PROCESSING, 0.4),
        (4, Stage.DOWNLOADING, None),
    )
    live.open()
    live.phase("running")

    assert page.texts(".card .state") == [
        "Submitting",
        "In the queue",
        "Running, 40%",
        "Downloading",
    ]
    assert page.ask("[...document.querySelectorAll('.card progress')].map((bar) => bar.value)") == [
        0.4
    ]
    live.write((3, Stage.PROCESSING, 0.75))
    page.wait("document.querySelector('#row-3 .state').textContent === 'Running, 75%'")
    assert page.ask("document.querySelector('#row-3 progress').value") == 0.75
    assert page.texts("#row-1 .state") == ["Waiting"]


def test_a_card_is_as_the_page_would_show_it(page: Page) -> None:
    """A row that ends on the open page, and one in a page that is written later, look alike."""
    live = Live(page, 6, sources={3: "row-1", 4: "row-2"})
    layers = (
        OutputFile(file="layers.png", layer="caption"),
        OutputFile(file="layers.1-i.png", layer='"<i>"'),
        OutputFile(file="layers.2.exr"),
    )
    for layer in layers[:2]:
        film.frame(a_job(1), last=False).save(page.folder / layer.file)
    earlier = EarlierVideo(id="job-old", file="videos/5.job-old.mp4", prompt='A "fox", take 5')
    live.write()
    live.open()
    live.end(1, id="job-a", duration=5.04, took=41.0, width=192, height=108)
    live.end(2, ResultState.FAILED, id="job-b", error="<b>It</b> could\x1bnot be rendered.")
    live.end(3, ResultState.UNCERTAIN)
    live.end(4, ResultState.NOT_STARTED)
    live.end(5, id="job-new", prompt="A fox sleeps", earlier=(earlier,))
    live.end(6, id="job-l", file="layers.png", outputs=layers)
    live.write(phase="ended")
    live.phase("ended")
    grid = """(() => {
      const form = (node) => node.nodeType === Node.TEXT_NODE ? node.data.trim() : [
        node.tagName,
        [...node.attributes].filter(({ name }) => !["tabindex", "src", "preload"].includes(name))
          .map(({ name, value }) => `${name}=${value}`).sort(),
        [...node.childNodes].map(form).filter((child) => child !== ""),
      ];
      return [...document.querySelectorAll(".card")].map(form);
    })()"""
    changed = page.ask(grid)

    page.open([*live.cards.results], retry=f"{COMMAND} --retry-failed", settle=None)

    assert page.ask(grid) == changed


def test_a_redone_row_shows_its_new_video(page: Page) -> None:
    """It has the name of the earlier one, which the page has read before; the text is new as well.

    The same job once more, with another note, does not touch a video that may be playing.
    """
    save_film(page.folder / "row-1.mp4", 1)
    live = Live(page, 1)
    live.cards.rows[0] = result(1, id="job-old", file="row-1.mp4")
    live.write()
    live.open()
    video = "document.querySelector('#row-1 video')"
    page.wait(f"{video}.videoWidth === 192")
    new: dict[str, Any] = {"id": "job-new", "file": "row-1.mp4", "prompt": "A fox sleeps"}

    save_film(page.folder / "row-1.mp4", 1, width=108, height=192)
    live.end(1, **new)
    live.write()
    page.wait(f"{video}.videoWidth === 108")
    assert page.texts("#row-1 .prompt") == ["A fox sleeps"]
    page.ask(f"void ({video}.mark = 1)")
    live.end(1, **new, took=7.0)
    live.write()
    page.wait("document.querySelector('#row-1 .facts').textContent.includes('took 7 s')")

    assert page.ask(f"{video}.mark") == 1
    page.click("#row-1 .play")
    page.wait("document.querySelector('#player').videoWidth === 108")


def test_many_rows_are_in_parts(page: Page) -> None:
    """A page that is opened in the middle has all of them, and so has one that is open for long."""
    live = Live(page, 2 * PART + 40)
    live.end(1, ResultState.FAILED)
    live.write()
    live.open()
    wait_for_cards(page, failed=1)
    for number in range(2, PART + 30):
        live.end(number, ResultState.FAILED)
    live.write()
    wait_for_cards(page, failed=PART + 29)
    page.browser.refresh()
    wait_for_cards(page, failed=PART + 29)
    for number in range(PART + 30, 2 * PART + 41):
        live.end(number, ResultState.FAILED)
    live.write(phase="ended")

    wait_for_cards(page, failed=2 * PART + 40)
    live.phase("ended")
    page.browser.refresh()
    wait_for_cards(page, failed=2 * PART + 40)


def test_a_killed_batch_is_noticed(page: Page) -> None:
    """Without news the page stops looking, and says since when and how to go on.

    It looks again when it is asked to.
    """
    live = Live(page, 2)
    live.write((1, Stage.PENDING, None))
    live.open()
    live.phase("silent")

    assert page.texts("#news")[0].startswith("no news since ")
    assert page.texts("#notices b") == ["The batch may have been killed."]
    assert page.texts("#notices code") == [COMMAND]
    assert looks_for(page, 200) == 0
    live.end(1)
    live.write()
    page.click("#again")
    wait_for_cards(page, done=1)
    live.phase("running")
    assert not page.ask("document.querySelector('.notice').checkVisibility()")


def test_other_rows_are_for_another_page(page: Page) -> None:
    """A page of rows that were changed before the batch was started again asks to be reloaded."""
    live = Live(page, 2)
    live.write()
    live.open()
    live.phase("running")
    other = LiveFiles(page.folder, run="run-2", rows="other rows")
    other.write(Moment("running"))

    live.phase("outdated")

    assert page.texts("#again") == ["Reload this page"]
    assert looks_for(page, 200) == 0


def test_the_card_in_use_stays_when_the_filter_would_hide_it(page: Page) -> None:
    """It goes when the focus has left it."""
    live = Live(page, 3)
    live.write((1, Stage.PENDING, None), (2, Stage.PENDING, None))
    live.open()
    wait_for_cards(page, running=2)
    page.click("[data-state='running']")
    page.ask("void document.querySelector('#row-1').focus()")

    live.end(1)
    live.end(2)
    live.write((3, Stage.PENDING, None))
    wait_for_cards(page, done=2)

    assert page.shown() == ["row-1", "row-3"]
    assert page.focused() == "row-1"
    page.ask("void filter.focus()")
    WebDriverWait(page.browser, 60, 0.02).until(lambda _: page.shown() == ["row-3"])


def test_the_page_stays_in_its_place(page: Page) -> None:
    """Cards above that become higher do not move the one that somebody looks at."""
    live = Live(page, 80)
    live.write()
    live.open()
    live.phase("running")
    page.ask("void document.querySelector('#row-60').scrollIntoView({ block: 'start' })")
    page.browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
    top = "document.querySelector('#row-60').getBoundingClientRect().top"
    before = page.ask(top)

    for number in range(1, 60):
        live.end(number, ResultState.FAILED, id="job " * 40)
    live.write(phase="ended")
    live.phase("ended")
    page.browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")

    assert page.ask(top) == pytest.approx(before, abs=2)


def test_counts_are_spoken_and_cards_are_not(page: Page) -> None:
    """A screen reader hears the change of the batch at once, and the counts from time to time."""
    live = Live(page, 3)
    live.write()
    live.open()
    live.phase("running")
    first = page.texts("#told")

    live.end(1)
    live.write()
    wait_for_cards(page, done=1)
    second = page.texts("#told")
    live.end(2)
    live.end(3, ResultState.FAILED)
    live.write(phase="ended")
    live.phase("ended")

    assert first == second == ["Running: 0 done, 3 waiting."]
    assert page.texts("#told") == ["Ended: 2 done, 1 without a video."]
    assert (
        page.ask("document.querySelectorAll('.grid [role=status], .grid [aria-live]').length") == 0
    )


def test_the_page_loads_its_own_updates_and_no_other_script(page: Page) -> None:
    """Not even its own script can load another one, and markup cannot load any."""
    live = Live(page, 1)
    live.write()
    live.open()
    live.phase("running")

    throws = "((act) => { try { act(); } catch { return true; } })"
    for url in ("https://example.com/now.js?1", "gallery-live/../x.js?1", "data:text/javascript,"):
        assert page.ask(f"{throws}(() => policy.createScriptURL({json.dumps(url)}))")
    assert page.ask(f"{throws}(() => {{ document.createElement('script').src = 'now.js'; }})")
    policy = page.ask("document.querySelector('meta[http-equiv]').content")
    assert "script-src 'sha256-" in policy
    assert "'unsafe" not in policy
    page.console()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1400])
def test_a_running_page_fits_and_is_legible(page: Page, scheme: str, width: int) -> None:
    """The line at the top and the running cards, too."""
    from tests.batch.gallery.test_gallery_layout import _poor_contrast  # noqa: PLC0415

    page.resize(width, 800)
    page.prefer(color_scheme=scheme)
    live = Live(page, 4)
    live.write((1, Stage.PROCESSING, 0.5), (2, Stage.PENDING, None))
    live.open()
    live.phase("running")

    assert _poor_contrast(page) == []
    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    live.phase("silent")
    assert _poor_contrast(page) == []
