"""Wanted: which file of a job."""

from __future__ import annotations

from enum import StrEnum


class Wanted(StrEnum):
    """Which file of a job."""

    VIDEO = "video"
    RAW = "raw"
    THUMBNAIL = "thumbnail"
    LAST_FRAME = "last_frame"
