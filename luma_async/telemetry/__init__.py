"""Telemetry: counters of a client, and the export of its spans and metrics."""

from luma_async.telemetry.recorder import Recorder
from luma_async.telemetry.stats import Stats

__all__ = ["Recorder", "Stats"]
