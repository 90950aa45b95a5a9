"""A person at a terminal."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line `luma-async`."""
    try:
        from luma_async.cli.app import app  # noqa: PLC0415  the extra may be missing
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich", "platformdirs", "av", "PIL"):
            raise
        sys.exit("The command line needs more: pip install 'luma-async[demo]'")
    app()
