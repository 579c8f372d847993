"""``mcpweb plugins …``"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mcpweb import settings as settings_module
from mcpweb.cli.common import json_option, opened, print_json, print_listing, print_object
from mcpweb.core import load_plugins
from mcpweb.errors import InvalidInput, NotFound
from mcpweb.schemas.objects import plugin_object
from mcpweb.services import plugins as service


def _records() -> list[dict[str, Any]]:
    host = load_plugins(settings_module.load())
    return [plugin_object(record) for record in host.records.values()]


@click.group()
def plugins() -> None:
    """What is loaded, what is broken, and how to write, check and install one."""


@plugins.command("list")
@click.option("--hook", help="Only plugins that implement this hook.")
@json_option
def list_(hook: str | None, as_json: bool) -> None:
    """List plugins with where they come from and their state."""
    rows = [row for row in _records() if hook is None or hook in row["hooks"]]
    print_listing(rows, None, ("name", "state", "source", "version", "load_ms", "error"), as_json=as_json, empty="None.")


@plugins.command()
@click.argument("name")
@json_option
def info(name: str, as_json: bool) -> None:
    """Show one plugin."""
    for row in _records():
        if row["name"] == name:
            print_object(row, as_json=as_json)
            return
    raise NotFound(f"There is no plugin {name}.", next_step="`mcpweb plugins list` shows all.")


@plugins.command()
@click.argument("name")
@json_option
def disable(name: str, as_json: bool) -> None:
    """Call a plugin no more: at once, in every process."""
    with opened() as (core, actor):
        print_object(plugin_object(service.disable(core, actor, name)), as_json=as_json)


@plugins.command()
@click.argument("name")
@json_option
def enable(name: str, as_json: bool) -> None:
    """Allow a plugin again, out of quarantine too; it is loaded at the next start."""
    with opened() as (core, actor):
        record = service.enable(core, actor, name)
        print_object(plugin_object(record), as_json=as_json)
        if record.needs_restart:
            click.echo("It is loaded when mcpweb starts again.", err=True)


@plugins.command()
@click.argument("place", metavar="PATH|NAME")
@json_option
def check(place: str, as_json: bool) -> int:
    """Look at a plugin: its source, then loaded in a child process with limits. Exit code 1 when something is wrong.

    PATH is a project, a package or a file; NAME one that is installed or lies in MCPWEB_PLUGINS_DIR.
    """
    from mcpweb.kit import check as looking

    settings = settings_module.load()
    found = looking.find(place, settings)
    findings = looking.check(found, settings)
    bad = any(one.level == "problem" for one in findings)
    if as_json:
        print_json({"name": found.name, "ok": not bad, "findings": [vars(one) for one in findings]})
        return int(bad)
    for one in findings:
        click.echo(f"{one.level:8} {one.where}: {one.sentence}")
    click.echo(f"{found.name} is {'not in order' if bad else 'fine'}.")
    return int(bad)


@plugins.command()
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(["testtype", "cipher", "keysource", "runtime", "events"]), default="testtype", show_default=True,
    help="What it brings.",
)
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=Path("."), help="Folder it is written into.")
def new(name: str, kind: str, into: Path) -> None:
    """Write a complete plugin project with tests that pass."""
    from mcpweb.kit.new import new as write

    made = write(name, kind, into)
    target = into / made[0].relative_to(into).parts[0]
    for file in made:
        click.echo(f"  {file.relative_to(into)}")
    click.echo(f"Next: cd {target} && mcpweb plugins check . && pytest")


TRUST = (
    "A plugin is trusted code: it runs in the processes of mcpweb and can reach the container engine, the database and "
    "every secret. Install only what you have read, or whose author you trust."
)


@plugins.command()
@click.argument("given", metavar="SPEC|PATH")
@click.option("--yes", is_flag=True, help="The code may do all that mcpweb can.")
@json_option
def install(given: str, yes: bool, as_json: bool) -> None:
    """Install a plugin into our environment with pip: a path, or a requirement such as name==1.2."""
    click.echo(TRUST, err=True)
    if not yes:
        raise InvalidInput("Nothing was installed.", next_step="Say --yes when you trust it.")
    with opened() as (core, actor):
        for one in service.install(core, actor, given):
            print_object({"name": one.name, "distribution": one.distribution, "version": one.version}, as_json=as_json)
    click.echo("It is loaded when mcpweb starts again.", err=True)


@plugins.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Remove it.")
@json_option
def uninstall(name: str, yes: bool, as_json: bool) -> None:
    """Remove a plugin that was installed with pip. Its tables, and results of its test types, stay."""
    if not yes:
        raise InvalidInput(f"This removes the plugin {name}.", next_step="Say --yes.")
    with opened() as (core, actor):
        one = service.uninstall(core, actor, name)
        print_object({"name": one.name, "distribution": one.distribution, "version": one.version}, as_json=as_json)
    click.echo("It is gone when mcpweb starts again.", err=True)
