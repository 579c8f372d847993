"""What the forkserver imports once, so that a run child starts in milliseconds."""
import mcp.shared.jsonrpc_dispatcher
import mcp_types

import mcpweb.mcp.http
import mcpweb.mcp.negotiate
import mcpweb.mcp.session
import mcpweb.mcp.streams

__all__ = ["mcp", "mcp_types", "mcpweb"]
