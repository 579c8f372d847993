"""``mcpweb secrets …``"""
from __future__ import annotations

import sys

import click

from mcpweb.cli.common import cursor_option, json_option, limit_option, opened, print_json, print_listing, read_time
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import paging
from mcpweb.dao.configurations import Configuration
from mcpweb.errors import FieldError, InvalidInput
from mcpweb.schemas.objects import binding_object, secret_object
from mcpweb.services import bindings, configurations, servers
from mcpweb.services import secrets as service

_scope = click.option("--scope", type=click.Choice(["global", "server", "configuration"]), default=None, help="Who may use it.")
_owner = click.option("--owner", default="", help="The server, or SERVER/CONFIGURATION, it belongs to.")
_MOST_BYTES = 1 << 20


@click.group()
def secrets() -> None:
    """Named values, stored encrypted and given to containers only."""


@secrets.command("set")
@click.argument("name")
@_scope
@_owner
@click.option("--expires", default=None, help="A day such as 2026-12-31, a UTC time, or a number of days.")
@click.option("--description", default=None)
@click.option("--key", default="main", show_default=True, help="The key a new secret is encrypted under.")
@json_option
def set_(
    name: str, scope: str | None, owner: str, expires: str | None, description: str | None, key: str, as_json: bool
) -> None:
    """Store a value from standard input; makes the secret, or replaces its value. One trailing newline is dropped."""
    value = _read_value()
    with opened() as (core, actor):
        scope = scope or "global"
        secret, made = service.put(
            core, actor, name=name, value=value, scope=scope, owner_id=_owner_id(core, actor, scope, owner),  # type: ignore[arg-type]
            description=description, expires_at=read_time(expires, "expires"), key_name=key,
        )
        done = f"Added {name}." if made else f"Replaced the value of {name}; containers that run keep the earlier one."
        print_json(secret_object(secret)) if as_json else click.echo(done)


@secrets.command("list")
@_scope
@_owner
@click.option("--all", "every", is_flag=True, help="Inactive ones too.")
@click.option("--expiring", type=click.IntRange(0, 36500), default=None, help="Those that expire within so many days.")
@click.option("--unused", is_flag=True, help="Those that no configuration uses.")
@limit_option
@cursor_option
@json_option
def list_(
    scope: str | None, owner: str, every: bool, expiring: int | None, unused: bool, limit: int, cursor: str | None, as_json: bool
) -> None:
    """List secrets; values are never shown."""
    with opened() as (core, actor):
        listing = service.listing(
            core, actor, after=paging.decode(cursor) if cursor else None, limit=limit, scope=scope,
            owner_id=_owner_id(core, actor, scope or "server", owner) if owner else None, is_active=None if every else True,
            expires_within_s=None if expiring is None else expiring * 86400.0, unused=unused,
        )
        print_listing(
            (secret_object(row) for row in listing.rows), paging.encode(listing.next) if listing.next else None,
            ("name", "scope", "is_active", "value_version", "expires_at", "updated_at", "id"), as_json=as_json,
            empty="No secret. Store one with `mcpweb secrets set NAME < FILE`.",
        )


@secrets.command()
@click.argument("secret")
@click.argument("place", metavar="SERVER[/CONFIGURATION]")
@click.option("--variable", required=True, help="The variable the server finds it under.")
@click.option("--as", "need", type=click.Choice(["required", "optional", "conditional"]), required=True)
@click.option("--when", default=None, help="VAR=VALUE of the environment, for --as conditional.")
@click.option("--delivery", type=click.Choice(["stdin", "file", "environment"]), default="stdin", show_default=True)
@click.option("--context", default="", help="What it is used for.")
@json_option
def bind(
    secret: str, place: str, variable: str, need: str, when: str | None, delivery: str, context: str, as_json: bool
) -> None:
    """Let a configuration (by default the active one) use a secret; its container gets it at the next start."""
    condition = None
    if when is not None:
        name, equals, value = when.partition("=")
        if not equals or not name:
            raise InvalidInput("--when is VAR=VALUE.", errors=[FieldError("/when", "VAR=VALUE")])
        condition = {name: value}
    with opened() as (core, actor):
        configuration = _configuration(core, actor, place)
        row = bindings.bind(
            core, actor, service.find(core, actor, secret, for_configuration=configuration).id, configuration.id,
            variable=variable, scope=need, delivery=delivery, condition=condition, usage_context=context,
        )
        print_json(binding_object(row)) if as_json else click.echo(f"{configuration.name} gets {secret} as {variable}.")
        for caution in bindings.cautions(core, actor, row):
            click.echo(f"Caution: {bindings.CAUTIONS[caution]}", err=True)


@secrets.command()
@click.argument("secret")
@click.argument("place", metavar="SERVER[/CONFIGURATION]")
def unbind(secret: str, place: str) -> None:
    """End the use of a secret by a configuration."""
    with opened() as (core, actor):
        configuration = _configuration(core, actor, place)
        for binding, row in bindings.of_configuration(core, actor, configuration.id):
            if secret in (row.id, row.name):
                bindings.unbind(core, actor, binding.id)
                click.echo(f"{configuration.name} no longer gets {row.name}.")
                return
        raise InvalidInput(f"{configuration.name} does not use {secret}.")


@secrets.command()
@click.argument("secret")
@_scope
@_owner
@click.option("--purge", is_flag=True, help="Delete the encrypted value for good.")
def remove(secret: str, scope: str | None, owner: str, purge: bool) -> None:
    """Deactivate a secret: no server starts with it any more; its value stays until it is purged."""
    with opened() as (core, actor):
        owner_id = _owner_id(core, actor, scope or "server", owner) if owner else None
        row = service.find(core, actor, secret, scope=scope, owner_id=owner_id, inactive_too=purge)
        if purge:
            service.purge(core, actor, row.id)
        else:
            service.set_active(core, actor, row.id, False)
        click.echo(f"{'Purged' if purge else 'Deactivated'} {row.name}.")


def _read_value() -> Sensitive:
    """Return what stands on standard input, without one newline at its end."""
    if sys.stdin.isatty():
        text: str = click.prompt("Value", hide_input=True, err=True)
    else:
        data = sys.stdin.buffer.read(_MOST_BYTES)
        if len(data) == _MOST_BYTES:
            raise InvalidInput("A value has at most 64 KiB.", errors=[FieldError("/value", "at most 65536 bytes")])
        try:
            text = data.decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise InvalidInput("The value is not valid UTF-8.", next_step="Encode it, with base64 for example.") from None
    if not text:
        raise InvalidInput("There is no value on standard input.")
    return Sensitive(text)


def _owner_id(core: Core, actor: Actor, scope: str, owner: str) -> str:
    if scope == "global" or not owner:
        return owner
    if scope == "configuration" or "/" in owner:
        return _configuration(core, actor, owner).id
    return servers.get(core, actor, owner).id


def _configuration(core: Core, actor: Actor, place: str) -> Configuration:
    """Return the configuration SERVER/NAME, or the server's active one."""
    server, _slash, name = place.partition("/")
    if name:
        return configurations.by_name(core, actor, server, name)
    return configurations.active(core, actor, server)
