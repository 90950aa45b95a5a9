"""Extras: packages that `pip install luma-async` leaves out, and the error that names their extra.

The module needs Python only, because the command line imports it before its own extra is known to
be installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

_EXTRAS = {
    "typer": "cli",
    "rich": "cli",
    "platformdirs": "cli",
    "av": "simulator",
    "PIL": "simulator",
    "yaml": "batch",
    "jinja2": "batch",
    "markupsafe": "batch",
    "sqlalchemy": "journal",
    "greenlet": "journal",
    "aiosqlite": "journal",
    "asyncpg": "postgres",
    "openpyxl": "xlsx",
    "dask": "cluster",
    "distributed": "cluster",
    "mcp": "mcp",
    "mcp_types": "mcp",
    "opentelemetry": "otel",
    "fsspec": "remote",
}
"""Extras by the modules that they install."""


class MissingExtraError(ModuleNotFoundError):
    """A module of an extra is not installed; the text has the command that installs the extra."""


@contextmanager
def needing(*modules: str, user: str, extra: str | None) -> Iterator[None]:
    """Check that modules are installed before the imports in the context.

    Without an `extra`, the modules themselves are to be installed.

    Raises:
        MissingExtraError: a module is not installed.

    """
    for module in modules:
        if not is_installed(module):
            package = f'"luma-async[{extra}]"' if extra else module
            raise MissingExtraError(f"{user} needs {module}: pip install {package}", name=module)
    yield


def is_installed(module: str) -> bool:
    """Return `True` if a module can be found. The module is not imported."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def missing_extra(
    error: ModuleNotFoundError, *, user: str, larger: str | None = None
) -> str | None:
    """Return the text for an import that failed, or `None` if no extra installs the module.

    Args:
        error: the error of the import.
        user: the subject of the text.
        larger: an extra to name instead of the smallest one that installs the module. The user will
            need it as well.

    """
    if isinstance(error, MissingExtraError):
        return str(error)
    extra = _EXTRAS.get((error.name or "").partition(".")[0])
    if extra is None:
        return None
    return f'{user} needs {error.name}: pip install "luma-async[{larger or extra}]"'
