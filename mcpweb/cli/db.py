"""``mcpweb db …``"""
from __future__ import annotations

import sys
from pathlib import Path

import click

from mcpweb import core as cores
from mcpweb import settings as settings_module
from mcpweb.cli.common import actor, json_option, opened, print_json, print_object
from mcpweb.errors import InvalidInput
from mcpweb.services import backups, storage


@click.group()
def db() -> None:
    """Migrate, check, back up, restore."""


@db.command()
@click.option("--init", is_flag=True, help="Begin with a new database although one was there and is gone.")
@json_option
def migrate(init: bool, as_json: bool) -> None:
    """Create the database or bring it up to date."""
    with opened(init=init) as (core, _):
        facts = storage.status(core.settings, cores.migration_series(core.plugins))
        if as_json:
            print_json(facts)
        else:
            click.echo(f"{core.settings.db_path}: up to date ({len(facts['applied'])} migrations).")


@db.command()
@json_option
def status(as_json: bool) -> None:
    """Say which migrations are applied and which are pending; changes nothing."""
    settings = settings_module.load()
    facts = storage.status(settings, cores.migration_series(cores.load_plugins(settings)))
    print_object(facts, as_json=as_json)


@db.command()
@json_option
def check(as_json: bool) -> None:
    """Check integrity, foreign keys and settings of the database; exit 1 when something is found."""
    report = storage.check(settings_module.load())
    print_object(report, as_json=as_json)
    sys.exit(0 if report["ok"] else 1)


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def backup(file: Path, as_json: bool) -> None:
    """Write a consistent copy to FILE, while the application runs."""
    with opened() as (core, who):
        print_object(backups.backup(core, who, file), as_json=as_json)


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Replace the database.")
@json_option
def restore(file: Path, yes: bool, as_json: bool) -> None:
    """Replace the database by a backup; the old one is kept aside."""
    if not yes:
        raise InvalidInput("This replaces the database.", next_step="Say --yes.")
    settings = settings_module.load()
    series = cores.migration_series(cores.load_plugins(settings))
    told = backups.restore(settings, series, file, actor=actor())
    with opened() as (core, _), core.db.reading() as conn:
        state = core.vault.state(conn)
    if state.locked:
        click.echo(
            f"Warning: the secrets of this backup cannot be opened ({state.code}). {state.detail} {state.next_step}", err=True
        )
    print_object({**told, "vault": "locked" if state.locked else "open"}, as_json=as_json)
