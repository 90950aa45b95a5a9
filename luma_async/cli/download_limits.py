"""Download limits: from options, or else from settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from luma_async.cli.environment import (
    ALLOW_PRIVATE_MEDIA,
    MAX_DOWNLOAD_BYTES,
    MIN_DOWNLOAD_SPEED,
    Settings,
)
from luma_async.errors import ConfigurationError

T = TypeVar("T")

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """Values of the options that limit downloads; `None` if an option was not given."""

    max_bytes: int | None = None
    min_speed: float | None = None
    allow_private: bool | None = None

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Return arguments for `LumaClient`, without those that neither option nor setting gives.

        Raises:
            ConfigurationError: a setting is not a valid number or yes or no.

        """
        found: dict[str, Any] = {}
        max_bytes = _option_or_setting(self.max_bytes, settings, MAX_DOWNLOAD_BYTES, int)
        if max_bytes is not None:
            found["max_download_bytes"] = max_bytes or None  # 0 means no limit
        min_speed = _option_or_setting(self.min_speed, settings, MIN_DOWNLOAD_SPEED, float)
        if min_speed is not None:
            found["min_download_speed"] = min_speed
        allows = _option_or_setting(
            self.allow_private, settings, ALLOW_PRIVATE_MEDIA, _parse_yes_or_no
        )
        if allows is not None:
            found["allow_private_media"] = allows
        return found

    def words(self) -> list[str]:
        """Return the given options as words of a command line."""
        words = []
        if self.max_bytes is not None:
            words.append(f"--max-download-bytes={self.max_bytes}")
        if self.min_speed is not None:
            words.append(f"--min-download-speed={self.min_speed:g}")
        return [*words, *(["--allow-private-media"] if self.allow_private else [])]


def _option_or_setting(
    option: T | None, settings: Settings, name: str, parse: Callable[[str], T]
) -> T | None:
    text = settings.get(name)
    if option is not None or text is None:
        return option
    try:
        return parse(text)
    except ValueError:
        kind = "yes or no" if name == ALLOW_PRIVATE_MEDIA else "a number"
        raise ConfigurationError(f"{name} must be {kind}, got {text!r}.") from None


def _parse_yes_or_no(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise ValueError(text)
    return text.lower() in _YES
