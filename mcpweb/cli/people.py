"""``mcpweb users …`` and ``mcpweb tokens …``"""
from __future__ import annotations

import sys

import click

from mcpweb.cli.common import json_option, opened, print_json, print_listing
from mcpweb.contracts import ROLES, Role
from mcpweb.errors import InvalidInput
from mcpweb.schemas.objects import session_object, token_object, user_object
from mcpweb.services import accounts, people

_password = click.option("--password-stdin", is_flag=True, required=True, help="Read the password from standard input.")


def _read_password() -> str:
    text = sys.stdin.read(4096)
    if not text:
        raise InvalidInput("There is no password on standard input.")
    return text.removesuffix("\n")


@click.group()
def users() -> None:
    """People who may sign in."""


@users.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True)
@_password
@json_option
def add(name: str, role: Role, password_stdin: bool, as_json: bool) -> None:
    """Add a user; the password has 12 to 256 characters."""
    with opened() as (core, actor):
        user = accounts.add_user(core, actor, name=name, role=role, password=_read_password())
        print_json(user_object(user)) if as_json else click.echo(f"Added {user.name} ({user.role}).")


@users.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List users."""
    with opened() as (core, actor):
        rows = [user_object(user) for user in accounts.users(core, actor)]
        print_listing(rows, None, ("name", "role", "created_at", "signed_in_at", "disabled_at"), as_json=as_json,
                      empty="No users yet. `mcpweb serve` prints a setup link, or use `mcpweb users add`.")


@users.command()
@click.argument("name")
@json_option
def disable(name: str, as_json: bool) -> None:
    """Keep a user from signing in; sessions end at once."""
    with opened() as (core, actor):
        user = people.disable(core, actor, name)
        print_json(user_object(user)) if as_json else click.echo(f"{user.name} is disabled.")


@users.command()
@click.argument("name")
@json_option
def enable(name: str, as_json: bool) -> None:
    """Let a disabled user sign in again."""
    with opened() as (core, actor):
        user = people.enable(core, actor, name)
        print_json(user_object(user)) if as_json else click.echo(f"{user.name} may sign in again.")


@users.command()
@click.argument("name")
@click.argument("new_role", metavar="ROLE", type=click.Choice(ROLES))
@json_option
def role(name: str, new_role: Role, as_json: bool) -> None:
    """Give a user another role; sessions end at once."""
    with opened() as (core, actor):
        user = people.set_role(core, actor, name, new_role)
        print_json(user_object(user)) if as_json else click.echo(f"{user.name} is now {user.role}.")


@users.command("sessions")
@click.argument("name")
@click.option("--end", is_flag=True, help="End them all.")
@json_option
def sessions_(name: str, end: bool, as_json: bool) -> None:
    """List where a user is signed in."""
    with opened() as (core, actor):
        rows = [session_object(row) for row in people.sessions(core, actor, name)]
        if end:
            people.end_sessions(core, actor, name)
        print_listing(rows, None, ("id", "created_at", "seen_at", "ip", "user_agent"), as_json=as_json,
                      empty=f"{name} is not signed in anywhere.")


@users.command()
@click.argument("name")
@_password
@json_option
def passwd(name: str, password_stdin: bool, as_json: bool) -> None:
    """Set a user's password; other sessions end."""
    with opened() as (core, actor):
        user = people.set_password(core, actor, name, _read_password())
        print_json(user_object(user)) if as_json else click.echo(f"The password of {user.name} is changed.")


@click.group()
def tokens() -> None:
    """API tokens."""


@tokens.command()
@click.option("--user", required=True)
@click.option("--name", required=True)
@click.option("--role", type=click.Choice(ROLES), help="At most the user's, which is the default.")
@click.option("--expires", "days", type=click.IntRange(1, 3650), metavar="DAYS", help="Default: 90.", default=90)
@json_option
def create(user: str, name: str, role: Role | None, days: int, as_json: bool) -> None:
    """Create a token and print it, this once."""
    with opened() as (core, actor):
        text = accounts.create_token(core, actor, user=user, name=name, role=role, days=days)
        print_json(token_object(accounts.token_of(core, text)) | {"token": text}) if as_json else click.echo(text)


@tokens.command("list")
@json_option
def list_tokens(as_json: bool) -> None:
    """List tokens, without their text."""
    with opened() as (core, actor):
        rows = [token_object(token) for token in accounts.tokens(core, actor)]
        print_listing(rows, None, ("id", "name", "role", "user_id", "expires_at", "last_used_at", "revoked_at"),
                      as_json=as_json, empty="No tokens.")


@tokens.command()
@click.argument("token_id")
@json_option
def revoke(token_id: str, as_json: bool) -> None:
    """Make a token useless, at once."""
    with opened() as (core, actor):
        token = accounts.revoke(core, actor, token_id)
        print_json(token_object(token)) if as_json else click.echo(f"{token.name} is revoked.")
