"""Pages: a gallery in a browser, and results to show in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from luma_async.batch.gallery import write
from luma_async.batch.results import Result, ResultState
from luma_async.simulator.film import save_video
from luma_async.simulator.simulated_jobs import SimulatedJob

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


def save_film(path: Path, number: int, *, width: int = 192, height: int = 108) -> None:
    save_video(a_job(number, width=width, height=height), path, watermark=False)


def a_job(number: int, *, width: int = 192, height: int = 108) -> SimulatedJob:
    return SimulatedJob(
        id=f"job-{number}",
        number=number,
        request={"user_prompt": f"Film {number}"},
        parent=None,
        taken_at=0,
        starts_at=0,
        ends_at=0,
        failure=None,
        width=width,
        height=height,
        frames=36,
        prompt=f"Film {number}",
    )


ALL = [
    result(1, key="fox", id="job-a", duration=5.04, took=41.0, width=192, height=108),
    result(2, key="fox-2", prompt="The fox goes on", extends="fox", took=72.4, duration=10.0),
    result(3, ResultState.FAILED, key="owl", prompt="An owl", error="It could not be rendered."),
    result(4, ResultState.UNCERTAIN, key="it's", prompt="A whale"),
    result(5, ResultState.NOT_DOWNLOADED, key="elk", prompt="An elk", id="job-e"),
    result(6, ResultState.NOT_STARTED, key="elk-2", prompt="It goes on", extends="elk"),
    result(7, key="old-2", prompt="A heron goes on", extends="job-of-last-year"),
]


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
        """Stop the timers of the page, so that short messages stay visible."""
        self.ask("void (window.setTimeout = () => 0)")

    @contextmanager
    def computing(self) -> Iterator[list[float]]:
        """Measure the seconds of processor time that the page takes in the body.

        Other programs on the machine do not count.
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
        """Return the keys of the visible cards."""
        return list(
            self.ask(
                "[...document.querySelectorAll('.card')].filter((card) => card.checkVisibility())"
                ".map((card) => card.querySelector('.key').textContent)"
            )
        )

    def focused(self) -> str:
        """Return the id of the focused element, or else its class or tag."""
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


@dataclass(frozen=True, slots=True)
class Web:
    """A web server for the folder of the page, and the paths that were requested."""

    url: str
    asked: list[str]
