"""Settings: the environment, and the file `.env` of the current folder.

An API key is accepted from these two only, never from the command line.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Self

from luma_async.cli.exit_codes import ExitCode

API_KEY, BASE_URL, JOURNAL = "LUMA_API_KEY", "LUMA_BASE_URL", "LUMA_JOURNAL"
REJECTION_CODES = "LUMA_REJECTION_CODES"
MAX_DOWNLOAD_BYTES, MIN_DOWNLOAD_SPEED = "LUMA_MAX_DOWNLOAD_BYTES", "LUMA_MIN_DOWNLOAD_SPEED"
ALLOW_PRIVATE_MEDIA = "LUMA_ALLOW_PRIVATE_MEDIA"
NAMES = (
    API_KEY,
    BASE_URL,
    JOURNAL,
    REJECTION_CODES,
    MAX_DOWNLOAD_BYTES,
    MIN_DOWNLOAD_SPEED,
    ALLOW_PRIVATE_MEDIA,
)

_ASSIGNMENT = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>.*)")
_VALUE = re.compile(
    r"""
      '(?P<literal>[^']*)'\s*(?:\#.*)?
    | "(?P<quoted>(?:\\.|[^"\\])*)"\s*(?:\#.*)?
    | (?P<bare>[^'"\#].*?)??(?:(?:^|\s+)\#.*)?
    """,
    re.VERBOSE,
)

_API_KEY_OPTIONS = frozenset(
    ["--api-key", "--apikey", "--api_key", "--luma-api-key", "--secret", "--token"]
)
"""Options that people try, and that this command line does not have."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Values of the settings by name. A name with an empty value is not set.

    `problem` describes the last error in the file, `None` if there is none.
    """

    values: Mapping[str, str]
    problem: str | None = None

    @classmethod
    def load(cls) -> Self:
        """Read `.env` in the current folder and the environment; the environment takes priority."""
        text, read_problem = _read(Path(".env"))
        in_file, parse_problem = parse(text)
        in_environment = {
            name: os.environ[name] for name in NAMES if os.environ.get(name, "").strip()
        }
        return cls({**in_file, **in_environment}, read_problem or parse_problem)

    def get(self, name: str) -> str | None:
        """Return the value of a setting, or `None` if it is not set."""
        return self.values.get(name)


def parse(text: str) -> tuple[dict[str, str], str | None]:
    """Return the settings in the text of a `.env` file, and its last error.

    Lines that set other names than `NAMES` are ignored.
    """
    found: dict[str, str] = {}
    problem = None
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        assignment = _ASSIGNMENT.fullmatch(line.strip())
        if assignment is None or assignment["name"] not in NAMES:
            continue
        value = _VALUE.fullmatch(assignment["value"])
        if value is None:
            # Without the line's text, which may be an API key.
            problem = f"line {number} of .env has an unclosed quote, or text after a closing one"
            continue
        found[assignment["name"]] = _unquoted(value)
    return {name: value for name, value in found.items() if value}, problem


def _unquoted(value: re.Match[str]) -> str:
    if value["quoted"] is not None:
        return re.sub(r'\\(["\\$`])', r"\1", value["quoted"]).strip()
    return (value["literal"] or value["bare"] or "").strip()


def _read(path: Path) -> tuple[str, str | None]:
    """Return the text of a file, empty if there is no such file, and the error of reading it."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return "", None
    except OSError as error:
        return "", f".env cannot be read: {error.strerror}"
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        return content.decode(encoding), None
    except UnicodeDecodeError:
        return content.decode("latin-1"), None


def reject_api_key_options(arguments: Iterable[str]) -> None:
    """Exit with a usage error if an option for an API key is among the arguments."""
    before_words = takewhile(lambda argument: argument != "--", arguments)
    given = {argument.partition("=")[0].lower() for argument in before_words}
    if given.isdisjoint(_API_KEY_OPTIONS):
        return
    print(
        "luma-async accepts no API key on its command line, where other users of this machine can "
        "read it. Set LUMA_API_KEY in the environment, or write LUMA_API_KEY=... into a file .env "
        "in this folder. (The API key of `luma-async simulate` is LUMA_SIMULATOR_KEY.)",
        file=sys.stderr,
    )
    sys.exit(ExitCode.USAGE)
