"""MCP server: lets an AI agent submit, watch and download jobs, with care for the user's money.

The command `luma-async mcp` runs it on standard input and output.
"""

from luma_async.extras import needing

with needing("mcp", user="The MCP server", extra="mcp"):
    from luma_async.mcp_server.agent_folder import AgentFolder
    from luma_async.mcp_server.agent_server import agent_server
    from luma_async.mcp_server.agent_tools import AgentTools
    from luma_async.mcp_server.session_limits import SessionLimits
    from luma_async.mcp_server.standard_streams import serve_on_standard_streams

__all__ = [
    "AgentFolder",
    "AgentTools",
    "SessionLimits",
    "agent_server",
    "serve_on_standard_streams",
]
