"""A session of an agent in this process, through the client of the package `mcp`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, types

from luma_async import LumaClient
from luma_async.mcp_server import AgentFolder, AgentTools, SessionLimits, agent_server
from luma_async.simulator import Simulator
from tests.clients import connect

SETTLE = "luma-async settle --journal my.db"
"""Command that settles a job in the journal of the session."""


@dataclass(frozen=True)
class Session:
    """Calls of one agent."""

    client: Client
    luma: LumaClient

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the structured content of a call that succeeds."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        content: dict[str, Any] = result.structured_content
        return content

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """Return the text of a call that ends with an error."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error
        assert result.structured_content is None
        return text_of(result)

    async def completed(self, simulator: Simulator, key: str, prompt: str = "a cat") -> str:
        """Return the id of a job that is submitted and completed."""
        id = (await self.ask("generate_video", key=key, prompt=prompt))["id"]
        simulator.advance(3600)
        ended = await self.ask("wait_for_job", job=id)
        assert ended["state"] == "completed"
        return str(id)


@asynccontextmanager
async def session(
    simulator: Simulator,
    folder: Path,
    *,
    mode: str = "auto",
    heartbeat: float = 10.0,
    image_folders: tuple[Path, ...] = (),
    limits: SessionLimits | None = None,
    **settings: Any,
) -> AsyncIterator[Session]:
    """Run a server for one agent, whose journal and folder are in a folder."""
    async with connect(simulator, journal=folder / "jobs.db", **settings) as luma:
        tools = AgentTools(
            luma,
            AgentFolder(folder / "videos", image_folders=image_folders),
            limits or SessionLimits(),
            heartbeat=heartbeat,
        )
        async with Client(agent_server(tools, settle_command=SETTLE), mode=mode) as client:
            yield Session(client, luma)


def text_of(result: types.CallToolResult) -> str:
    """Return the text of a result."""
    (first, *_) = result.content
    assert isinstance(first, types.TextContent)
    return first.text


def links_of(result: types.CallToolResult) -> list[types.ResourceLink]:
    """Return the resource links of a result."""
    return [content for content in result.content if isinstance(content, types.ResourceLink)]
