"""Isolation: during a test, clients have the simulator's settings and reach this machine only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import pytest
from yarl import URL

from luma_async import client_parts, settings
from luma_async.errors import ConfigurationError
from luma_async.schedules import FixedSchedule
from luma_async.testing.simulator_settings import POLL_INTERVAL, FixtureSettings
from luma_async.transport.proxies import is_this_machine
from luma_async.transport.sessions import Sessions

_NO_PROXY = ("NO_PROXY", "no_proxy")

_STATE_FOLDER = "XDG_STATE_HOME"
"""Variable for the folder of the journal of the command line: a test may call that as well."""


@contextmanager
def isolated(url: str, test: FixtureSettings) -> Iterator[None]:
    """Let clients find the simulator at `url`, and no setting or server of the developer's.

    Clients that were created before, such as those of a module, are also kept from other servers,
    and from the developer's own gateway, which may run on this machine and spend money elsewhere.
    """
    own_gateway = _origin(settings.Settings.load().get(settings.BASE_URL) or "")
    if own_gateway == _origin(url):  # a simulator has a port that was set
        own_gateway = None
    with TemporaryDirectory(prefix="luma-async-") as folder, pytest.MonkeyPatch.context() as patch:
        for name in settings.NAMES:
            # Empty means not set, also to python-dotenv: it fills in variables that do not exist.
            patch.setenv(name, "")
        patch.setenv(settings.BASE_URL, url)
        patch.setenv(settings.API_KEY, test.api_key)
        patch.setenv(settings.DIALECT, test.dialect or "")
        patch.setattr(settings, "ENV_FILE", os.devnull)
        patch.setenv(_STATE_FOLDER, folder)
        host = urlsplit(url).hostname or ""
        for name in _NO_PROXY:  # for downloads with a client of another library
            patch.setenv(name, ",".join(filter(None, [host, os.environ.get(name)])))
        patch.setattr(Sessions, "open", _only_local(Sessions.open, host, own_gateway))
        patch.setattr(client_parts, "AdaptiveSchedule", partial(FixedSchedule, POLL_INTERVAL))
        yield


def _only_local(
    open_session: Callable[..., Any], simulator: str, own_gateway: object
) -> Callable[..., Any]:
    """Return `Sessions.open()` with an error for the developer's gateway and for other machines."""

    @wraps(open_session)
    def opened(sessions: Sessions, *, submits: bool) -> Any:
        url = sessions._base_url  # noqa: SLF001
        host = url.host or ""
        is_elsewhere = host != simulator and not is_this_machine(host)
        if is_elsewhere or _origin(str(url)) == own_gateway:
            raise ConfigurationError(
                f"A client called {url}, but this test has a simulator: a job there "
                "might cost money. Create the client during the test, without a base URL, or "
                "replace it by the fixture luma_client."
            )
        return open_session(sessions, submits=submits)

    return opened


def _origin(url: str) -> tuple[str, int | None] | None:
    """Return the host and the port of a URL, or `None` if it has none."""
    try:
        parts = URL(url)
        host = parts.host
    except ValueError:
        return None
    if not host:
        return None
    return "localhost" if is_this_machine(host) else host, parts.port
