"""``mcpweb audit …``"""
from __future__ import annotations

import json
import sys

import click

from mcpweb.cli.common import json_option, opened, print_json, print_listing
from mcpweb.schemas.objects import audit_object
from mcpweb.services import audit as service


@click.group()
def audit() -> None:
    """What happened, and proof of it."""


@audit.command("list")
@click.option("--actor", "by", help="Who, as rows name it: user:…, token:…, cli:…")
@click.option("--action")
@click.option("--target")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", type=int, help="Rows before this number.")
@json_option
def list_(by: str | None, action: str | None, target: str | None, limit: int, cursor: int | None, as_json: bool) -> None:
    """List audit rows, newest first."""
    with opened() as (core, actor):
        listing = service.listing(core, actor, before_seq=cursor, limit=limit, by=by, action=action, target=target)
        print_listing(
            (audit_object(row) for row in listing.rows), str(listing.next) if listing.next else None,
            ("seq", "at", "actor", "action", "target", "detail"), as_json=as_json, empty="Nothing happened yet.",
        )


@audit.command()
@json_option
def verify(as_json: bool) -> None:
    """Check the whole chain; exit 1 and name the first bad row when it is broken."""
    with opened() as (core, actor):
        found = service.verify(core, actor)
        if as_json:
            print_json(found)
        elif found["ok"]:
            click.echo(f"The chain of {found['rows']} rows is whole and fits {found['checkpoints']} signed checkpoints.")
        elif found["first_bad"] is None:
            click.echo(f"The log is not to be trusted: {found['reason']}.")
        else:
            click.echo(f"Row {found['first_bad']}: {found['reason']}")
        sys.exit(0 if found["ok"] else 1)


@audit.command()
@click.option("--from", "first", type=int, default=1, help="First row.")
def export(first: int) -> None:
    """Print all rows as JSON lines, oldest first."""
    with opened() as (core, actor):
        for row in service.export(core, actor, first):
            click.echo(json.dumps(audit_object(row), ensure_ascii=False))
