"""``mcpweb schedules …``"""
from __future__ import annotations

import click

from mcpweb.cli.common import cursor_option, json_option, limit_option, opened, print_json, print_listing, print_object
from mcpweb.dao import paging
from mcpweb.schemas.objects import schedule_object
from mcpweb.services import schedules as service


@click.group()
def schedules() -> None:
    """Test runs that the clock or a new image asks for."""


@schedules.command("list")
@click.argument("server", required=False)
@limit_option
@cursor_option
@json_option
def list_(server: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List schedules, of one server or of all."""
    with opened() as (core, actor):
        listing = service.listing(
            core, actor, after=paging.decode(cursor) if cursor else None, limit=limit, server_id=server
        )
        print_listing(
            (schedule_object(row) for row in listing.rows), paging.encode(listing.next) if listing.next else None,
            ("name", "is_active", "every_minutes", "on_new_image", "next_at", "last_detail", "server_id"), as_json=as_json,
            empty="No schedule. Add one with `mcpweb schedules add SERVER NAME --every MINUTES`.",
        )


@schedules.command()
@click.argument("server")
@click.argument("name")
@click.option("--every", "every_minutes", type=click.IntRange(service.LEAST_MINUTES, service.MOST_MINUTES), metavar="MINUTES",
              help=f"Run every so many minutes, at least {service.LEAST_MINUTES}.")
@click.option("--on-new-image", is_flag=True, help="Run when the server's image reference means another image than before.")
@click.option("--type", "types", multiple=True, metavar="T", help="Test type; repeat for several. Default: all.")
@click.option("--configuration", metavar="C", help="Default: the one that is active then.")
@click.option("--profile", type=click.Choice(["quick", "full"]), default="quick", show_default=True)
@json_option
def add(
    server: str, name: str, every_minutes: int | None, on_new_image: bool, types: tuple[str, ...], configuration: str | None,
    profile: str, as_json: bool,
) -> None:
    """Add a schedule; a worker must run for it to act (`mcpweb serve` or `mcpweb worker`)."""
    with opened() as (core, actor):
        row = service.add(
            core, actor, server, name=name, types=list(types) or None, configuration=configuration, profile=profile,
            every_minutes=every_minutes, on_new_image=on_new_image,
        )
        print_json(schedule_object(row)) if as_json else click.echo(f"Added {name} ({row.id}).")


@schedules.command()
@click.argument("server")
@click.argument("name")
@json_option
def show(server: str, name: str, as_json: bool) -> None:
    """Show a schedule."""
    with opened() as (core, actor):
        print_object(schedule_object(service.by_name(core, actor, server, name)), as_json=as_json)


@schedules.command()
@click.argument("server")
@click.argument("name")
@json_option
def remove(server: str, name: str, as_json: bool) -> None:
    """Remove a schedule; its runs stay."""
    with opened() as (core, actor):
        row = service.by_name(core, actor, server, name)
        service.remove(core, actor, row.id)
        print_json(schedule_object(row)) if as_json else click.echo(f"Removed {name}.")


@schedules.command()
@click.argument("server")
@click.argument("name")
@json_option
def enable(server: str, name: str, as_json: bool) -> None:
    """Switch a schedule on; its interval begins now."""
    _switch(server, name, True, as_json)


@schedules.command()
@click.argument("server")
@click.argument("name")
@json_option
def disable(server: str, name: str, as_json: bool) -> None:
    """Switch a schedule off."""
    _switch(server, name, False, as_json)


def _switch(server: str, name: str, on: bool, as_json: bool) -> None:
    with opened() as (core, actor):
        row = service.update(core, actor, service.by_name(core, actor, server, name).id, expect=None, is_active=on)
        print_json(schedule_object(row)) if as_json else click.echo(f"{name} is {'on' if on else 'off'}.")
