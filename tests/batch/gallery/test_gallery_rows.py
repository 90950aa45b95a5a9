"""The gallery, in a Chromium that really shows it."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import JavascriptException
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from luma_async.batch.gallery import render, write
from luma_async.batch.results import Result, ResultState
from luma_async.simulator.film import save_video
from luma_async.simulator.simulated_jobs import SimulatedJob
from tests.batch.gallery.browser import running_chromium

COMMAND = "luma-async batch prompts.csv --output videos"
COMMANDS = {"retry": f"{COMMAND} --retry-failed", "settle": "luma-async settle"}
AWKWARD = "50 % off #1? é 東京 & 'co'.mp4"
NASTY = [
    "<script>window.pwned = 1; alert(1)</script>",
    "</script></style></textarea><img src=x onerror='window.pwned=1'>",
    "{{7*7}} {% raw %} ${window.pwned=1} `${alert(1)}`",
    '"\' onmouseover="window.pwned=1" x=\'',
    "<!-- --> <![CDATA[ ]]> &lt;b&gt; &amp;amp;",
    "a\u2028b\u2029c",
    "\u202eright to left\u202d and \u2066open",
    "שלום עולם, سلام",
    "\U0001f469\u200d\U0001f680 " + "Z\u0351\u036b\u0343" * 40,
    "x" * 3000,
]


def result(number: int, state: ResultState = ResultState.DONE, **fields: Any) -> Result:
    fields = {"key": f"row-{number}", "prompt": f"A fox, take {number}", **fields}
    if state is ResultState.DONE:
        fields.setdefault("file", f"videos/{(number - 1) % 3 + 1}.mp4")
    return Result(line=number, state=state, **fields)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films of the simulator's, and one more under a name that needs quoting."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(1, 4):
        job = SimulatedJob(
            id=f"job-{number}",
            number=number,
            request={"user_prompt": f"Film {number}"},
            parent=None,
            taken_at=0,
            starts_at=0,
            ends_at=0,
            failure=None,
            width=192,
            height=108,
            frames=36,
        )
        save_video(job, folder / f"{number}.mp4", watermark=False)
    (folder / AWKWARD).write_bytes((folder / "1.mp4").read_bytes())
    return folder


@dataclass(frozen=True, slots=True)
class Page:
    """A gallery in the browser."""

    browser: Chrome
    folder: Path

    def open(self, results: list[Result], *, at: str | None = None, **options: Any) -> None:
        path = write(
            self.folder, results, **{"title": "Films", "command": COMMAND, **COMMANDS, **options}
        )
        self.browser.get(f"{at}/{path.name}" if at else path.as_uri())

    def resize(self, width: int, height: int) -> None:
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def prefer(self, **features: str) -> None:
        named = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in features.items()
        ]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})

    def ask(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(f"return {script}", *arguments)

    def wait(self, script: str, *arguments: Any) -> None:
        WebDriverWait(self.browser, 60, poll_frequency=0.02).until(
            lambda _: self.ask(script, *arguments), f"never came true: {script} {arguments}"
        )

    def stop_timers(self) -> None:
        """Let what is shown for a moment be shown until the next page."""
        self.ask("void (window.setTimeout = () => 0)")

    @contextmanager
    def computing(self) -> Iterator[list[float]]:
        """Measure the seconds of processor time that the page takes meanwhile.

        However busy the machine is with other things.
        """
        self.browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        before = self._computed()
        seconds: list[float] = []
        yield seconds
        seconds.append(self._computed() - before)
        self.browser.execute_cdp_cmd("Performance.disable", {})

    def _computed(self) -> float:
        found = self.browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return float(next(each["value"] for each in found if each["name"] == "TaskDuration"))

    def click(self, selector: str) -> None:
        self.browser.find_element(By.CSS_SELECTOR, selector).click()

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def press_with_control(self, key: str) -> None:
        chain = ActionChains(self.browser).key_down(Keys.CONTROL).send_keys(key)
        chain.key_up(Keys.CONTROL).perform()

    def shown(self) -> list[str]:
        """Return the keys of the cards that can be seen."""
        return list(
            self.ask(
                "[...document.querySelectorAll('.card')].filter((card) => card.checkVisibility())"
                ".map((card) => card.querySelector('.key').textContent)"
            )
        )

    def focused(self) -> str:
        """Return the id of what has the focus, or else its class."""
        return str(
            self.ask(
                "document.activeElement.id || document.activeElement.className"
                " || document.activeElement.tagName"
            )
        )

    def texts(self, selector: str) -> list[str]:
        script = "[...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        return list(self.ask(script, selector))

    def console(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]


@pytest.fixture
def page(chromium: Chrome, videos: Path, tmp_path: Path) -> Iterator[Page]:
    """Open in 1,400 by 900 pixels; a console in which something was said fails the test."""
    (tmp_path / "videos").symlink_to(videos, target_is_directory=True)
    page = Page(chromium, tmp_path)
    page.resize(1400, 900)
    page.prefer(color_scheme="light", reduced_motion="no-preference")
    mouse = ActionBuilder(chromium)
    # Where it was left it might be on a card.
    mouse.pointer_action.move_to_location(0, 0)  # type: ignore[no-untyped-call]
    mouse.perform()
    yield page
    assert page.console() == []
    chromium.get("about:blank")


@dataclass(frozen=True, slots=True)
class Web:
    """A web server that has the folder of the page."""

    url: str
    asked: list[str]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path)
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield Web(f"http://127.0.0.1:{server.server_port}", asked)
        server.shutdown()
        thread.join()


ALL = [
    result(1, key="fox", id="job-a", duration=5.04, took=41.0, width=192, height=108),
    result(2, key="fox-2", prompt="The fox goes on", extends="fox", took=72.4, duration=10.0),
    result(3, ResultState.FAILED, key="owl", prompt="An owl", error="It could not be rendered."),
    result(4, ResultState.UNCERTAIN, key="it's", prompt="A whale"),
    result(5, ResultState.NOT_DOWNLOADED, key="elk", prompt="An elk", id="job-e"),
    result(6, ResultState.NOT_STARTED, key="elk-2", prompt="It goes on", extends="elk"),
    result(7, key="old-2", prompt="A heron goes on", extends="job-of-last-year"),
]


# --- Videos


@pytest.mark.parametrize("way", ["file", "http"])
def test_a_click_plays_the_video_large(page: Page, web: Web, way: str) -> None:
    """Really: images of its size are shown, one after the other."""
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


def test_the_first_frame_is_there_before_anybody_plays(page: Page) -> None:
    """A card near the viewport has its image; nothing of it moves."""
    page.open(ALL)

    page.wait("document.querySelector('#row-1 video').readyState >= 2")

    assert page.ask("document.querySelector('#row-1 video').paused")
    assert page.ask("document.querySelector('#row-1 video').videoWidth") == 192


def test_a_file_may_have_any_name(page: Page) -> None:
    """With spaces, with what URLs are made of, with letters of the world."""
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
def test_a_path_that_leads_elsewhere_is_no_link(file: str | None) -> None:
    """The row says so instead."""
    html = render([result(1, file=file)], title="Films", command=COMMAND)

    assert 'class="play" href' not in html
    assert "Its path does not lead to a file beside this page." in html


def test_a_file_that_went_missing_is_told(page: Page) -> None:
    """In the place of the video."""
    page.open([result(1, file="videos/gone.mp4"), result(2)])

    page.wait("document.querySelector('#row-1 .broken')?.checkVisibility()")

    assert page.texts(".broken") == ["Its file is not here, or cannot be played."]
    assert page.shown() == ["row-1", "row-2"]
    assert all("ERR_FILE_NOT_FOUND" in line for line in page.console())


def test_a_video_plays_in_its_place_while_the_mouse_is_on_it(page: Page) -> None:
    """And goes back to its first frame when the mouse leaves."""
    page.open(ALL)
    page.wait("document.querySelector('#row-1 video').readyState >= 2")
    link = page.browser.find_element(By.CSS_SELECTOR, "#row-1 .play")

    ActionChains(page.browser).move_to_element(link).perform()
    page.wait("document.querySelector('#row-1 video').currentTime > 0.2")
    title = page.browser.find_element(By.TAG_NAME, "h1")
    ActionChains(page.browser).move_to_element(title).perform()

    page.wait("document.querySelector('#row-1 video').paused")
    page.wait("document.querySelector('#row-1 video').currentTime === 0")


def test_nothing_moves_unasked_for_who_prefers_less_motion(page: Page) -> None:
    """The mouse alone plays nothing then; a click does."""
    page.prefer(reduced_motion="reduce")
    page.open(ALL)
    page.wait("document.querySelector('#row-1 video').readyState >= 2")
    link = page.browser.find_element(By.CSS_SELECTOR, "#row-1 .play")

    ActionChains(page.browser).move_to_element(link).perform()

    assert page.ask("previewed === null && document.querySelector('#row-1 video').paused")
    link.click()
    page.wait("player.currentTime > 0.1")


# --- What became of the rows


def test_every_state_is_counted(page: Page) -> None:
    """In the order of the states; those that no row has are left out."""
    page.open(ALL)

    assert page.texts("h1") == ["Films"]
    assert page.texts(".states button") == [
        "All 7",
        "Done 3",
        "Not downloaded 1",
        "Failed 1",
        "Uncertain 1",
        "Not started 1",
    ]


def test_rows_stand_in_the_order_that_they_are_given_in(page: Page) -> None:
    """Which is the manifest's."""
    page.open(list(reversed(ALL)))

    assert page.shown() == [one.key for one in reversed(ALL)]


