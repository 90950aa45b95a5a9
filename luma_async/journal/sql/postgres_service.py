"""PostgreSQL service files: named sets of connection parameters, as libpq reads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from luma_async.errors import ConfigurationError
from luma_async.journal.sql.postgres_url import PARAMETERS


def service_parameters(service: str, file: str | None) -> dict[str, str]:
    """Return the parameters of a service, from one file or from the default files of libpq.

    Raises:
        ConfigurationError: the service does not exist, or has a parameter that libpq does not know.

    """
    files = list(_service_files(file))
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        found = _section(lines, service)
        if found is not None:
            return found
    searched = ", ".join(map(str, files)) or "no file"
    raise ConfigurationError(
        f"The journal's PostgreSQL URL names a service that was not found (looked in {searched}). "
        "Set the file with servicefile=..., or in PGSERVICEFILE."
    )


def _service_files(file: str | None) -> Iterator[Path]:
    if file is not None:
        yield Path(file).absolute()
        return
    if sys.platform == "win32" and (data := os.environ.get("APPDATA")):
        yield Path(data) / "postgresql" / ".pg_service.conf"
    with suppress(RuntimeError):  # the home folder is not known
        yield Path("~/.pg_service.conf").expanduser()
    yield Path(os.environ.get("PGSYSCONFDIR", "/etc/postgresql-common")) / "pg_service.conf"


def _section(lines: list[str], service: str) -> dict[str, str] | None:
    found: dict[str, str] | None = None
    for line in map(str.strip, lines):
        if line.startswith("["):
            if found is not None:
                break
            found = {} if line == f"[{service}]" else None
        elif found is not None and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            if name not in PARAMETERS:
                raise ConfigurationError(
                    "The service in the journal's PostgreSQL URL has a line that is not "
                    "parameter=value with a parameter of PostgreSQL. Correct the service file."
                )
            found[name] = value
    return {name: value for name, value in found.items() if value} if found is not None else None
