"""``mcpweb plugins …``"""
from __future__ import annotations

from typing import Any

import click

from mcpweb import settings as settings_module
from mcpweb.cli.common import json_option, print_listing, print_object
from mcpweb.core import load_plugins
from mcpweb.errors import NotFound
from mcpweb.schemas.objects import plugin_object


def _records() -> list[dict[str, Any]]:
    host = load_plugins(settings_module.load())
    return [plugin_object(record) for record in host.records.values()]


@click.group()
def plugins() -> None:
    """What is loaded, and what is broken."""


@plugins.command("list")
@click.option("--hook", help="Only plugins that implement this hook.")
@json_option
def list_(hook: str | None, as_json: bool) -> None:
    """List plugins with where they come from and their state."""
    rows = [row for row in _records() if hook is None or hook in row["hooks"]]
    print_listing(rows, None, ("name", "state", "source", "version", "load_ms", "error"), as_json=as_json, empty="None.")


@plugins.command()
@click.argument("name")
@json_option
def info(name: str, as_json: bool) -> None:
    """Show one plugin."""
    for row in _records():
        if row["name"] == name:
            print_object(row, as_json=as_json)
            return
    raise NotFound(f"There is no plugin {name}.", next_step="`mcpweb plugins list` shows all.")
