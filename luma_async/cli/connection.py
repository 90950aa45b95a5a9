"""Connection: a client as the options, the environment and `.env` say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from luma_async.cli.download_limits import DownloadLimits
from luma_async.cli.environment import API_KEY, BASE_URL, JOURNAL, REJECTION_CODES, Settings
from luma_async.client import LumaClient
from luma_async.dialects import GatewayDialect
from luma_async.errors import ConfigurationError, InvalidRequestError, JournalError
from luma_async.journal.sql.location import is_url, shown
from luma_async.shell import command_line
from luma_async.transport.credentials import checked_base_url


@dataclass(frozen=True)
class Connection:
    """Where the gateway and the journal are.

    `base_url`, `journal`, `rejection_codes` and `downloads` are as the options say. Proxies are
    those of the environment.
    """

    base_url: str | None = None
    journal: str | None = None
    settings: Settings = field(default_factory=Settings.here)
    rejection_codes: tuple[str, ...] = ()
    downloads: DownloadLimits = field(default_factory=DownloadLimits)

    def client(self, **arguments: Any) -> LumaClient:
        """Return a client that knows of no journal.

        Raises:
            ConfigurationError: there is no key, or a setting makes no sense.

        """
        key = self.settings.get(API_KEY)
        if key is None:
            problem = f" ({self.settings.problem})" if self.settings.problem else ""
            raise ConfigurationError(
                "There is no API key. Set LUMA_API_KEY, or write LUMA_API_KEY=sk-... into a "
                f"file .env in this folder{problem}."
            )
        dialect = GatewayDialect(rejection_codes=self.known_rejection_codes)
        arguments = {**self.downloads.arguments(self.settings), **arguments}
        return LumaClient(key, base_url=self.server, dialect=dialect, trust_env=True, **arguments)

    def client_that_submits(self, **arguments: Any) -> LumaClient:
        """Return a client that writes down in the journal what it submits.

        Raises:
            ConfigurationError: there is no key, or a setting makes no sense.
            JournalError: there can be no journal.

        """
        client = self.client(journal=self.journal_place, **arguments)
        if not self.journal_is_url:
            folder = Path(self.journal_place).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise JournalError(
                    f"There can be no journal in {folder}: {error.strerror or error}. Nothing was "
                    "submitted. Name another place: --journal, or LUMA_JOURNAL."
                ) from None
        return client

    def client_that_watches(self, **arguments: Any) -> LumaClient:
        """Return a client that tells the journal how jobs end, if there is a journal.

        Raises:
            ConfigurationError: there is no key, or a setting makes no sense.
            JournalError: an option names a journal that is not there.

        """
        is_needed = self.journal is not None or self.journal_is_there
        return self.client(journal=self.journal_that_exists if is_needed else None, **arguments)

    @cached_property
    def server(self) -> str:
        """The gateway's base URL.

        Raises:
            ConfigurationError: it is none.

        """
        named = self.base_url or self.settings.get(BASE_URL)
        return checked_base_url(named or GatewayDialect.default_base_url)

    @property
    def known_rejection_codes(self) -> frozenset[str]:
        """The gateway's own codes of certain rejections, from the options or the settings."""
        named = self.rejection_codes or re.split(
            r"[\s,]+", self.settings.get(REJECTION_CODES) or ""
        )
        return frozenset(code.strip() for code in named if code.strip())

    @cached_property
    def journal_place(self) -> str:
        """Where the journal is, or will be: as named, or in a file of the user's.

        Raises:
            JournalError: it is in a home folder, and there is none.

        """
        if self._named_journal is not None and is_url(self._named_journal):
            return self._named_journal
        try:
            return str(Path(self._named_journal or default_place()).expanduser().absolute())
        except (RuntimeError, FileNotFoundError):
            raise JournalError(
                "There is no home folder, or no current one, to look for the journal in. Name it "
                "by its whole path: --journal, or LUMA_JOURNAL."
            ) from None

    @cached_property
    def journal_that_exists(self) -> str | None:
        """Where the journal is; `None` if none is named and none was begun.

        Raises:
            JournalError: one is named, and is not there.

        """
        if self.journal_is_there:
            return self.journal_place
        if self._named_journal is None:
            return None
        raise JournalError(
            f"There is no journal at {shown(self.journal_place)}. Name it: --journal, or "
            "LUMA_JOURNAL."
        )

    @property
    def journal_is_url(self) -> bool:
        """Whether it is in a database server, and no file."""
        return is_url(self.journal_place)

    def check_is_no_secret(self, key: str) -> None:
        """Refuse an API key as the key of a job.

        Raises:
            InvalidRequestError: it is one, or looks like one.

        """
        if key == self.settings.get(API_KEY) or (key.startswith("sk-") and len(key) >= 20):
            raise InvalidRequestError.of(
                "key",
                "names the job in the journal, and this looks like an API key. That goes into "
                "LUMA_API_KEY, or into a file .env in this folder",
            )

    def command(self, *words: str, **options: str | Iterable[str] | None) -> str:
        """Return what to type for another command at the same gateway."""
        return _typed(*words, **{"base-url": self.base_url, **options})

    def command_that_downloads(self, *words: str, **options: str | None) -> str:
        """Return what to type for another command that downloads from the same gateway."""
        return self.command(*words, *self.downloads.typed(), **options)

    def command_that_submits(self, *words: str, **options: str | None) -> str:
        """Return what to type for a command that submits jobs to the same gateway."""
        return self.command(*words, **{"rejection-code": self.rejection_codes, **options})

    def journal_command(self, *words: str) -> str:
        """Return what to type for a command that only asks the journal."""
        return _typed(*words, journal=self.journal)

    @property
    def journal_is_there(self) -> bool:
        """Whether the journal exists, as far as can be told without opening it."""
        try:
            return self.journal_is_url or Path(self.journal_place).exists()
        except JournalError:  # it would be in a home folder, and there is none
            return False

    @property
    def _named_journal(self) -> str | None:
        return self.journal or self.settings.get(JOURNAL)


def _typed(*words: str, **options: str | Iterable[str] | None) -> str:
    typed = ["luma-async", *words]
    for name, value in options.items():
        values = [value] if isinstance(value, str) else value or ()
        said = map(shown, values) if name == "journal" else values
        typed += [f"--{name}={each}" for each in said]
    return command_line(typed)


def default_place() -> str:
    """Return where the journal is if nobody says."""
    from platformdirs import user_state_path  # noqa: PLC0415  the extra may be missing

    return str(user_state_path("luma-async") / "journal.db")
