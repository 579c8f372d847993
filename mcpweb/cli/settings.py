"""``mcpweb settings …``"""
from __future__ import annotations

import click

from mcpweb.cli.common import json_option, opened, print_listing, print_object
from mcpweb.services import periods
from mcpweb.settings import PREFIX, SETTINGS


@click.group()
def settings() -> None:
    """What is set, and what is chosen while mcpweb runs."""


@settings.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List all settings with where they come from; those of the database can be changed here."""
    with opened() as (core, actor):
        rows: list[dict[str, object]] = [
            {"name": PREFIX + s.name, "default": s.default, "help": s.help, "value": None, "source": core.settings.source(s.name)}
            for s in SETTINGS
        ]
        values, chosen = periods.every(core, actor), periods.chosen(core)
        rows += [
            {"name": one.name, "default": str(one.default), "help": one.help, "value": values[one.name],
             "source": "database" if one.name in chosen else "default"}
            for one in periods.PERIODS
        ]
        print_listing(rows, None, ("name", "value", "source", "help"), as_json=as_json, empty="None.")


@settings.command("set")
@click.argument("name", type=click.Choice([period.name for period in periods.PERIODS]))
@click.argument("value", type=int)
@json_option
def set_(name: str, value: int, as_json: bool) -> None:
    """Choose for how many days something is kept, or how often a backup is made."""
    with opened() as (core, actor):
        print_object(periods.set_all(core, actor, {name: value}), as_json=as_json)
