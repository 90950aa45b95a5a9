"""`luma-async mcp`: serve the tools of an AI agent on standard input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.option_sets import LimitOptions, ServerOptions, connection_of
from luma_async.cli.options import Journal, RejectionCodes

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.cli.terminal import Terminal


def mcp(
    *,
    folder: Annotated[
        str,
        typer.Option(
            metavar="FOLDER",
            help="Folder for downloads, and for images that the agent may send.",
        ),
    ] = "luma-videos",
    image_folder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER", help="Further folder whose images the agent may send. Repeatable."
        ),
    ] = None,
    max_jobs: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Maximum number of jobs that are submitted and paid for."
        ),
    ] = 10,
    max_tasks: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of jobs that run at a time.")
    ] = 3,
    limits: LimitOptions,
    server: ServerOptions,
    journal: Journal = None,
    rejection_code: RejectionCodes = None,
) -> None:
    """Serve tools for an AI agent (MCP) on standard input and output.

    A program such as Claude Desktop starts it. All jobs are in the journal, so that a job key is
    paid for only once. The limits apply until the program ends.
    """
    from luma_async.cli.program import run

    connection = connection_of(server, journal, limits=limits, rejection_codes=rejection_code)
    run(
        lambda terminal: serve_agent(
            terminal,
            connection,
            folder=folder,
            image_folders=image_folder or [],
            max_jobs=max_jobs,
            max_tasks=max_tasks,
        )
    )


async def serve_agent(
    terminal: Terminal,
    connection: Connection,
    *,
    folder: str,
    image_folders: list[str],
    max_jobs: int,
    max_tasks: int,
) -> ExitCode:
    """Serve one agent until it closes standard input.

    Raises:
        LumaError: the API key or a setting is not valid, or the journal cannot be used.

    """
    from luma_async.mcp_server import (
        AgentFolder,
        AgentTools,
        SessionLimits,
        agent_server,
        serve_on_standard_streams,
    )

    place = AgentFolder(folder, image_folders=image_folders)
    async with connection.client_that_submits() as luma:
        tools = AgentTools(
            luma,
            place,
            SessionLimits(max_jobs=max_jobs, max_tasks=max_tasks),
            check_key=connection.check_job_key,
        )
        server = agent_server(tools, settle_command=connection.journal_command("settle"))
        if terminal.can_ask:
            terminal.say(
                "Serving MCP on standard input, for a program that speaks it. Ctrl-C ends it."
            )
        await serve_on_standard_streams(server)
    return ExitCode.DONE
