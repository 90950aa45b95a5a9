"""Download limits: from options, or else from settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from luma_async.settings import (
    ALLOW_PRIVATE_MEDIA,
    MAX_DOWNLOAD_BYTES,
    MIN_DOWNLOAD_SPEED,
    Settings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """Values of the options that limit downloads; `None` if an option was not given."""

    max_bytes: int | None = None
    min_speed: float | None = None
    allow_private: bool | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return the limits with the values of options, by the names of a client's arguments."""
        return cls(
            max_bytes=options.get("max_download_bytes"),
            min_speed=options.get("min_download_speed"),
            allow_private=options.get("allow_private_media"),
        )

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Return arguments for `LumaClient`, without those that neither option nor setting gives.

        Raises:
            ConfigurationError: a setting is not a valid number or yes or no.

        """
        options = {
            MAX_DOWNLOAD_BYTES: self.max_bytes,
            MIN_DOWNLOAD_SPEED: self.min_speed,
            ALLOW_PRIVATE_MEDIA: self.allow_private,
        }
        given = {name: str(value) for name, value in options.items() if value is not None}
        return Settings({**settings.values, **given}).download_limits()

    def words(self) -> list[str]:
        """Return the given options as words of a command line."""
        words = []
        if self.max_bytes is not None:
            words.append(f"--max-download-bytes={self.max_bytes}")
        if self.min_speed is not None:
            words.append(f"--min-download-speed={self.min_speed:g}")
        return [*words, *(["--allow-private-media"] if self.allow_private else [])]
