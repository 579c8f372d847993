"""What plugins add to pages."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mcpweb.contracts.configuration import Json


@dataclass(frozen=True)
class Link:
    """An entry a plugin adds to the navigation."""

    title: str
    url: str
    permission: str = "server.view"


@dataclass(frozen=True)
class Panel:
    """A box a plugin adds to a server's page; ``template`` is reached as ``<plugin name>/…``."""

    title: str
    template: str
    context: Mapping[str, Json] = field(default_factory=dict)
