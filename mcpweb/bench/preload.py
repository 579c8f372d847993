"""What the forkserver imports once, so that a run child starts in milliseconds: MCP, and the test types that come with us."""
import contextlib
import gc
import importlib

import mcp.shared.jsonrpc_dispatcher
import mcp_types

import mcpweb.bench.context
import mcpweb.core
import mcpweb.mcp.http
import mcpweb.mcp.negotiate
import mcpweb.mcp.session
import mcpweb.mcp.streams
from mcpweb import paths, pluginhost

__all__ = ["mcp", "mcp_types", "mcpweb"]

for folder in sorted(paths.PLUGINS.glob("testtype_*")):
    with contextlib.suppress(Exception):  # the child that needs it says what is wrong with it
        pluginhost.import_folder(folder.name, folder)
        importlib.import_module(f"{pluginhost.NAMESPACE}.{folder.name}.run")
gc.freeze()  # shared with the children, which need not look through it
