"""Command line `luma-async`."""

from __future__ import annotations

import sys

from luma_async.cli.streams import discard_stdout, open_closed_streams
from luma_async.extras import missing_extra

_USAGE_ERROR = 2
"""Exit code of a usage error. `ExitCode` is not imported, because its imports may be missing."""

_EXTRAS = {"demo": "demo", "simulate": "demo", "mcp": "mcp"}
"""Extras by the commands that need more than the extra `cli`."""


def main() -> None:
    """Run the command line `luma-async`."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A prompt may hold any character; the encoding of an old terminal must not end a command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        # Before the command line is parsed: an error of the parser would print the API key.
        from luma_async.cli.environment import reject_api_key_options  # noqa: PLC0415  as below

        reject_api_key_options(sys.argv[1:])
        from luma_async.cli.app import app  # noqa: PLC0415  the extra may be missing

        app(prog_name="luma-async")
    except ModuleNotFoundError as error:
        larger = _EXTRAS.get(sys.argv[1]) if len(sys.argv) > 1 else None
        missing = missing_extra(error, user="The command line", larger=larger)
        if missing is None:
            raise
        print(missing, file=sys.stderr)
        sys.exit(_USAGE_ERROR)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # standard output cannot be written to
        discard_stdout()
        sys.exit(f"luma-async: {error}")
