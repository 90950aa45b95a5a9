"""Browser: a headless Chromium that sends nothing to the network by itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.platforms import missing, skip_without_servers


def binary(*names: str) -> str:
    """Return the path of Chromium or of its driver, by the first of its names that is there."""
    skip_without_servers()
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing(f"{names[0]} is missing: install Chromium and its driver, as .ci/run does")
    return found


@contextmanager
def running_chromium() -> Iterator[Chrome]:
    """Run Chromium with a new profile, and keep the console of each page."""
    chromium, driver = binary("chromium", "google-chrome"), binary("chromedriver")
    options = ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="luma-chromium-", ignore_cleanup_errors=True) as folder:
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder}",
        ):
            options.add_argument(argument)
        browser = Chrome(options=options, service=Service(driver))
        try:
            yield browser
        finally:
            browser.quit()
