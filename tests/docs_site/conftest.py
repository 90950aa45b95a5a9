"""Fixtures of the tests of the site: its pages, built once in a run, and a web server."""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from selenium.webdriver import Chrome

from tests.batch.gallery.browser import running_chromium
from tests.docs import ROOT
from tests.docs_site.pages import Site

BUILD = (sys.executable, *("-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Build the site. The first of all workers that needs it does so, and the others wait."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, warnings = shared / "site", shared / "site-warnings.txt"
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not warnings.exists():
            doctrees = ("--doctree-dir", shared / "site-doctrees")
            built = subprocess.run(
                [*BUILD, *doctrees, ROOT / "docs", folder],
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            failed = f"Sphinx ended with {built.returncode}.\n" if built.returncode else ""
            warnings.write_text(built.stdout + failed, "utf-8")
    return Site(folder, warnings.read_text("utf-8"))


@pytest.fixture(scope="package")
def address(site: Site) -> Iterator[str]:
    """Serve the site as `python -m http.server` does."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=site.folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Chrome]:
    with running_chromium() as browser:
        yield browser
