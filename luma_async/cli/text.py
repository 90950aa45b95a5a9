"""Sanitise text for a terminal, and format sizes and durations.

Prompts, ids and error messages come from users and servers. Printed as they are, their control
characters could move the cursor, hide text or forge lines.
"""

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
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_NOT_IN_CELLS = re.compile(
    r"[\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def clean(text: str) -> str:
    r"""Return a text as one line without characters that control a terminal.

    Line breaks become blanks. Escape sequences and control characters are removed. Characters that
    change the direction of writing become visible escapes (`\u202e`), and lone surrogates become
    replacement characters.
    """
    text = _SPACES.sub(" ", _SEQUENCES.sub("", text))
    text = _DIRECTIONS.sub(lambda match: f"\\u{ord(match[0]):04x}", _CONTROLS.sub("", text))
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def escaped(text: str) -> str:
    r"""Return a text as one cell of a line, for programs that read a pipe.

    Tabs, line breaks and backslashes become `\t`, `\n`, `\r` and `\\`, as in PostgreSQL's text
    format. Other characters that `clean` would remove or replace become `\x1b` or `\u202e`.
    """
    return _NOT_IN_CELLS.sub(lambda match: _ESCAPES.get(match[0]) or _code(match[0]), text)


def _code(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def format_megabytes(count: int) -> str:
    """Return a number of bytes in megabytes, with their unit."""
    return f"{count / 1e6:.1f} MB"


def format_duration(seconds: float) -> str:
    """Return a duration in seconds, minutes and seconds, or hours, minutes and seconds.

    >>> [format_duration(seconds) for seconds in (7.25, 90, 5400)]
    ['7.2 s', '1:30', '1:30:00']
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
