"""Fixtures of the tests of the site: its pages, built once in a run, and a web server."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from tests.batch.gallery.browser import running_chromium
from tests.docs import ROOT
from tests.docs_site.pages import Site
from tests.shared_files import shared_files

BUILD = (sys.executable, *("-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Build the site."""
    folder = shared_files(tmp_path_factory, "site", _build)
    return Site(folder / "html", (folder / "warnings.txt").read_text("utf-8"))


def _build(folder: Path) -> None:
    """Build the site, from the pages of `make docs` if there are any that have not changed."""
    if (ROOT / "docs/_build").exists():
        shutil.copytree(ROOT / "docs/_build", folder, dirs_exist_ok=True)
    built = subprocess.run(
        [*BUILD, "--doctree-dir", folder / "doctrees", ROOT / "docs", folder / "html"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    failed = f"Sphinx ended with {built.returncode}.\n" if built.returncode else ""
    (folder / "warnings.txt").write_text(built.stdout + failed, "utf-8")


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
