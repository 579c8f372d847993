"""``mcpweb configurations …``"""
from __future__ import annotations

import difflib
import json
from typing import IO

import click

from mcpweb.cli.common import (
    cursor_option,
    ended,
    json_option,
    limit_option,
    opened,
    print_json,
    print_listing,
    print_object,
)
from mcpweb.dao import paging
from mcpweb.errors import InvalidInput, NotFound
from mcpweb.schemas.objects import configuration_object
from mcpweb.services import configurations as service
from mcpweb.services import jobs


@click.group()
def configurations() -> None:
    """Settings documents of a server; at most one is active."""


@configurations.command()
@click.argument("server")
@click.argument("name")
@click.option("--file", "file", type=click.File("r"), required=True, help="JSON document, - for standard input.")
@click.option("--description", default="")
@json_option
def add(server: str, name: str, file: IO[str], description: str, as_json: bool) -> None:
    """Add a configuration; activate it with `configurations activate`."""
    try:
        document = json.load(file)
    except ValueError as error:
        raise InvalidInput(f"The file is not JSON: {error}.") from None
    with opened() as (core, actor):
        row = service.add(core, actor, server, name=name, description=description, config_data=document)
        print_json(configuration_object(row)) if as_json else click.echo(f"Added {name} ({row.id}).")


@configurations.command("list")
@click.argument("server")
@limit_option
@cursor_option
@json_option
def list_(server: str, limit: int, cursor: str | None, as_json: bool) -> None:
    """List a server's configurations."""
    with opened() as (core, actor):
        listing = service.listing(
            core, actor, after=paging.decode(cursor) if cursor else None, limit=limit, server_id=server
        )
        print_listing(
            (configuration_object(row) for row in listing.rows), paging.encode(listing.next) if listing.next else None,
            ("name", "is_active", "revision", "updated_at", "id"), as_json=as_json, empty="No configuration.",
        )


@configurations.command()
@click.argument("server")
@click.argument("name")
@json_option
def show(server: str, name: str, as_json: bool) -> None:
    """Show a configuration."""
    with opened() as (core, actor):
        print_object(configuration_object(service.by_name(core, actor, server, name)), as_json=as_json)


@configurations.command()
@click.argument("server")
@click.argument("name")
@json_option
def activate(server: str, name: str, as_json: bool) -> None:
    """Make a configuration the active one; a running server is restarted with it."""
    with opened() as (core, actor):
        row = service.by_name(core, actor, server, name)
        row, job = service.activate(core, actor, row.id)
        if job is not None and core.line.alive():
            ended(jobs.wait(core, job.id, 600.0))
        print_json(configuration_object(row)) if as_json else click.echo(f"{name} is active.")


@configurations.command()
@click.argument("server")
@click.argument("name")
@click.option("--from", "first", type=int, help="Revision on the left. Default: the one before the last.")
@click.option("--to", "second", type=int, help="Revision on the right. Default: the last.")
def diff(server: str, name: str, first: int | None, second: int | None) -> None:
    """Show what changed between two revisions."""
    with opened() as (core, actor):
        row = service.by_name(core, actor, server, name)
        known = {revision.revision: revision for revision in service.revisions(core, actor, row.id)}
        right = second or row.revision
        left = first or max(1, right - 1)
        for wanted in (left, right):
            if wanted not in known:
                raise NotFound(f"{name} has no revision {wanted}.")
        before, after = (json.dumps(known[at].config_data, indent=2, sort_keys=True).splitlines() for at in (left, right))
        for line in difflib.unified_diff(before, after, f"revision {left}", f"revision {right}", lineterm=""):
            click.echo(line)
