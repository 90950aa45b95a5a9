"""Program: runs one command from its first line to its exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import typer

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.interruption import Interruption
from luma_async.cli.streams import forget_stdout
from luma_async.cli.terminal import Terminal
from luma_async.errors import LumaError, ManifestError

Work = Callable[[Terminal], Coroutine[Any, Any, ExitCode]]

_EXTRAS = {
    "av": "simulator",
    "PIL": "simulator",
    "yaml": "batch",
    "jinja2": "batch",
    "openpyxl": "xlsx",
}


def run(work: Work, *, as_json: bool = False) -> NoReturn:
    """Do the work of a command, say what went wrong, and leave with the exit code.

    Raises:
        typer.Exit: always.

    """
    terminal = Terminal(as_json=as_json)
    interruption = Interruption(terminal)
    with interruption.heeded(), terminal.log():
        code = _code_of(work, terminal, interruption)
    raise typer.Exit(code)


def _code_of(work: Work, terminal: Terminal, interruption: Interruption) -> ExitCode:
    async def main() -> ExitCode:
        interruption.attach()
        return await work(terminal)

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        terminal.say_interrupted()
        return ExitCode.INTERRUPTED
    except asyncio.CancelledError:
        if not interruption.is_leaving:
            raise
        terminal.say_interrupted()
        return ExitCode.INTERRUPTED
    except (LumaError, ModuleNotFoundError, OSError) as error:
        code = _code_of_failure(error, terminal)
        terminal.say_how_to_go_on()
        return code


def _code_of_failure(error: Exception, terminal: Terminal) -> ExitCode:
    """Say what went wrong.

    Raises:
        Exception: it is none of those that are expected.

    """
    match error:
        case ManifestError():
            terminal.list_problems(error)
        case LumaError():
            terminal.complain(error)
        case BrokenPipeError():
            forget_stdout()
            return ExitCode.DONE
        case ModuleNotFoundError(name=str(name)) if name in _EXTRAS:
            terminal.complain(f"This needs {name}: pip install 'luma-async[{_EXTRAS[name]}]'")
            return ExitCode.USAGE
        case OSError():
            forget_stdout()
            terminal.complain(f"That did not work: {error}.")
            return ExitCode.FAILED
        case _:
            raise error
    return ExitCode.of([error])
