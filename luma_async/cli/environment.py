"""Settings: the environment, and the file `.env` of the current folder."""

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


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set around the command line; `problem` says why the file may not tell all.

    A name that is set to nothing is not set.
    """

    values: Mapping[str, str]
    problem: str | None = None

    @classmethod
    def here(cls) -> Self:
        """Read the environment, which wins, and `.env` in the current folder."""
        text, problem = _text_of(Path(".env"))
        in_file, misread = parse(text)
        around = {name: os.environ[name] for name in NAMES if os.environ.get(name, "").strip()}
        return cls({**in_file, **around}, problem or misread)

    def get(self, name: str) -> str | None:
        """Return what a name is set to."""
        return self.values.get(name)


def parse(text: str) -> tuple[dict[str, str], str | None]:
    """Return what the text of a `.env` sets of `NAMES`, and what is wrong with it."""
    found: dict[str, str] = {}
    problem = None
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        assignment = _ASSIGNMENT.fullmatch(line.strip())
        if assignment is None or assignment["name"] not in NAMES:
            continue
        value = _VALUE.fullmatch(assignment["value"])
        if value is None:
            problem = f"line {number} of .env has a quote too few or text after the last one"
            continue
        found[assignment["name"]] = _plain(value)
    return {name: value for name, value in found.items() if value}, problem


def _plain(value: re.Match[str]) -> str:
    if value["quoted"] is not None:
        return re.sub(r'\\(["\\$`])', r"\1", value["quoted"]).strip()
    return (value["literal"] or value["bare"] or "").strip()


def _text_of(path: Path) -> tuple[str, str | None]:
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


_KEY_OPTIONS = frozenset(
    ["--api-key", "--apikey", "--api_key", "--luma-api-key", "--secret", "--token"]
)


def refuse_key(arguments: Iterable[str]) -> None:
    """Leave, and say where the key belongs, if there is an option for one among the arguments."""
    before_words = takewhile(lambda argument: argument != "--", arguments)
    given = {argument.partition("=")[0].lower() for argument in before_words}
    if given.isdisjoint(_KEY_OPTIONS):
        return
    print(
        "luma-async takes no key on its command line, where other users of the machine can see "
        "it. Put it into the environment as LUMA_API_KEY, or as LUMA_API_KEY=... into a file .env "
        "in this folder. (The key of `luma-async simulate` is LUMA_SIMULATOR_KEY.)",
        file=sys.stderr,
    )
    sys.exit(ExitCode.USAGE)
