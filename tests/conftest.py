"""Every test runs in asyncio's debug mode, and none may leave a trace."""

from __future__ import annotations

import asyncio.constants
import asyncio.format_helpers
import gc
import inspect
import linecache
import logging
import os
import sys
import traceback
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from traceback import FrameSummary, StackSummary
from types import FrameType
from typing import Any

import hypothesis
import pytest

import luma_async.testing
from luma_async import SQLJournal
from luma_async.journal.sql.connections import Connections
from luma_async.transport import retry_policy
from tests import hung_tests
from tests.loops import SkippingLoop

hypothesis.settings.register_profile(  # what is timed has a test that says so
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


def pytest_xdist_auto_num_workers() -> int:
    """Return more workers than there are processors: a test spends much of its time waiting."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugins, and end the coverage that pytest-cov starts in each worker first.

    pytest would load that of luma_async before the coverage begins, so its options block that. If
    the first coverage of a worker went on whenever `no_cover` pauses the second, nothing would be
    saved.
    """
    config.pluginmanager.register(luma_async.testing, "luma_async.testing, measured")
    config.pluginmanager.register(hung_tests)
    plugin = config.pluginmanager.getplugin("_cov")
    if hasattr(config, "workerinput") and plugin is not None and plugin.cov_controller is not None:
        plugin.cov_controller.pause()


LONG_TIMEOUT = 1800
"""Seconds after which the long form of a test counts as hung. Other tests have fewer."""

MEASURED_CASES = 3
"""Number of cases of a table that are measured for the coverage. The others run the same lines, but
for a few."""

UNMEASURED = {
    "batch/gallery/test_gallery_layout.py",
    "batch/gallery/test_gallery_steps.py",
    "batch/gallery/test_live_gallery.py",
    "batch/test_each_dialect.py",
    "batch/test_image_rows.py",
    "batch/test_older_release.py",
    "batch/test_run.py",
    "batch/test_stops.py",
    "batch/test_uncertain.py",
    "bots/test_discord_bot.py",
    "bots/test_telegram_bot.py",
    "cli/test_jobs.py",
    "cli/test_streams.py",
    "cli/test_terminal.py",
    "cli/test_verbosity.py",
    "contracts/test_schemathesis.py",
    "journal/test_apis_of_a_host.py",
    "journal/test_entries.py",
    "journal/test_kinds.py",
    "journal/test_passed_hints.py",
    "journal/test_races.py",
    "journal/test_upkeep.py",
    "mcp_server/test_agent_errors.py",
    "media/test_outputs.py",
    "simulator/test_agents.py",
    "simulator/test_agents_media.py",
    "simulator/test_files.py",
    "tasks/test_account_places.py",
    "tasks/test_api_key_rejections.py",
    "tasks/test_looks.py",
    "tasks/test_pending_memory.py",
    "telemetry/test_stats.py",
    "test_examples.py",
    "test_notebook.py",
    "test_reference_cycles.py",
    "test_web_apps.py",
    "transport/test_log_secrecy.py",
    "transport/test_rejections.py",
    "transport/test_submissions.py",
}
"""Files that take long and run nearly no line that other tests do not run as well: all of them
together are less than half a percent of the coverage, and a quarter of the time to measure it."""


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Look for no garbage while tests are collected: nearly all that is made then stays.

    All workers import the same modules, so one of them measures the coverage of that.
    """
    plugin = session.config.pluginmanager.getplugin("_cov")
    controller = None if plugin is None else plugin.cov_controller
    is_measured = getattr(session.config, "workerinput", {}).get("workerid", "gw0") == "gw0"
    gc.disable()
    if controller is not None and not is_measured:
        controller.pause()
    try:
        return (yield)
    finally:
        if controller is not None and not is_measured:
            controller.resume()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave some tests out of the coverage, because measuring slows them down by half or more.

    Random examples would make the figure differ between runs. Most of the tests that run on
    PostgreSQL run the same lines on SQLite as well.
    """
    here = Path(__file__).parent
    cases: Counter[str] = Counter()
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        test = item.nodeid.partition("[")[0]
        cases[test] += 1
        names = item.callspec.id.split("-") if hasattr(item, "callspec") else []
        if (
            # Hypothesis adds its marker later.
            getattr(item.obj, "is_hypothesis_test", False)
            or "postgres" in names
            or cases[test] > MEASURED_CASES
            or item.path.relative_to(here).as_posix() in UNMEASURED
        ):
            item.add_marker(pytest.mark.no_cover)
        if item.get_closest_marker("long") is not None:
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT))


def _frame_of(f: FrameType | None = None, limit: int | None = None) -> StackSummary:
    """Return one frame as a stack, without a look at the file of its code."""
    if f is None:
        f = sys._getframe(1)
    frame = FrameSummary(f.f_code.co_filename, f.f_lineno, f.f_code.co_name, lookup_line=False)
    return StackSummary([frame])


def _cancel(handle: asyncio.Handle) -> None:
    """Cancel a callback. In debug mode, asyncio would also format a text about it."""
    handle._cancelled = True
    handle._callback = handle._args = None  # type: ignore[assignment, attr-defined]


# Debug mode keeps the stack that each future, coroutine and callback was made on, which takes half
# of a test's time. A frame of it tells as well who made a future or a coroutine, and of a callback
# it would be one of asyncio's own. PYTHONASYNCIODEBUG=1 keeps all of them. The C code of asyncio
# calls a function of the standard library, which gets other code: it finds the same names there. To
# format a traceback, the library also looks in each case if the file of the code has changed, which
# none does.
if "PYTHONASYNCIODEBUG" not in os.environ:
    asyncio.constants.DEBUG_STACK_DEPTH = 1  # type: ignore[misc]
    traceback.extract_stack.__code__ = _frame_of.__code__
    asyncio.format_helpers.extract_stack = lambda f=None, limit=None: StackSummary()  # noqa: ARG005
    asyncio.Handle.cancel = _cancel  # type: ignore[assignment, method-assign]
    linecache.checkcache = lambda filename=None: None  # noqa: ARG005


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"debug": True, "loop_factory": SkippingLoop}


@pytest.fixture(autouse=True, scope="module")
def _only_what_is_new_is_collected() -> None:
    """Set aside what there is, mostly of imports, for each test collects garbage."""
    gc.collect()
    gc.freeze()


class _Complaints(logging.Handler):
    """What asyncio and aiohttp's server say of things gone wrong behind everybody's back."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no journal find a file locked, or break off a write, because the machine is slow."""
    assert SQLJournal.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(SQLJournal.__init__.__kwdefaults__, "lock_timeout", 120.0)
    assert Connections.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Connections.__init__.__kwdefaults__, "end_timeout", 120.0)
    monkeypatch.setitem(Connections.__init__.__kwdefaults__, "cancel_timeout", 120.0)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries follow within hundredths of a second, where a test is not about their delays."""
    monkeypatch.setattr(retry_policy, "FIRST_DELAY", 0.01)


@pytest.fixture(autouse=True)
def _nothing_goes_wrong_unseen(request: pytest.FixtureRequest) -> Iterator[None]:
    """No "never retrieved", no "was destroyed but it is pending", no traceback of the server's."""
    complaints = _Complaints()
    loggers = [logging.getLogger(name) for name in ("asyncio", "aiohttp.server")]
    for logger in loggers:
        logger.addHandler(complaints)
    yield
    if inspect.iscoroutinefunction(request.function):
        gc.collect()  # what nobody retrieved speaks up when it is collected
        gc.freeze()  # what is left stays, so the next collection need not look at it
    for logger in loggers:
        logger.removeHandler(complaints)
    assert complaints.texts == []