def test_a_row_says_what_became_of_it(page: Page) -> None:
    """With what it took, or with the reason why there is no video."""
    page.open(ALL)

    assert page.texts("#row-2 .facts > *") == ["Done", "fox-2", "10.0 s", "took 1 min 12 s"]
    assert page.texts("#row-3 .state, #row-3 .reason") == ["Failed", "It could not be rendered."]
    assert page.texts("#row-5 .state, #row-5 .reason") == [
        "Not downloaded",
        "It is accepted and paid for; its file is not here yet.",
    ]


@pytest.mark.parametrize(
    ("took", "told"),
    [
        (0.4, "under 1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3725.0, "1 h 02 min"),
        (float("nan"), None),
        (float("inf"), None),
        (-1.0, None),
        (None, None),
    ],
)
def test_spans_are_told_in_words(took: float | None, told: str | None) -> None:
    """What is no span is not told."""
    html = render([result(1, took=took)], title="Films", command=COMMAND)

    assert re.findall(r"<span>took (.*?)</span>", html) == ([told] if told else [])


def test_every_row_without_a_video_says_how_to_get_it(page: Page) -> None:
    """Keys are quoted for a shell."""
    page.open(ALL)

    steps = {
        number: page.texts(f"#row-{number} .steps p, #row-{number} .steps code")
        for number in range(1, 7)
    }

    assert steps == {
        1: [],
        2: [],
        3: ["Try it again", f"{COMMAND} --retry-failed"],
        4: [
            "If it was not accepted",
            "luma-async settle 'it'\"'\"'s' --resubmit",
            "If it was, name its task",
            "luma-async settle 'it'\"'\"'s' --id TASK_ID",
            "Once that is settled",
            COMMAND,
        ],
        5: ["Download it", COMMAND],
        6: ["Go on", COMMAND],
    }


def test_the_journal_of_a_batch_is_named_where_it_is_settled() -> None:
    """By whoever knows it."""
    settle = "luma-async settle --journal videos/journal.db"

    html = render([ALL[3]], title="Films", command=COMMAND, settle=settle)

    text = unescape(re.sub("<[^>]*>", "", html))
    assert text.count(f"{settle} 'it'\"'\"'s' --resubmit") == 2  # at the top, and at its row


def test_the_top_says_once_how_all_uncertain_rows_are_settled(page: Page) -> None:
    """Those that were accepted first, then the rest; every command can be copied."""
    rows = [result(number, ResultState.UNCERTAIN) for number in range(1, 4)]
    page.open([*rows, result(4)], settle="luma-async settle '--journal=my cats/jobs.db'")

    assert page.texts(".notice > p") == [
        "3 rows are uncertain and may be paid for. Look for them in your gateway’s list of tasks."  # noqa: RUF001
    ]
    assert page.texts(".notice .steps p, .notice .steps code") == [
        "Name the tasks of those that are there; FILE has lines KEY ID",
        "luma-async settle '--journal=my cats/jobs.db' --ids FILE",
        "Then free the rest to be submitted again",
        "luma-async settle '--journal=my cats/jobs.db' --all --resubmit",
        "Then go on",
        COMMAND,
    ]
    page.stop_timers()
    page.click(".notice .steps > :nth-child(2) .copy")
    page.wait("document.querySelector('#said').textContent === 'Copied'")
    page.click("#filter")
    page.press_with_control("v")
    page.wait("filter.value === arguments[0]", page.texts(".notice code")[1])


def test_one_uncertain_row_is_named_at_the_top(page: Page) -> None:
    """In words for one, and with its key."""
    page.open(ALL)

    assert page.texts(".notice > p") == [
        "1 row is uncertain and may be paid for. Look for it in your gateway’s list of tasks."  # noqa: RUF001
    ]
    assert page.texts(".notice code") == [
        "luma-async settle 'it'\"'\"'s' --id TASK_ID",
        "luma-async settle 'it'\"'\"'s' --resubmit",
        COMMAND,
    ]


def test_nothing_stands_at_the_top_where_nothing_is_uncertain(page: Page) -> None:
    """Nor where nobody knows the command."""
    page.open([result(1), result(2, ResultState.FAILED)])
    assert page.texts(".notice") == []

    page.open(ALL, settle=None)
    assert page.texts(".notice") == []


@pytest.mark.parametrize("width", [320, 1400])
def test_the_top_fits_into_the_window(page: Page, width: int) -> None:
    """However long the place of the journal is."""
    page.resize(width, 800)
    page.open(ALL, settle=f"luma-async settle --journal={'x' * 300}/jobs.db")

    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    assert page.ask("document.querySelector('.notice').getBoundingClientRect().right < innerWidth")


def test_a_row_that_waits_for_another_says_what_that_one_needs() -> None:
    """Going on alone does nothing while the row that it continues has failed."""
    rows = [
        result(1, ResultState.FAILED, key="a"),
        result(2, ResultState.NOT_STARTED, key="b", extends="a"),
        result(3, ResultState.NOT_STARTED, key="c", extends="b"),
        result(4, ResultState.NOT_STARTED, key="d", extends="e"),
        result(5, key="e"),
    ]
    html = render(rows, title="Films", command=COMMAND, **COMMANDS)

    shown = re.findall("<code.*?>(.*?)</code>", html, re.DOTALL)
    commands = [unescape(re.sub("<[^>]*>", "", each)) for each in shown]
    assert commands == [COMMANDS["retry"]] * 3 + [COMMAND]


def test_what_nobody_knows_a_command_for_has_none() -> None:
    """From Python there need be no command that tries again, and none that settles."""
    html = render(ALL[2:4], title="Films", command="python make.py")

    shown = re.findall("<code.*?>(.*?)</code>", html, re.DOTALL)
    assert [unescape(re.sub("<[^>]*>", "", each)) for each in shown] == ["python make.py"]


@pytest.mark.parametrize(
    "key",
    ["-x", "--resubmit", "a\nb", "\x1b[201~; touch pwned", "\u202eabc", "$(pwned)", "a\\'1\t"],
)
def test_a_command_that_is_pasted_means_its_key_and_nothing_else(key: str) -> None:
    """It holds nothing that a terminal would take for more than text."""
    row = result(1, ResultState.UNCERTAIN, key=key)
    html = render([row], title="Films", command=COMMAND, **COMMANDS)

    shown = re.findall("<code.*?>(.*?)</code>", html, re.DOTALL)
    commands = [unescape(re.sub("<[^>]*>", "", each)) for each in shown]

    assert all(command.isprintable() for command in commands)
    named = [["--id", "TASK_ID"], ["--resubmit"]]
    said = [
        ["luma-async", "settle", *options, "--", key]
        if key.startswith("-")
        else ["luma-async", "settle", key, *options]
        for options in named
    ]
    at_the_top, of_the_row = commands[:2], commands[3:5]
    assert [words_of(command) for command in at_the_top] == said
    assert [words_of(command) for command in of_the_row] == said[::-1]


def words_of(command: str) -> list[str]:
    """Return what a shell makes of a command line."""
    arguments = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"],  # noqa: S607
        check=True,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    ).stdout.decode()
    return arguments.split("\0")[:-1]


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_a_button_copies_the_command(page: Page, *, has_clipboard: bool) -> None:
    """Also where the page is not trusted with the clipboard, as over http."""
    page.open(ALL)
    if not has_clipboard:
        page.ask("void Object.defineProperty(navigator, 'clipboard', { value: undefined })")

    page.stop_timers()
    page.click("#row-4 .copy")
    page.wait(
        "[document.querySelector('#row-4 .copy'), document.querySelector('#said')]"
        ".every((one) => one.textContent === 'Copied')"
    )

    page.click("#filter")
    page.press_with_control("v")
    page.wait("filter.value === arguments[0]", page.texts("#row-4 code")[0])
    assert shlex.split(page.ask("filter.value")) == ["luma-async", "settle", "it's", "--resubmit"]


