"""What is said to a server that asks or tells its client something."""
from __future__ import annotations

from typing import Any


async def refuse(context: Any, method: str, params: Any) -> dict[str, Any]:
    """A server asks us for something: a ping is answered, everything else is not offered."""
    from mcp.shared.exceptions import MCPError
    from mcp_types import METHOD_NOT_FOUND

    if method == "ping":
        return {}
    raise MCPError(code=METHOD_NOT_FOUND, message=f"{method} is not offered")


async def ignore(context: Any, method: str, params: Any) -> None:
    """A server tells us something: the Tap has it."""
    return None
