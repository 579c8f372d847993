"""``mcpweb db …``"""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mcpweb import core as cores
from mcpweb import settings as settings_module
from mcpweb.cli.common import actor, json_option, opened, print_json, print_object
from mcpweb.contracts import Sensitive
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


passphrase_option = click.option(
    "--passphrase-file", type=click.Path(path_type=Path), default=None, help="The backup is encrypted under what this file holds."
)


@db.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@passphrase_option
@json_option
def check(file: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Check the database, or with FILE a backup without restoring it; exit 1 when something is found."""
    settings = settings_module.load()
    if file is None:
        if passphrase_file is not None:
            raise InvalidInput("The database is under no passphrase.", next_step="Name the backup to check.")
        report = storage.check(settings)
    else:
        plugins = cores.load_plugins(settings)
        report = backups.check(
            settings, cores.migration_series(plugins), file, vault=cores.make_vault(settings, plugins),
            passphrase=_passphrase(passphrase_file),
        )
        _warn_of(report["missing_keys"])
    print_object(report, as_json=as_json)
    sys.exit(0 if report["ok"] else 1)


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@passphrase_option
@json_option
def backup(file: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Write a consistent copy to FILE, while the application runs; the key ring is not in it."""
    passphrase = _passphrase(passphrase_file)
    with opened() as (core, who):
        print_object(backups.backup(core, who, file, passphrase=passphrase), as_json=as_json)


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Replace the database.")
@passphrase_option
@json_option
def restore(file: Path, yes: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Replace the database by a backup; the old one is kept aside."""
    if not yes:
        raise InvalidInput("This replaces the database.", next_step="Say --yes.")
    settings = settings_module.load()
    plugins = cores.load_plugins(settings)
    told = backups.restore(
        settings, cores.migration_series(plugins), file, actor=actor(), vault=cores.make_vault(settings, plugins),
        passphrase=_passphrase(passphrase_file),
    )
    with opened() as (core, _), core.db.reading() as conn:
        state = core.vault.state(conn)
    if state.locked:
        click.echo(
            f"Warning: the secrets of this backup cannot be opened ({state.code}). {state.detail} {state.next_step}", err=True
        )
    _warn_of([one for one in told["missing_keys"] if one["kek_id"] not in state.detail])
    print_object({**told, "vault": "locked" if state.locked else "open"}, as_json=as_json)


def _passphrase(path: Path | None) -> Sensitive | None:
    return None if path is None else backups.read_passphrase(path)


def _warn_of(missing: list[dict[str, Any]]) -> None:
    """Name the keys that are not here."""
    for one in missing:
        key = f"{one['key']} version {one['version']}"
        click.echo(f"Warning: {key} needs {one['kek_id']}, which no key source here has.", err=True)