# --- Extensions


def test_a_row_leads_to_what_it_continues_and_back(page: Page) -> None:
    """By links to their cards; a task that is no row is named only."""
    page.open(ALL)

    assert page.texts("#row-1 .kin") == ["Continued infox-2"]
    assert page.texts("#row-2 .kin a") == ["fox"]
    assert page.texts("#row-7 .kin > bdi") == ["job-of-last-year"]
    assert page.texts("#row-7 .kin a") == []
    page.click("#row-2 .kin a")
    assert page.focused() == "row-1"
    page.click("#row-1 .kin a")
    assert page.focused() == "row-2"


def test_a_row_may_continue_another_by_the_id_of_its_task(page: Page) -> None:
    """It is the same job."""
    page.open([ALL[0], result(2, extends="job-a")])

    assert page.texts("#row-2 .kin a") == ["fox"]


def test_a_link_to_a_row_that_is_filtered_out_ends_the_filter(page: Page) -> None:
    """It would lead nowhere else."""
    page.open(ALL)
    page.click("#filter")
    page.press("fox-2")
    assert page.shown() == ["fox-2"]

    page.click("#row-2 .kin a")

    assert page.focused() == "row-1"
    assert page.shown() == [one.key for one in ALL]
    assert page.ask("location.hash") == ""


