"""``mcpweb audit …``"""
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mcpweb import clock, settings
from mcpweb.cli.common import json_option, opened, print_json, print_listing
from mcpweb.dao.audit import Wanted
from mcpweb.schemas.objects import audit_object
from mcpweb.services import audit as service
from mcpweb.services import retention

_DAY = click.DateTime(["%Y-%m-%d"])


def filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which rows it is about."""
    for option in reversed((
        click.option("--actor", help="Who, as rows name it: user:…, token:…, cli:…"),
        click.option("--action", help="What, such as secret.replace."),
        click.option("--target", help="On what: an id."),
        click.option("--since", type=_DAY, callback=_from_day, help="From this day on (UTC), such as 2026-11-24."),
        click.option("--until", type=_DAY, callback=_to_day, help="Until this day (UTC), which is included."),
    )):
        command = option(command)
    return command


def _from_day(context: click.Context, option: click.Parameter, day: Any) -> str | None:
    return None if day is None else f"{day:%Y-%m-%d} 00:00:00"


def _to_day(context: click.Context, option: click.Parameter, day: Any) -> str | None:
    return None if day is None else f"{day:%Y-%m-%d} 24"


@click.group()
def audit() -> None:
    """What happened, and proof of it."""


@audit.command("list")
@filters
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", type=int, help="Rows before this number.")
@json_option
def list_(limit: int, cursor: int | None, as_json: bool, **wanted: str | None) -> None:
    """List audit rows, newest first."""
    with opened() as (core, actor):
        listing = service.listing(core, actor, wanted=Wanted(**wanted), before_seq=cursor, limit=limit)
        print_listing(
            (audit_object(row) for row in listing.rows), str(listing.next) if listing.next else None,
            ("seq", "at", "actor", "action", "target", "detail"), as_json=as_json, empty="Nothing happened yet.",
        )


@audit.command()
@click.option("--segment", "files", type=click.Path(path_type=Path), multiple=True,
              help="Verify a file that `audit prune` wrote instead; several are held against each other. Needs no database.")
@json_option
def verify(files: tuple[Path, ...], as_json: bool) -> None:
    """Check the whole chain; exit 1 and name the first bad row when it is broken."""
    if files:
        _verify_segments(files, as_json)
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


def _verify_segments(files: tuple[Path, ...], as_json: bool) -> None:
    answers = retention.check_segments(list(files), retention.own_public_key(settings.load()))
    if as_json:
        print_json({"ok": all(one["ok"] for one in answers), "segments": answers})
    for one in answers if not as_json else ():
        if not one["ok"]:
            where = f"row {one['first_bad']}: " if one["first_bad"] is not None else ""
            click.echo(f"{one['file']}: {where}{one['reason']}.")
            continue
        whose = {True: "this installation", False: "another installation", None: f"the key {one['public_key']}"}[one["ours"]]
        click.echo(f"{one['file']}: rows {one['first']} to {one['last']} are whole, signed by {whose}.")
    sys.exit(0 if all(one["ok"] for one in answers) else 1)


@audit.command()
@click.option("--from", "first", type=int, default=1, help="First row.")
@filters
def export(first: int, **wanted: str | None) -> None:
    """Print rows as JSON lines, oldest first. With a filter, what is printed is no chain any more and proves less."""
    with opened() as (core, actor):
        for row in service.export(core, actor, first, wanted=Wanted(**wanted)):
            click.echo(json.dumps(audit_object(row), ensure_ascii=False))


@audit.command()
@click.option("--older-than", "days", type=click.IntRange(1, 36500), default=retention.DAYS, show_default=True,
              help="Move rows older than so many days.")
@click.option("--before", type=_DAY, help="Move rows written before this day (UTC) instead.")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Folder for the file; default: audit/ in the data folder.")
@json_option
def prune(days: int, before: Any, folder: Path | None, as_json: bool) -> None:
    """Move old rows out of the database into a signed file that `audit verify --segment` checks."""
    limit = f"{before:%Y-%m-%d} 00:00:00" if before is not None else clock.later(-days * 86400)
    with opened() as (core, actor):
        done = retention.prune(core, actor, before=limit, folder=folder)
        if as_json:
            print_json(done)
        elif done["file"] is None:
            click.echo(f"No row was written before {limit[:10]}; there is nothing to move.")
        else:
            click.echo(f"Rows {done['first']} to {done['last']} are in {done['file']} now. Keep it; nothing else holds them.")
