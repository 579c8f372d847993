"""``mcpweb jobs …``"""
from __future__ import annotations

import click

from mcpweb.cli.common import cursor_option, json_option, limit_option, opened, print_listing, print_object
from mcpweb.dao import paging
from mcpweb.schemas.objects import job_object
from mcpweb.services import jobs as service


@click.group()
def jobs() -> None:
    """Background work."""


@jobs.command("list")
@click.option("--state", type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"]))
@click.option("--kind")
@limit_option
@cursor_option
@json_option
def list_(state: str | None, kind: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List jobs, newest first."""
    with opened() as (core, actor):
        after = paging.decode(cursor) if cursor else None
        listing = service.listing(core, actor, after=after, limit=limit, state=state, kind=kind)
        print_listing(
            (job_object(row) for row in listing.rows), paging.encode(listing.next) if listing.next else None,
            ("id", "kind", "state", "subject", "created_at", "message"), as_json=as_json, empty="No jobs yet.",
        )


@jobs.command()
@click.argument("job_id")
@json_option
def show(job_id: str, as_json: bool) -> None:
    """Show one job."""
    with opened() as (core, actor):
        print_object(job_object(service.get(core, actor, job_id)), as_json=as_json)


@jobs.command()
@click.argument("job_id")
@json_option
def cancel(job_id: str, as_json: bool) -> None:
    """Ask a job to stop."""
    with opened() as (core, actor):
        print_object(job_object(service.cancel(core, actor, job_id)), as_json=as_json)
