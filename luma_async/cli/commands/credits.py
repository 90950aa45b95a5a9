"""`luma-async credits`: show the balance of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.option_sets import ServerOptions, connection_of
from luma_async.cli.options import AsJSON

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.cli.terminal import Terminal


def credits(*, server: ServerOptions, as_json: AsJSON = False) -> None:
    """Show the balance of the account, in US dollars.

    Only the Dream Machine API tells it. A pipe gets the number alone.
    """
    from luma_async.cli.program import run

    connection = connection_of(server)
    run(lambda terminal: show_credits(terminal, connection), as_json=as_json)


async def show_credits(terminal: Terminal, connection: Connection) -> ExitCode:
    """Print the balance.

    Raises:
        LumaError: the server does not tell the balance, or gave no usable answer.

    """
    async with connection.client() as luma:
        usd = (await luma.credits()).usd
    terminal.result(f"{usd:.2f} US dollars", {"usd": usd}, row=[f"{usd:.2f}"])
    return ExitCode.DONE