def test_a_row_with_many_children_names_a_few(page: Page) -> None:
    """The others are behind a summary."""
    page.open([result(1), *(result(n, extends="row-1") for n in range(2, 42))])

    assert page.texts("#row-1 summary") == ["34 more"]
    assert page.ask("document.querySelector('#row-1').offsetHeight") < 400
    page.click("#row-1 summary")
    page.click("#row-1 details a:last-child")
    assert page.focused() == "row-41"


def test_a_chain_is_followed_in_the_large_view(page: Page) -> None:
    """From a video to the one that continues it; to one without a video by way of its card."""
    page.open([*ALL, result(8, ResultState.FAILED, extends="fox-2")])
    page.click("#row-1 .play")

    page.click(".caption .kin a")

    page.wait("player.currentTime > 0.1")
    assert page.texts("#name") == ["fox-2"]
    page.click(".caption .kin:last-child a")
    page.wait("!theatre.open && document.activeElement.id === 'row-8'")


# --- The filter


def test_text_filters_as_it_is_typed(page: Page) -> None:
    """By every word, in prompt, key or id, in whatever case."""
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
    """Several at once; All is the way back."""
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
    """The address keeps it, text and states."""
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


def test_that_nothing_matches_is_said(page: Page) -> None:
    """With a way back."""
    page.open(ALL)
    page.click("#filter")
    page.press("zebra")

    assert page.shown() == []
    assert page.ask("document.querySelector('#nothing').checkVisibility()")
    page.click("#clear")

    assert len(page.shown()) == 7
    assert not page.ask("document.querySelector('#nothing').checkVisibility()")


