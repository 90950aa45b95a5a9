"""Simulator settings: the arguments of a test's simulator, from the marker `luma` and a fixture.

Every run of pytest imports this module, so it imports neither the simulator nor the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, cast

import pytest

if TYPE_CHECKING:
    import logging
    import ssl

    from luma_async.dialects import DialectName
    from luma_async.simulator import Durations, Variant

MARKER = (
    "luma(**settings): settings of the fixture luma_simulator, such as durations=60 or "
    "dialect='agents'. Those of the nearest marker take precedence."
)
"""Line of `pytest --markers`."""

API_KEY = "sk-simulated"
"""API key of clients in tests, unless the simulator accepts one only."""

DURATION = 0.3
"""Seconds that a job takes. `POLL_INTERVAL` divides it into several looks, so that a test sees a
job being processed also on a machine that is busy."""

POLL_INTERVAL = 0.05
"""Seconds between two looks at a job."""

SHORT_SIDE = 90
"""Pixels of the shorter side of a video, for which a file is rendered within 0.1 seconds."""


class SimulatorArguments(TypedDict, total=False):
    """The arguments of a `Simulator`. A number as `durations` is the duration of each job."""

    api_key: str | None
    speed: float
    durations: Durations | float | None
    failure_rate: float
    credits: int | None
    max_jobs: int | None
    full_for: float | None
    max_rate: float | None
    says_rate: bool
    max_per_minute: int | None
    link_lifetime: float
    short_side: int
    video_bytes: int
    same_films: bool
    variant: Variant | None
    seed: int
    host: str
    port: int
    ssl_context: ssl.SSLContext | None
    idle_timeout: float
    says_idle_timeout: float | None
    access_log: logging.Logger | None


class SimulatorSettings(SimulatorArguments, total=False):
    """The settings of the fixture `luma_simulator`: arguments of a `Simulator`, and a dialect.

    `dialect` is the one of clients that are not given another.
    """

    dialect: DialectName


@dataclass(frozen=True, slots=True)
class FixtureSettings:
    """The settings of one test: the arguments of its simulator, and the dialect of its clients."""

    arguments: SimulatorArguments
    dialect: DialectName | None

    @property
    def api_key(self) -> str:
        """API key that the simulator accepts."""
        return self.arguments.get("api_key") or API_KEY


def settings_of(request: pytest.FixtureRequest, given: SimulatorSettings) -> FixtureSettings:
    """Return the settings of a test: those of its markers, those `given`, and the defaults.

    A setting that is not valid fails the test.
    """
    settings: dict[str, Any] = {"durations": DURATION, "short_side": SHORT_SIDE, **given}
    markers = list(request.node.iter_markers("luma"))
    for marker in reversed(markers):  # the nearest one is the first
        if marker.args:
            _fail(f"takes settings by name, got {', '.join(map(repr, marker.args))}")
        settings |= marker.kwargs
    _check_names(settings)
    dialect = settings.pop("dialect", None)
    return FixtureSettings(cast("SimulatorArguments", settings), dialect)


def _check_names(settings: Mapping[str, Any]) -> None:
    """Fail the test if a setting has an unknown name."""
    names = SimulatorSettings.__optional_keys__
    unknown = sorted(settings.keys() - names)
    if unknown:
        _fail(f"has no setting {', '.join(unknown)}; it has {', '.join(sorted(names))}")


def _fail(problem: str) -> None:
    pytest.fail(
        f"The marker luma, or the fixture luma_simulator_settings, {problem}.", pytrace=False
    )
