"""A person at a terminal."""

from __future__ import annotations

import sys

from luma_async.cli.streams import forget_stdout

_NEEDED = ("typer", "rich", "platformdirs")


def main() -> None:
    """Run the command line `luma-async`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        from luma_async.cli.environment import refuse_key  # noqa: PLC0415  as below

        refuse_key(sys.argv[1:])
        from luma_async.cli.app import app  # noqa: PLC0415  the extra may be missing

        app(prog_name="luma-async")
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        sys.exit("The command line needs more: pip install 'luma-async[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # nobody takes what is printed
        forget_stdout()
        sys.exit(f"luma-async: {error}")
