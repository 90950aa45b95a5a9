"""Fixtures of the gallery's tests: a Chromium, some videos, a page and a web server."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.actions.action_builder import ActionBuilder

from tests.batch.gallery.browser import running_chromium
from tests.batch.gallery.pages import AWKWARD, Page, Web, save_film


@pytest.fixture(scope="package")
def chromium() -> Iterator[Chrome]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three films, and one more with a name that needs quoting."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(1, 4):
        save_film(folder / f"{number}.mp4", number)
    (folder / AWKWARD).write_bytes((folder / "1.mp4").read_bytes())
    return folder


@pytest.fixture
def page(chromium: Chrome, videos: Path, tmp_path: Path) -> Iterator[Page]:
    """Open a window of 1,400 by 900 pixels. Any message in its console fails the test."""
    (tmp_path / "videos").symlink_to(videos, target_is_directory=True)
    page = Page(chromium, tmp_path)
    page.resize(1400, 900)
    page.prefer(color_scheme="light", reduced_motion="no-preference")
    mouse = ActionBuilder(chromium)
    # Otherwise it might still be on a card.
    mouse.pointer_action.move_to_location(0, 0)  # type: ignore[no-untyped-call]
    mouse.perform()
    yield page
    assert page.console() == []
    chromium.get("about:blank")


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
