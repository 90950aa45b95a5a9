"""Text of strangers, made fit for a terminal."""

from __future__ import annotations

import re

_SEQUENCES = re.compile(
    r"""
      (?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]                      # colours, cursor
    | (?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])                  # titles, links
      [^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)
    | \x1b[ -/]*[0-~]                                       # the rest
    """,
    re.VERBOSE,
)
_SPACES = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DIRECTIONS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_HALVES = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> str:
    r"""Return a text as one line that neither moves the cursor nor turns other text around.

    Line breaks become blanks, escape sequences and control characters are left out, and what
    changes the direction of writing is shown as an escape (`\u202e`).
    """
    text = _SPACES.sub(" ", _SEQUENCES.sub("", text))
    text = _DIRECTIONS.sub(lambda match: f"\\u{ord(match[0]):04x}", _CONTROLS.sub("", text))
    return _HALVES.sub("\N{REPLACEMENT CHARACTER}", text)


def megabytes(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1e6:.1f} MB"


def clock(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
