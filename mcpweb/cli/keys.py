"""``mcpweb keys …``"""
from __future__ import annotations

import sys
from dataclasses import asdict

import click

from mcpweb.cli.common import ended, json_option, opened, print_json, print_listing, print_object, wait_for, with_hands
from mcpweb.contracts import Sensitive
from mcpweb.errors import InvalidInput, VaultLocked
from mcpweb.schemas.objects import job_object, key_object, verification_object
from mcpweb.services import keycheck, keydestroy
from mcpweb.services import keys as service
from mcpweb.vault import DEFAULT_CIPHER


@click.group()
def keys() -> None:
    """What encrypts the secrets: named keys, their versions, and the key that wraps them."""


@keys.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the keys."""
    with opened() as (core, actor):
        rows = [key_object(facts) for facts in service.listing(core, actor)]
        shown = rows if as_json else [row | {"state": _states(row)} for row in rows]
        print_listing(shown, None, ("name", "version", "state", "secrets", "pending", "rotated_at"), as_json=as_json,
                      empty="No key yet. `mcpweb keys unlock` makes the first one.")


@keys.command()
@click.argument("name")
@click.option("--cipher", default=DEFAULT_CIPHER, show_default=True, help="The cipher plugin it uses.")
@click.option("--source", default=None, help="The key source that wraps it.  [default: MCPWEB_KEY_SOURCE]")
@json_option
def add(name: str, cipher: str, source: str | None, as_json: bool) -> None:
    """Add a named key."""
    with opened() as (core, actor):
        facts = service.add(core, actor, name, cipher=cipher, source=source)
        print_json(key_object(facts)) if as_json else click.echo(f"Added the key {name}.")


@keys.command()
@click.argument("name")
@click.option("--compromised", is_flag=True, help="Mark the earlier versions: their values must be replaced at their source.")
@click.option("--no-wait", is_flag=True, help="Print the job and leave; a running worker goes on.")
@json_option
def rotate(name: str, compromised: bool, no_wait: bool, as_json: bool) -> None:
    """Make a new version active and bring every secret to it, while everything is served."""
    with opened() as (core, actor):
        if no_wait:
            job = service.rotate(core, actor, name, compromised=compromised)
            print_json(job_object(job)) if as_json else click.echo(job.id)
            return
        with with_hands(core):
            job = ended(wait_for(core, service.rotate(core, actor, name, compromised=compromised), quiet=as_json))
        if as_json:
            print_json(job_object(job))
            return
        click.echo(f"The key {name} is rotated: {job.result['resealed']} secrets.")
        if job.result["quarantined"]:
            click.echo(f"{job.result['quarantined']} did not open; see `mcpweb keys verify`.", err=True)


@keys.command("rotate-kek")
@json_option
def rotate_kek(as_json: bool) -> None:
    """Put all keys under a new key-encryption key; the earlier one stays for backups."""
    with opened() as (core, actor):
        made = service.rotate_kek(core, actor)
        print_json(made) if as_json else click.echo(f"{made['versions']} key versions stand under a new key-encryption key.")


@keys.command()
@json_option
def verify(as_json: bool) -> int:
    """Open every secret once, and say exactly which is not what was written; exit code 1 if any is."""
    with opened() as (core, actor):
        report = keycheck.verify(core, actor)
    if as_json:
        print_json(verification_object(report))
    else:
        for fault in report.faults:
            click.echo(f"{fault.secret_id}  {fault.name}: {fault.reason}")
        for notice in report.notices:
            click.echo(f"{notice.key} version {notice.version}: {notice.reason} Run `mcpweb keys rotate {notice.key}`.")
        click.echo(f"{report.checked} secrets, {len(report.faults)} with a fault.")
    return 0 if report.ok else 1


@keys.command()
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from standard input.")
@json_option
def unlock(passphrase_stdin: bool, as_json: bool) -> None:
    """Look at the key source again, without a restart; asks for the passphrase where one is needed."""
    with opened() as (core, actor):
        state = service.unlock(core, actor, _passphrase() if passphrase_stdin else None)
        if state.code == "KEY_PASSPHRASE_NEEDED" and sys.stdin.isatty():
            state = service.unlock(core, actor, Sensitive(click.prompt("Passphrase", hide_input=True)))
    if state.locked:
        raise VaultLocked(state.detail, code=state.code, next_step=state.next_step)
    print_json(asdict(state)) if as_json else click.echo("The vault is open.")


@keys.command()
@click.argument("name")
@click.argument("version", type=int)
@click.option("--yes", is_flag=True, help="Destroy it; what it encrypted can never be opened again.")
@click.option("--force", is_flag=True, help="Even though backups that need it are still there.")
@json_option
def destroy(name: str, version: int, yes: bool, force: bool, as_json: bool) -> int:
    """Destroy a retired version and print the evidence; exit code 1 when it is not complete."""
    if not yes:
        raise InvalidInput(f"This destroys version {version} of {name} for good.", next_step="Say --yes.")
    with opened() as (core, actor):
        evidence = keydestroy.destroy(core, actor, name, version, force=force)
    print_object(evidence, as_json=as_json)
    return 0 if evidence["complete"] else 1


def _passphrase() -> Sensitive:
    text = sys.stdin.read(4097).removesuffix("\n")
    if not text or len(text) > 4096:
        raise InvalidInput("There is no passphrase on standard input, or more than 4096 characters.")
    return Sensitive(text)


def _states(row: dict[str, object]) -> str:
    versions = row["versions"]
    assert isinstance(versions, list)
    return ", ".join(f"{one['version']} {one['state']}" for one in versions if one["state"] != "destroyed")


