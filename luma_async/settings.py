"""Settings: the environment, and the file `.env` of the current folder.

`LumaClient.from_env()` and the command line read them. This module imports no pydantic, so that the
command line starts quickly.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from luma_async.errors import ConfigurationError

API_KEY, BASE_URL, JOURNAL = "LUMA_API_KEY", "LUMA_BASE_URL", "LUMA_JOURNAL"
DIALECT = "LUMA_DIALECT"
AGENTS_API_KEY, DREAM_MACHINE_API_KEY = "LUMA_AGENTS_API_KEY", "LUMAAI_API_KEY"
API_KEYS = (API_KEY, AGENTS_API_KEY, DREAM_MACHINE_API_KEY)
REJECTION_CODES = "LUMA_REJECTION_CODES"
MAX_DOWNLOAD_BYTES, MIN_DOWNLOAD_SPEED = "LUMA_MAX_DOWNLOAD_BYTES", "LUMA_MIN_DOWNLOAD_SPEED"
ALLOW_PRIVATE_MEDIA = "LUMA_ALLOW_PRIVATE_MEDIA"
NAMES = (
    API_KEY,
    AGENTS_API_KEY,
    DREAM_MACHINE_API_KEY,
    BASE_URL,
    DIALECT,
    JOURNAL,
    REJECTION_CODES,
    MAX_DOWNLOAD_BYTES,
    MIN_DOWNLOAD_SPEED,
    ALLOW_PRIVATE_MEDIA,
)

ENV_FILE = ".env"
"""File with settings, in the current folder. The fixtures of `luma_async.testing` replace it."""

_ASSIGNMENT = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>.*)")
_NO_ASSIGNMENT = re.compile(rf"(?:export\s+)?(?P<name>{'|'.join(NAMES)})(?!\w)\s*[^\s#].*")
_VALUE = re.compile(
    r"""
      '(?P<literal>[^']*)'\s*(?:\#.*)?
    | "(?P<quoted>(?:\\.|[^"\\])*)"\s*(?:\#.*)?
    | (?P<bare>[^'"\#].*?)??(?:(?:^|\s+)\#.*)?
    """,
    re.VERBOSE,
)

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """Values of the settings by name. A name with an empty value is not set.

    `problem` describes the last error in the file, `None` if there is none.
    """

    values: Mapping[str, str] = field(repr=False)  # has API keys
    problem: str | None = None

    @classmethod
    def load(cls) -> Self:
        """Read `.env` in the current folder and the environment; the environment takes priority."""
        text, read_problem = _read(Path(ENV_FILE))
        in_file, parse_problem = parse(text)
        in_environment = {
            name: os.environ[name] for name in NAMES if os.environ.get(name, "").strip()
        }
        return cls({**in_file, **in_environment}, read_problem or parse_problem)

    def get(self, name: str) -> str | None:
        """Return the value of a setting, or `None` if it is not set."""
        return self.values.get(name)

    def rejection_codes(self) -> frozenset[str]:
        """Return the error codes of the server that mean a certain rejection."""
        return frozenset(re.split(r"[\s,]+", self.get(REJECTION_CODES) or "")) - {""}

    def download_limits(self) -> dict[str, Any]:
        """Return the arguments of `LumaClient` that limit downloads, as far as they are set.

        Raises:
            ConfigurationError: a setting is not a valid number or yes or no.

        """
        found: dict[str, Any] = {}
        max_bytes = self._parsed(MAX_DOWNLOAD_BYTES, int, "a number")
        if max_bytes is not None:
            found["max_download_bytes"] = max_bytes or None  # 0 means no limit
        min_speed = self._parsed(MIN_DOWNLOAD_SPEED, float, "a number")
        if min_speed is not None:
            found["min_download_speed"] = min_speed
        allows_private = self._parsed(ALLOW_PRIVATE_MEDIA, _parse_yes_or_no, "yes or no")
        if allows_private is not None:
            found["allow_private_media"] = allows_private
        return found

    def _parsed(self, name: str, parse: Callable[[str], T], kind: str) -> T | None:
        text = self.get(name)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be {kind}, got {text!r}.") from None


def _parse_yes_or_no(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise ValueError(text)
    return text.lower() in _YES


def parse(text: str) -> tuple[dict[str, str], str | None]:
    """Return the settings in the text of a `.env` file, and its last error.

    Lines that set other names than `NAMES` are ignored. The error has no text of the line, which
    may be an API key.
    """
    found: dict[str, str] = {}
    problem = None
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        assignment = _ASSIGNMENT.fullmatch(line.strip())
        if assignment is None:
            # `NAME: value` is a typing error. A name alone sets nothing, in a shell as well.
            known = _NO_ASSIGNMENT.fullmatch(line.strip())
            if known is not None:
                problem = f"line {number} of .env must have the form {known['name']}=value"
            continue
        if assignment["name"] not in NAMES:
            continue
        value = _VALUE.fullmatch(assignment["value"])
        if value is None:
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
