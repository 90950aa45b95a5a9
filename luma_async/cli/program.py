"""Run a command, print its errors, and exit with its code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import typer

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.interruption import Interruption
from luma_async.cli.streams import discard_stdout
from luma_async.cli.terminal import Terminal
from luma_async.cli.verbosity import log_level
from luma_async.errors import LumaError, ManifestError
from luma_async.extras import MissingExtraError, missing_extra

CommandFunction = Callable[[Terminal], Coroutine[Any, Any, ExitCode]]


def run(command: CommandFunction, *, as_json: bool = False) -> NoReturn:
    """Run a command, print the error that ends it, and exit with its code.

    Raises:
        typer.Exit: always.

    """
    terminal = Terminal(as_json=as_json, log_level=log_level())
    interruption = Interruption(terminal)
    with interruption.handling_signals(), terminal.showing_log():
        code = _run(command, terminal, interruption)
    raise typer.Exit(code)


def _run(command: CommandFunction, terminal: Terminal, interruption: Interruption) -> ExitCode:
    async def main() -> ExitCode:
        interruption.attach()
        return await command(terminal)

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        terminal.print_interrupted()
        return ExitCode.INTERRUPTED
    except asyncio.CancelledError:
        if not interruption.is_cancelled:
            raise
        terminal.print_interrupted()
        return ExitCode.INTERRUPTED
    except (LumaError, ModuleNotFoundError, OSError) as error:
        code = _report_failure(error, terminal)
        terminal.print_continue_command()
        return code


def _report_failure(error: Exception, terminal: Terminal) -> ExitCode:
    """Print an error, and return its exit code.

    Raises:
        Exception: the error is a missing module that no extra installs.

    """
    match error:
        case ManifestError():
            terminal.print_problems(error)
        case LumaError():
            terminal.print_failure(error)
        case BrokenPipeError():  # `luma-async ... | head -1` is not an error
            discard_stdout()
            return ExitCode.DONE
        case ModuleNotFoundError() if missing := missing_extra(error, user="This command"):
            terminal.print_failure(MissingExtraError(missing))
            return ExitCode.USAGE
        case OSError():
            discard_stdout()
            terminal.print_error(f"The operating system reported an error: {error}.")
            return ExitCode.FAILED
        case _:
            raise error
    return ExitCode.of([error])
