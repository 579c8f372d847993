"""Docker MCP Web Manager."""
from __future__ import annotations

TYPE_CHECKING = False  # the supervisor, which imports this as well, stays without `typing`
if TYPE_CHECKING:
    from flask import Flask

    from mcpweb.core import Core

__version__ = "0.1.0"


def create_app(core: Core | None = None) -> Flask:
    """Return the web application over a core; without one it opens its own."""
    from mcpweb.app import create_app as create

    return create(core)
