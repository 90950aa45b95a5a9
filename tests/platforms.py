"""Platforms: skip a test that needs a program or a system that is not here.

In CI, a missing program is a failure, because every test must run. `WITHOUT_SERVERS=1` is for
systems other than Linux. It skips tests that need a program beside Python, even if the program is
there: its version, its paths and its users differ between systems.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import pytest

IS_LINUX = sys.platform.startswith("linux")

needs_linux = pytest.mark.skipif(
    not IS_LINUX, reason="only Linux has /proc, with the memory of a process"
)
needs_posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such signals, files or terminals"
)


def skip_without_servers() -> None:
    """Skip the test where the suite runs without programs beside Python."""
    if os.environ.get("WITHOUT_SERVERS"):
        pytest.skip("WITHOUT_SERVERS is set: it needs a program beside Python")


def missing(what: str) -> NoReturn:
    """Skip the test that lacks a program, or let it fail in CI."""
    skip_without_servers()
    if "CI" in os.environ:
        pytest.fail(what)
    pytest.skip(what)
