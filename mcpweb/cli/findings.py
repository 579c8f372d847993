"""``mcpweb findings …``"""
from __future__ import annotations

import click

from mcpweb.cli.common import (
    cursor_option,
    json_option,
    limit_option,
    opened,
    print_json,
    print_listing,
    print_object,
    read_time,
)
from mcpweb.contracts import SEVERITIES
from mcpweb.dao import paging
from mcpweb.schemas.objects import finding_object
from mcpweb.services import findings as service


@click.group()
def findings() -> None:
    """What test runs found wrong, and what was accepted for a while."""


@findings.command("list")
@click.argument("server", required=False)
@click.option("--state", type=click.Choice(service.STATES), default=None, help="Default: all.")
@click.option("--severity", type=click.Choice(SEVERITIES), default=None)
@click.option("--check", "check_id", metavar="ID", default=None, help="A check such as M02.")
@click.option("--type", "test_type", metavar="T", default=None)
@limit_option
@cursor_option
@json_option
def list_(
    server: str | None, state: str | None, severity: str | None, check_id: str | None, test_type: str | None, limit: int,
    cursor: str | None, as_json: bool,
) -> None:
    """List findings, of one server or of all, the newest first."""
    with opened() as (core, actor):
        listing = service.listing(
            core, actor, after=paging.decode(cursor) if cursor else None, limit=limit, server_id=server, state=state,
            severity=severity, check_id=check_id, test_type=test_type,
        )
        print_listing(
            (finding_object(row) for row in listing.rows), paging.encode(listing.next) if listing.next else None,
            ("id", "state", "severity", "check_id", "tool_name", "summary", "accepted_until"), as_json=as_json,
            empty="No finding. `mcpweb test SERVER` looks for some.",
        )


@findings.command()
@click.argument("finding")
@json_option
def show(finding: str, as_json: bool) -> None:
    """Show one finding."""
    with opened() as (core, actor):
        print_object(finding_object(service.get(core, actor, finding)), as_json=as_json)


@findings.command()
@click.argument("finding")
@click.option("--reason", required=True, help="Why it is right to live with it.")
@click.option("--until", default=None, metavar="DAY", help="A day, a UTC time, or a number of days. "
              f"Default: {service.DEFAULT_DAYS} days, at most {service.MOST_DAYS}.")
@json_option
def accept(finding: str, reason: str, until: str | None, as_json: bool) -> None:
    """Accept a finding for a time: it no longer counts for verdicts and exit codes, and stays visible."""
    with opened() as (core, actor):
        row = service.accept(core, actor, finding, reason=reason, until=read_time(until, "until"))
        done = f"Accepted {row.check_id} until {(row.accepted_until or '')[:16]} UTC."
        print_json(finding_object(row)) if as_json else click.echo(done)


@findings.command()
@click.argument("finding")
@json_option
def withdraw(finding: str, as_json: bool) -> None:
    """End the acceptance of a finding: it counts again."""
    with opened() as (core, actor):
        row = service.withdraw(core, actor, finding)
        print_json(finding_object(row)) if as_json else click.echo(f"{row.check_id} is open again.")
