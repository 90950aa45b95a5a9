"""Program: runs one command from its first line to its exit code."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import typer

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.stdout import forget_stdout
from luma_async.cli.terminal import Terminal
from luma_async.errors import LumaError, ManifestError

ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a process that is a service's, or whose terminal is gone: as a Ctrl-C would."""

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
    for number in ENDS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    with terminal.log():
        code = _code_of(work, terminal)
    raise typer.Exit(code)


def _code_of(work: Work, terminal: Terminal) -> ExitCode:
    try:
        return asyncio.run(work(terminal))
    except KeyboardInterrupt:
        terminal.say_interrupted()
        return ExitCode.INTERRUPTED
    except ManifestError as error:
        terminal.list_problems(error)
        return ExitCode.of([error])
    except LumaError as error:
        terminal.complain(error)
        return ExitCode.of([error])
    except BrokenPipeError:
        forget_stdout()
        return ExitCode.DONE
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        terminal.complain(
            f"This needs {error.name}: pip install 'luma-async[{_EXTRAS[error.name]}]'"
        )
        return ExitCode.USAGE
    except OSError as error:
        forget_stdout()
        terminal.complain(f"That did not work: {error}.")
        return ExitCode.FAILED
