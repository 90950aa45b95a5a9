"""Client settings: the arguments of a `LumaClient`, checked, and from the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict, cast, get_args

import aiohttp

from luma_async.dialects import (
    ChosenDialect,
    Dialect,
    DialectName,
    ServerChoice,
    choose_server,
)
from luma_async.errors import ConfigurationError
from luma_async.journal import Journal, SQLJournal
from luma_async.journal.shared_journal import SharedJournal, as_shared
from luma_async.journal.sql.database_url import is_url
from luma_async.media.file_references import FileMemory
from luma_async.positive_numbers import check_positive, is_number
from luma_async.schedules import PollSchedule
from luma_async.settings import JOURNAL, Settings
from luma_async.text_values import SecretLike, URLLike
from luma_async.transport.credentials import Secret, checked_base_url
from luma_async.webhooks import WebhookReceiver

MaxTasksScope = Literal["client", "journal"]
"""Scope of `max_tasks`: the jobs of one client, or of all processes that use the journal."""


class ClientSettings(TypedDict, total=False):
    """The arguments of `LumaClient`, as `LumaClient.from_env()` takes them."""

    api_key: SecretLike | None
    base_url: URLLike | None
    dialect: Dialect | DialectName | None
    max_requests: int
    max_tasks: int | None
    max_tasks_scope: MaxTasksScope
    timeout: float
    max_tries: int
    task_timeout: float
    schedule: PollSchedule | None
    link_timeout: float
    batch_size: int
    max_image_bytes: int | None
    max_downloads: int
    journal: Journal | URLLike | os.PathLike[str] | None
    webhook: WebhookReceiver | None
    session: aiohttp.ClientSession | None
    media_session: aiohttp.ClientSession | None
    trust_env: bool
    min_download_speed: float
    max_download_bytes: int | None
    allow_local_files: bool
    allow_private_media: bool
    telemetry: bool


def settings_of_environment(overrides: ClientSettings) -> dict[str, Any]:
    """Return the arguments of a client from the environment and `.env`, with `overrides` on top.

    Raises:
        ConfigurationError: there is no API key, a setting is not valid, or `.env` cannot be read.

    """
    settings = Settings.load()
    if settings.problem is not None:  # the lost line may be that of the journal
        raise ConfigurationError(f"{settings.problem}. Correct it, or pass the settings.")
    given: dict[str, Any] = {
        name: value
        for name, value in overrides.items()
        if value is not None or name not in ("api_key", "base_url", "dialect")
    }
    server = choose_server(
        api_key=given.pop("api_key", None),
        base_url=given.pop("base_url", None),
        dialect=given.pop("dialect", None),
        variables=settings.values,
        rejection_codes=settings.rejection_codes(),
    )
    found: dict[str, Any] = {
        "api_key": server.api_key(),
        "base_url": server.base_url,
        "dialect": server.chosen_dialect,
        "trust_env": True,
        **settings.download_limits(),
    }
    if "journal" not in given and (journal := settings.get(JOURNAL)) is not None:
        found["journal"] = journal if is_url(journal) else os.path.expanduser(journal)  # noqa: PTH111  Path raises an error without a home folder
    return {**found, **given}


def server_of_arguments(
    api_key: SecretLike | None, base_url: URLLike | None, dialect: Dialect | str | None
) -> ServerChoice:
    """Return the server that the arguments of a client, or else the environment, describe.

    A `ChosenDialect` comes with the API key and base URL of the same choice.

    Raises:
        ConfigurationError: there is no API key, or a setting is not valid.

    """
    if isinstance(dialect, ChosenDialect) and api_key is not None:
        chosen, reason = dialect
        url = checked_base_url(base_url or chosen.default_base_url)
        return ServerChoice(chosen, url, reason, Secret.of(api_key))
    return choose_server(api_key=api_key, base_url=base_url, dialect=dialect, variables=os.environ)


_JOURNAL_METHODS = (
    *("open", "claim", "hold", "find", "finish", "unfinished", "uncertain"),
    *("mark_accepted", "mark_rejected", "mark_uncertain", "mark_forgotten"),
    *("learned", "keep_learned"),
)
"""Methods of a journal that a client calls. Most are called only when a job has been paid for, so a
missing one must be found before."""


def journal_at(journal: Any) -> SQLJournal | None:
    """Return the journal at a path or URL, or `None` if the caller passed in a `Journal`.

    Raises:
        ConfigurationError: the value is neither, or a journal that lacks methods.

    """
    if isinstance(journal, str | bytes | os.PathLike):
        return SQLJournal(journal)
    missing = [name for name in _JOURNAL_METHODS if not callable(getattr(journal, name, None))]
    if not missing:
        return None
    without = "" if missing == [*_JOURNAL_METHODS] else f" without {', '.join(missing)}"
    raise ConfigurationError(
        f"journal must be a path, a URL or a Journal, got {type(journal).__name__}{without}."
    )


def shared_journal_of(journal: Journal) -> SharedJournal:
    """Return a journal with which processes can share a limit.

    Raises:
        ConfigurationError: the journal lacks methods for that.

    """
    shared = as_shared(journal)
    if shared is None:
        raise ConfigurationError(
            "max_tasks_scope='journal' needs a journal that processes can share, and "
            f"{type(journal).__name__} lacks methods for that (SharedJournal in luma_async.journal."
            "shared_journal). Use journal='jobs.db', or for several machines "
            "journal='postgresql://user@host/name'."
        )
    return shared


def file_memory_of(journal: Any) -> FileMemory | None:
    """Return a journal that remembers uploaded files, `None` if it is one that does not."""
    names = ("find_file", "remember_file")
    remembers = all(callable(getattr(journal, name, None)) for name in names)
    return cast("FileMemory", journal) if remembers else None


_POSITIVE = (
    *("max_requests", "max_tasks", "timeout", "max_tries", "task_timeout", "link_timeout"),
    *("batch_size", "max_image_bytes", "max_downloads", "max_download_bytes"),
)
"""Settings that must be above 0."""

_OPTIONAL = frozenset({"max_tasks", "max_image_bytes", "max_download_bytes"})
"""Settings among these that may be `None`."""

_SWITCHES = ("allow_local_files", "trust_env", "allow_private_media", "telemetry")
"""Settings that are `True` or `False`. The text "false" would count as true."""

_OBJECTS: tuple[tuple[str, type], ...] = (
    ("webhook", WebhookReceiver),
    ("session", aiohttp.ClientSession),
    ("media_session", aiohttp.ClientSession),
)
"""Settings that are `None` or an object of a type."""


def check_settings(settings: ClientSettings) -> None:
    """Check the settings of a client, apart from its server and its journal.

    A value that is not valid would often raise an error only when a job has been paid for.

    Raises:
        ConfigurationError: a setting is not valid. The error names it.

    """
    given = cast("dict[str, Any]", settings)
    check_positive(
        **{
            name: given[name]
            for name in _POSITIVE
            if given[name] is not None or name not in _OPTIONAL
        }
    )
    _check_scope(given)
    speed = given["min_download_speed"]
    if not is_number(speed) or not 0 <= float(speed) < math.inf:
        raise ConfigurationError(
            f"min_download_speed must be 0 or more bytes per second, got {speed!r}."
        )
    for name in _SWITCHES:
        if not isinstance(given[name], bool):
            raise ConfigurationError(f"{name} must be True or False, got {given[name]!r}.")
    _check_objects(given)


def _check_objects(given: Mapping[str, Any]) -> None:
    """Check the settings that are objects.

    Raises:
        ConfigurationError: one has another type. The error names it, without its text.

    """
    for name, kind in _OBJECTS:
        if given[name] is not None and not isinstance(given[name], kind):
            raise ConfigurationError(
                f"{name} must be a {kind.__name__}, got {_shown(given[name])}."
            )
    schedule = given["schedule"]
    is_object = not isinstance(schedule, type) and callable(getattr(schedule, "next_delay", None))
    if schedule is not None and not is_object:
        raise ConfigurationError(
            f"schedule must be a PollSchedule, such as FixedSchedule(3.0), got {_shown(schedule)}."
        )


def _shown(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _check_scope(given: Mapping[str, Any]) -> None:
    """Check the setting `max_tasks_scope`, and those that it needs.

    Raises:
        ConfigurationError: it is not valid, or another setting is missing.

    """
    scope = given["max_tasks_scope"]
    if scope not in get_args(MaxTasksScope):
        raise ConfigurationError(f"max_tasks_scope must be 'client' or 'journal', got {scope!r}.")
    if scope == "client":
        return
    for name, example in (("max_tasks", "max_tasks=20"), ("journal", "journal='jobs.db'")):
        if given[name] is None:
            raise ConfigurationError(
                f"max_tasks_scope='journal' needs {name} as well, such as {example}."
            )