# --- The keyboard


def test_all_is_done_with_the_keyboard(page: Page) -> None:
    """Find, choose, watch one after the other, come back to the card of the last."""
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
    """Over what is shown, line by line; one card alone is on the way of Tab."""
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
    """And Escape leads back to the card."""
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


def test_the_focus_is_seen(page: Page) -> None:
    """Around whatever has it."""
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


# --- Text that nobody has looked at


def test_every_text_is_text(page: Page) -> None:
    """Whatever is written in a prompt, a key, an id or an error: shown as it is, and never run."""
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


def test_control_characters_are_shown_as_images(page: Page) -> None:
    """HTML cannot hold some, and nobody would see the others; half a character is none."""
    page.open([result(1, prompt="a\0b\x1b[31m\x07\x7f\x85 c\r\nd\re\tf \ud83d.")])

    assert page.texts(".prompt") == ["a␀b␛[31m␇␡\ufffd c\nd␍e\tf \ufffd."]


def test_a_long_prompt_is_cut_and_can_be_read(page: Page) -> None:
    """Behind a button, which a short one does not have."""
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


def test_nothing_runs_but_the_script_of_the_page(page: Page, web: Web) -> None:
    """Its policy knows script and style by their digests, and asks nobody for anything."""
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


# --- Many, one, none


