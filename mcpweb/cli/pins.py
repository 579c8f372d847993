"""``mcpweb pins …``"""
from __future__ import annotations

import json
from typing import Any

import click

from mcpweb.cli.common import json_option, opened, print_json, print_listing
from mcpweb.schemas.definitions import visible
from mcpweb.schemas.objects import field_diff_object, pin_object, pin_overview_object
from mcpweb.services import pins as service

_LONGEST = 2000


@click.group()
def pins() -> None:
    """What was approved of a server, and how it differs now."""


@pins.command("list")
@click.argument("server")
@click.option("--kind", type=click.Choice(service.KINDS), default=None)
@json_option
def list_(server: str, kind: str | None, as_json: bool) -> None:
    """List what was approved of a server, and what it says now instead."""
    with opened() as (core, actor):
        rows, after = [], None
        while True:
            page, after = service.states(core, actor, after=after, limit=200, server_id=server, kind=kind)
            rows += page
            if after is None:
                break
        told = service.overview(core, actor, server)
        shown = [pin_object(row) for row in rows]
        if as_json:
            print_json({"items": shown, "next": None, **pin_overview_object(told)})
            return
        for row in shown:
            row["name"] = visible(row["name"])
        print_listing(
            shown, None, ("kind", "name", "state", "approved_by", "approved_at", "hash"), as_json=False,
            empty=f"Nothing is approved of {server} yet; its first list will be. Start it: `mcpweb servers start {server}`.",
        )
        if told.differs:
            click.echo(
                f"{told.changed} changed, {told.added} added, {told.removed} removed since approval; policy {told.policy}. "
                f"See `mcpweb pins diff {server}`.", err=True,
            )


@pins.command()
@click.argument("server")
@click.argument("name", required=False)
@click.option("--exit-code", is_flag=True, help="Exit 1 when something differs.")
@json_option
@click.pass_context
def diff(context: click.Context, server: str, name: str | None, exit_code: bool, as_json: bool) -> None:
    """Show field by field how a server differs from what was approved. Hidden characters are written out."""
    with opened() as (core, actor):
        found = service.diff(core, actor, server, name)
        told = service.overview(core, actor, server)
    if as_json:
        items = [field_diff_object(row) for row in found]
        print_json({"items": items, "next": None, "digest": told.digest, "policy": told.policy})
    elif not found:
        click.echo(f"{server} is what was approved.")
    else:
        _print(found)
        click.echo(f"Approve this: mcpweb pins approve {server} --expect {told.digest}", err=True)
    if found and exit_code:
        context.exit(1)


@pins.command()
@click.argument("server")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--expect", metavar="DIGEST", default=None, help="Refuse when it is no longer what `pins diff` showed.")
@json_option
def approve(server: str, names: tuple[str, ...], expect: str | None, as_json: bool) -> None:
    """Approve what a server says now: all of it, or what is named (NAME, or KIND:NAME)."""
    with opened() as (core, actor):
        count = service.approve(core, actor, server, list(names) or None, expect=expect)
        if as_json:
            print_json({"approved_now": count, **pin_overview_object(service.overview(core, actor, server))})
        else:
            click.echo(f"Approved {count}." if count else f"{server} is what was approved; there is nothing to approve.")


@pins.command()
@click.argument("server")
@click.argument("policy", type=click.Choice(service.POLICIES))
@json_option
def policy(server: str, policy: str, as_json: bool) -> None:
    """Choose what happens to a call of a tool that has changed: block it, or warn."""
    with opened() as (core, actor):
        row = service.set_policy(core, actor, server, policy)
        if as_json:
            print_json(pin_overview_object(service.overview(core, actor, server)))
        else:
            click.echo(f"{row.name}: {policy}.")


def _print(found: list[service.FieldDiff]) -> None:
    last = None
    for row in found:
        if (row.kind, row.name) != last:
            last = (row.kind, row.name)
            click.echo(f"{row.kind} {visible(row.name)}: {row.change}")
        if row.pointer:
            click.echo(f"  {visible(row.pointer)}")
        if row.before is not None:
            click.echo(f"  - {_told(row.before)}")
        if row.after is not None:
            click.echo(f"  + {_told(row.after)}")


def _told(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = visible(text).replace("\n", "\n    ")
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}… ({len(text)} characters)"
