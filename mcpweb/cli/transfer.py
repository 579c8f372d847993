"""``mcpweb export`` and ``mcpweb import``"""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mcpweb.catalogs import decoded
from mcpweb.cli.common import ended, json_option, opened, print_json, wait_for, with_hands
from mcpweb.errors import InvalidInput
from mcpweb.files import write_private
from mcpweb.schemas.objects import job_object
from mcpweb.services import setup, transfer


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(file: Path) -> None:
    """Write the whole set-up to a file; `-` prints it. No value of a secret is in it."""
    with opened() as (core, actor):
        document = transfer.export(core, actor)
        text = transfer.written(document)
        if str(file) == "-":
            click.echo(text, nl=False)
            return
        try:
            write_private(file, text)
        except OSError as error:
            raise InvalidInput(f"{file} cannot be written: {error.strerror}.") from None
        click.echo(f"Exported {len(document['servers'])} servers to {file}. Values of secrets are not in it.")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--conflict", type=click.Choice(setup.STRATEGIES), default="refuse", show_default=True, help="For taken names.")
@json_option
def import_setup(file: Path, dry_run: bool, conflict: str, as_json: bool) -> None:
    """Import a set-up, all of it or nothing; faults are named with their line."""
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    with opened() as (core, actor):
        text = decoded(data)
        transfer.check(core, text, conflict)
        with with_hands(core):
            job = wait_for(core, transfer.request(core, actor, text, strategy=conflict, dry_run=dry_run), quiet=as_json)
        result = ended(job).result
        if as_json:
            print_json(job_object(job))
            return
        _say(result)


def _say(result: dict[str, Any]) -> None:
    would = "Would add" if result["dry_run"] else "Added"
    click.echo(f"{would} {len(result['added'])}, replace{'' if result['dry_run'] else 'd'} {len(result['replaced'])}, "
               f"skip{'' if result['dry_run'] else 'ped'} {len(result['skipped'])} servers.")
    for old, new in result["renamed"].items():
        click.echo(f"  {old} becomes {new}")
    for one in result["to_fill_in"]:
        owner = f" of {one['server']}" if one["server"] else ""
        click.echo(f"  to fill in: {one['name']} ({one['scope']}{owner})")
    if result["to_fill_in"] and not result["dry_run"]:
        click.echo("Give each a value with `mcpweb secrets set NAME --scope … --owner …`.")


globals()["import"] = import_setup  # the command's name is a word of the language
