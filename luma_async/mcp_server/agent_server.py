"""Agent server: offers the tools over the Model Context Protocol, and turns errors into results."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp import MCPError, types
from mcp.server import Server, ServerRequestContext

from luma_async.errors import InvalidRequestError, LumaError
from luma_async.mcp_server.agent_errors import error_text
from luma_async.mcp_server.agent_tools import AgentTools
from luma_async.mcp_server.tool_arguments import (
    DownloadArguments,
    JobArguments,
    ListArguments,
    NoArguments,
    WaitArguments,
)
from luma_async.mcp_server.tool_table import INSTRUCTIONS, SUBMIT_TOOLS, tools_for
from luma_async.requests import Kind
from luma_async.text_values import bounded
from luma_async.version import __version__

logger = logging.getLogger("luma_async")

Context = ServerRequestContext[Any, Any]
Call = Callable[[Context, Mapping[str, Any]], Awaitable[types.CallToolResult]]


def agent_server(tools: AgentTools, *, settle_command: str = "luma-async settle") -> Server[Any]:
    """Return an MCP server with the tools that the client's server has a use for.

    `settle_command` is the command that a person settles uncertain jobs with, without the job key.
    """
    offered = {tool.name: tool for tool in tools_for(tools.luma.dialect)}
    calls = _calls(tools)

    async def list_tools(
        _context: Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=list(offered.values()))

    async def call_tool(
        context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        if params.name not in offered:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:80]}")
        try:
            _check_names(offered[params.name], params.arguments or {})
            return await calls[params.name](context, params.arguments or {})
        except LumaError as error:
            logger.info("The tool %s ended with an error: %s", params.name, error)
            return _failed(error_text(error, settle_command=settle_command))
        except Exception:
            logger.exception("The tool %s has failed.", params.name)
            return _failed(
                "The tool failed with an internal error, which is in the log of this server. If "
                "it submits jobs, repeat the call only with the same key."
            )

    return Server(
        "luma-async",
        version=__version__,
        title="Luma videos",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _calls(tools: AgentTools) -> dict[str, Call]:
    """Return the function that carries out each tool."""

    async def get_job(_: Context, arguments: Mapping[str, Any]) -> types.CallToolResult:
        return await tools.get_job(JobArguments.of(arguments))

    async def wait_for_job(context: Context, arguments: Mapping[str, Any]) -> types.CallToolResult:
        async def report(seconds: float, text: str) -> None:
            # The number must rise with each report, which the progress of a job does not.
            await context.session.report_progress(seconds, message=text)

        return await tools.wait_for_job(WaitArguments.of(arguments), report)

    async def list_jobs(_: Context, arguments: Mapping[str, Any]) -> types.CallToolResult:
        return await tools.list_jobs(ListArguments.of(arguments))

    async def download_files(_: Context, arguments: Mapping[str, Any]) -> types.CallToolResult:
        return await tools.download_files(DownloadArguments.of(arguments))

    async def get_credits(_: Context, arguments: Mapping[str, Any]) -> types.CallToolResult:
        NoArguments.of(arguments)
        return await tools.get_credits()

    async def list_concepts(_: Context, arguments: Mapping[str, Any]) -> types.CallToolResult:
        NoArguments.of(arguments)
        return await tools.list_concepts()

    calls: dict[str, Call] = {
        "get_job": get_job,
        "wait_for_job": wait_for_job,
        "list_jobs": list_jobs,
        "download_files": download_files,
        "get_credits": get_credits,
        "list_concepts": list_concepts,
    }
    return {**calls, **{name: _submits(tools, kind) for name, (kind, *_) in SUBMIT_TOOLS.items()}}


def _submits(tools: AgentTools, kind: Kind) -> Call:
    async def submit(_: Context, arguments: Mapping[str, Any]) -> types.CallToolResult:
        return await tools.submit(kind, arguments)

    return submit


def _check_names(tool: types.Tool, arguments: Mapping[str, Any]) -> None:
    """Check that a tool has these arguments: a field that agents do not get is not one of them.

    Raises:
        InvalidRequestError: it does not have one, or lacks one that is required.

    """
    allowed = tool.input_schema.get("properties", {})
    problems = {
        bounded(name, 80): f"is not an argument; allowed: {', '.join(allowed) or 'none'}"
        for name in arguments
        if name not in allowed
    }
    for name in tool.input_schema.get("required", ()):
        if arguments.get(name) is None:
            problems[name] = "is required"
    if problems:
        raise InvalidRequestError(problems)


def _failed(text: str) -> types.CallToolResult:
    content = types.TextContent(type="text", text=text)
    return types.CallToolResult(content=[content], is_error=True)