def test_a_thousand_rows_are_looked_through(page: Page) -> None:
    """Only videos near the viewport are loaded, others let go, and the filter keeps up."""
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
    """That is said, and no key does harm."""
    page.open([])

    page.press("/", "x", Keys.ARROW_DOWN, Keys.ESCAPE, Keys.ESCAPE)

    assert page.shown() == []
    assert page.texts(".states button") == ["All 0"]
    assert page.ask(
        "[...document.querySelectorAll('.nothing')].filter((one) => one.checkVisibility())"
        ".map((one) => one.textContent)"
    ) == ["There are no rows in this batch."]


def test_a_batch_may_have_one_row(page: Page) -> None:
    """It is as wide as any other."""
    page.open([result(1)])

    page.press("/", Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)

    page.wait("player.currentTime > 0.1")
    assert page.texts("#place") == ["1 of 1"]
    assert page.ask("document.querySelector('#row-1').offsetWidth") < 400


# --- How it looks


@pytest.mark.parametrize("width", [320, 360, 800, 1600, 2560])
def test_it_fits_every_screen(page: Page, width: int) -> None:
    """Nothing is wider than the screen, neither in the grid nor in the large view."""
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
def test_places_have_the_shape_of_most_videos(
    page: Page, size: tuple[int, int], shape: str
) -> None:
    """So that upright ones are not small between bars."""
    page.open([result(n, width=size[0], height=size[1]) for n in range(1, 4)])

    width, height = page.ask(
        "(({ width, height }) => [width, height])"
        "(document.querySelector('.stage').getBoundingClientRect())"
    )

    assert page.ask("grid.className") == f"grid {shape}"
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(page: Page, scheme: str) -> None:
    """In both schemes, with the contrast of WCAG's level AA; so the large view."""
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
    """Return the texts that stand out by less than 4.5 to 1."""
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


# --- The file


def test_the_page_is_the_same_each_time() -> None:
    """Nothing in it is drawn by chance."""
    pages = {render(iter(ALL), title="Films", command=COMMAND) for _ in range(2)}

    assert len(pages) == 1


def test_the_file_is_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that fails the old one stays, and nothing else is left."""
    path = write(tmp_path / "new", ALL[:1], title="Old", command=COMMAND)
    old = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("luma_async.batch.gallery.os.replace", full)
        with pytest.raises(OSError, match="No space"):
            write(path.parent, ALL, title="New", command=COMMAND)
    after_failure = path.read_bytes()
    write(path.parent, ALL, title="New", command=COMMAND)

    assert path == tmp_path / "new" / "gallery.html"
    assert after_failure == old
    assert b'<h1 dir="auto">New</h1>' in path.read_bytes()
    assert list(path.parent.iterdir()) == [path]
