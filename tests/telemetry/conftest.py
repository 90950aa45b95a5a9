"""The SDK of OpenTelemetry for the tests of telemetry."""

from __future__ import annotations

from tests.telemetry.exported import exported

__all__ = ["exported"]
