"""The suite runs on systems other than Linux, as far as Linux can tell."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.docs import ROOT
from tests.platforms import missing, skip_without_servers

ON_WINDOWS = [
    "test_a_download_that_had_hardly_begun_leaves_nothing_when_cancelled",
    "test_a_part_file_with_both_names_is_not_written_to",
]
"""Tests of files that Windows does not remove or rename while they are open."""


@pytest.mark.no_cover
def test_open_files_are_closed_before_they_are_removed_as_on_windows() -> None:
    """`make check` looks at the rest of the suite: that no module needs what Windows lacks."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.like_windows"),
            *("-p", "no:cacheprovider", "tests/media"),
            *("-k", " or ".join(ON_WINDOWS)),
        ],
        cwd=ROOT,
        env={**os.environ, "WITHOUT_SERVERS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert re.search(rf"^{len(ON_WINDOWS)} passed", done.stdout, re.MULTILINE), done.stdout[-1000:]


def test_a_missing_program_is_a_failure_in_ci_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the test is skipped, and says what is missing."""
    monkeypatch.delenv("WITHOUT_SERVERS", raising=False)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="initdb is missing"):
        missing("initdb is missing")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="initdb is missing"):
        missing("initdb is missing")
    skip_without_servers()


def test_a_system_without_servers_skips_their_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI too, and also if a program is there by chance."""
    monkeypatch.setenv("WITHOUT_SERVERS", "1")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.skip.Exception, match="WITHOUT_SERVERS"):
        missing("initdb is missing")
    with pytest.raises(pytest.skip.Exception, match="WITHOUT_SERVERS"):
        skip_without_servers()
