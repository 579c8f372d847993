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
from mcpweb.dao.configurations import Configuration
from mcpweb.errors import InvalidInput
from mcpweb.schemas.documents import loosenings
from mcpweb.schemas.objects import change_object, configuration_object
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
        warn(row)


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
        warn(row)


def warn(row: Configuration) -> None:
    """Say on stderr what a configuration loosens."""
    for loosening in loosenings(row.config_data):
        click.echo(f"Loosened: {loosening.detail}", err=True)


@configurations.command()
@click.argument("server")
@click.argument("name")
@click.option("--from", "first", type=int, help="Revision on the left. Default: the one before the last.")
@click.option("--to", "second", type=int, help="Revision on the right. Default: the last.")
@json_option
def diff(server: str, name: str, first: int | None, second: int | None, as_json: bool) -> None:
    """Show what changed between two revisions."""
    with opened() as (core, actor):
        row = service.by_name(core, actor, server, name)
        left, right, found = service.differences(core, actor, row.id, first, second)
    if as_json:
        print_json({"first": left.revision, "second": right.revision, "changes": [change_object(change) for change in found]})
        return
    before, after = (json.dumps(side.config_data, indent=2, sort_keys=True).splitlines() for side in (left, right))
    names = (f"revision {left.revision}", f"revision {right.revision}")
    for line in difflib.unified_diff(before, after, *names, lineterm=""):
        click.echo(line)


@configurations.command()
@click.argument("server")
@click.argument("name")
@click.option("--revision", type=int, required=True, help="The revision to take back.")
@json_option
def restore(server: str, name: str, revision: int, as_json: bool) -> None:
    """Make an earlier revision the newest one; activate it to restart a running server with it."""
    with opened() as (core, actor):
        row = service.restore(core, actor, service.by_name(core, actor, server, name).id, revision)
        said = f"{name} is as in revision {revision}, now revision {row.revision}."
        print_json(configuration_object(row)) if as_json else click.echo(said)


@configurations.command()
@click.argument("server")
@click.argument("name")
def remove(server: str, name: str) -> None:
    """Remove a configuration that is not active, with its revisions and bindings."""
    with opened() as (core, actor):
        service.remove(core, actor, service.by_name(core, actor, server, name).id)
        click.echo(f"Removed {name}.")
