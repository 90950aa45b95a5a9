"""Connection: the client and the journal that options and settings describe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from luma_async.cli.download_limits import DownloadLimits
from luma_async.cli.environment import default_journal, looks_like_api_key
from luma_async.client import LumaClient
from luma_async.dialects import Dialect, ServerChoice, choose_server
from luma_async.errors import ConfigurationError, InvalidRequestError, JournalError
from luma_async.journal.sql.database_url import is_url, masked
from luma_async.settings import API_KEYS, JOURNAL, Settings
from luma_async.shell import command_line


@dataclass(frozen=True)
class Connection:
    """Server and journal of a command, and the commands that use the same ones.

    `base_url`, `dialect`, `journal`, `rejection_codes` and `downloads` are the values of the
    options.
    """

    base_url: str | None = None
    journal: str | None = None
    settings: Settings = field(default_factory=Settings.load)
    rejection_codes: tuple[str, ...] = ()
    downloads: DownloadLimits = field(default_factory=DownloadLimits)
    dialect: str | None = None

    def client(self, **arguments: Any) -> LumaClient:
        """Return a client without a journal, and with the proxies of the environment.

        Raises:
            ConfigurationError: there is no API key, a setting is not valid, or a line of `.env`
                cannot be read.

        """
        chosen: Any = self._choice.chosen_dialect
        problem = self.settings.problem
        api_key = self._choice.api_key(problem)
        if problem is not None:  # the lost line may be that of the base URL or the journal
            raise ConfigurationError(f"{problem}. Correct it.")
        arguments = {**self.downloads.arguments(self.settings), **arguments}
        return LumaClient(
            api_key,
            base_url=self.server,
            dialect=chosen,
            trust_env=True,
            **arguments,
        )

    def client_that_submits(self, **arguments: Any) -> LumaClient:
        """Return a client with a journal, and create the journal's folder.

        Raises:
            ConfigurationError: there is no API key, or a setting is not valid.
            JournalError: the journal's folder cannot be created.

        """
        client = self.client(journal=self.journal_place, **arguments)
        if not self.journal_is_url:
            folder = Path(self.journal_place).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise JournalError(
                    f"The folder of the journal, {folder}, cannot be created: "
                    f"{error.strerror or error}. Nothing was submitted. Choose another place with "
                    "--journal or LUMA_JOURNAL."
                ) from None
        return client

    def client_that_watches(self, **arguments: Any) -> LumaClient:
        """Return a client with the journal if it exists, so that it records the ends of jobs.

        Raises:
            ConfigurationError: there is no API key, or a setting is not valid.
            JournalError: the journal that the option names was not found.

        """
        is_needed = self.journal is not None or self.journal_is_there
        return self.client(journal=self.journal_that_exists if is_needed else None, **arguments)

    @cached_property
    def server(self) -> str:
        """Base URL of the server.

        Raises:
            ConfigurationError: the base URL or the dialect is not valid.

        """
        return self._choice.base_url

    @property
    def api_url(self) -> str:
        """URL of the API, by which the journal tells servers apart.

        Raises:
            ConfigurationError: the base URL or the dialect is not valid.

        """
        return self._choice.api_url

    @property
    def server_dialect(self) -> Dialect:
        """Dialect of the server: that of the options or settings, or the one that was chosen.

        Raises:
            ConfigurationError: the base URL or the dialect is not valid.

        """
        return self._choice.dialect

    @cached_property
    def _choice(self) -> ServerChoice:
        return choose_server(
            api_key=None,
            base_url=self.base_url,
            dialect=self.dialect,
            variables=self.settings.values,
            rejection_codes=self.known_rejection_codes,
        )

    @property
    def known_rejection_codes(self) -> frozenset[str]:
        """Error codes of the server that mean a certain rejection, from options or settings."""
        named = frozenset(code.strip() for code in self.rejection_codes) - {""}
        return named or self.settings.rejection_codes()

    @cached_property
    def journal_place(self) -> str:
        """Path or URL of the journal. The journal need not exist yet.

        The path is absolute from the beginning, because a command may change its folder.

        Raises:
            JournalError: there is no home folder or current folder to find the journal in.

        """
        if self._named_journal is not None and is_url(self._named_journal):
            return self._named_journal
        try:
            return str(Path(self._named_journal or default_journal()).expanduser().absolute())
        except (RuntimeError, FileNotFoundError):
            raise JournalError(
                "The journal was not found: there is no home folder, or no current folder, to "
                "look in. Name the journal by its full path with --journal or LUMA_JOURNAL."
            ) from None

    @cached_property
    def journal_that_exists(self) -> str | None:
        """Path or URL of the journal; `None` if none is named and the default does not exist.

        Raises:
            JournalError: the named journal was not found.

        """
        if self.journal_is_there:
            return self.journal_place
        if self._named_journal is None:
            return None
        raise JournalError(
            f"Journal not found: {masked(self.journal_place)}. Name another with --journal or "
            "LUMA_JOURNAL."
        )

    @property
    def journal_is_url(self) -> bool:
        """`True` if the journal is in a database server, `False` if it is a file."""
        return is_url(self.journal_place)

    @property
    def journal_is_there(self) -> bool:
        """`True` if the journal's file exists, or if the journal is in a database server."""
        try:
            return self.journal_is_url or Path(self.journal_place).exists()
        except JournalError:  # there is no home folder that it could be in
            return False

    @property
    def _named_journal(self) -> str | None:
        return self.journal or self.settings.get(JOURNAL)

    def check_job_key(self, key: str) -> None:
        """Check that a job key is not an API key. The journal stores job keys, and files show them.

        Raises:
            InvalidRequestError: the job key is an API key, or looks like one.

        """
        if looks_like_api_key(key) or key in map(self.settings.get, API_KEYS):
            raise InvalidRequestError.of(
                "key",
                "must be a job key, but this looks like an API key. Set the API key as "
                "LUMA_API_KEY in the environment, or in a file .env in this folder",
            )

    def command(self, *words: str, **options: str | Iterable[str] | None) -> str:
        """Return the command line of another command for the same server."""
        server = {"base-url": self.base_url, "dialect": self.dialect}
        return _command(*words, **{**server, **options})

    def command_that_downloads(self, *words: str, **options: str | None) -> str:
        """Return the command line of a download from the same server, with the same limits."""
        return self.command(*words, *self.downloads.words(), **options)

    def command_that_submits(self, *words: str, **options: str | None) -> str:
        """Return the command line of a submission to the same server."""
        return self.command(*words, **{"rejection-code": self.rejection_codes, **options})

    def journal_command(self, *words: str) -> str:
        """Return the command line of a command that only uses the journal."""
        return _command(*words, journal=self.journal)


def _command(*words: str, **options: str | Iterable[str] | None) -> str:
    typed = ["luma-async", *words]
    for name, value in options.items():
        values = [value] if isinstance(value, str) else value or ()
        # A journal's URL may hold a password.
        typed += [f"--{name}={masked(each) if name == 'journal' else each}" for each in values]
    return command_line(typed)
