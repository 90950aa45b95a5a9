"""Download limits: from the options, else the environment, else `.env`."""

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
    """What the options say of downloads; `None` where they say nothing."""

    max_bytes: int | None = None
    min_speed: float | None = None
    allow_private: bool | None = None

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Return the arguments of a client; none for what is not set anywhere.

        Raises:
            ConfigurationError: a setting is not a number, or neither yes nor no.

        """
        found: dict[str, Any] = {}
        if (most := _chosen(self.max_bytes, settings, MAX_DOWNLOAD_BYTES, int)) is not None:
            found["max_download_bytes"] = most or None  # 0 is no bound
        if (speed := _chosen(self.min_speed, settings, MIN_DOWNLOAD_SPEED, float)) is not None:
            found["min_download_speed"] = speed
        allows = _chosen(self.allow_private, settings, ALLOW_PRIVATE_MEDIA, _yes_or_no)
        if allows is not None:
            found["allow_private_media"] = allows
        return found

    def typed(self) -> list[str]:
        """Return the options as they are typed."""
        words = []
        if self.max_bytes is not None:
            words.append(f"--max-download-bytes={self.max_bytes}")
        if self.min_speed is not None:
            words.append(f"--min-download-speed={self.min_speed:g}")
        return [*words, *(["--allow-private-media"] if self.allow_private else [])]


def _chosen(option: T | None, settings: Settings, name: str, read: Callable[[str], T]) -> T | None:
    said = settings.get(name)
    if option is not None or said is None:
        return option
    try:
        return read(said)
    except ValueError:
        kind = "yes or no" if name == ALLOW_PRIVATE_MEDIA else "a number"
        raise ConfigurationError(f"{name} must be {kind}, got {said!r}.") from None


def _yes_or_no(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise ValueError(text)
    return text.lower() in _YES
