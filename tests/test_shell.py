"""Command lines that are shown mean just what they say."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from luma_async.shell import command_line
from tests.platforms import needs_posix

WORDS = [
    "plain",
    "two words",
    "it's",
    "$(pwned) `pwned` $HOME",
    "a\\b",
    "line\nbreak\ttab",
    "\x1b[201~; touch pwned\x07",
    "\u202eabc \x85 \xa0",
    "latin\udcfc.csv",
    "",
]


@needs_posix
def test_a_shell_reads_every_word_as_it_is() -> None:
    """Whatever is in it, bytes that are no UTF-8 included; and a terminal shows all of it."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    line = command_line(["printf", r"%s\0", *WORDS])

    told = subprocess.run([bash, "-c", line], capture_output=True, check=True).stdout

    assert line.isprintable()
    assert [os.fsdecode(word) for word in told.split(b"\0")[:-1]] == WORDS
