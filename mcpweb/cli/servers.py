"""``mcpweb servers …``"""
from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import click

from mcpweb.cli.common import (
    cursor_option,
    ended,
    json_option,
    limit_option,
    need_worker,
    opened,
    print_json,
    print_listing,
    print_object,
    wait_for,
    with_hands,
)
from mcpweb.dao import paging
from mcpweb.errors import Conflict, InvalidInput, NotFound
from mcpweb.schemas.configurations import from_cli_options
from mcpweb.schemas.objects import job_object, server_object, tool_object
from mcpweb.services import connect as connections
from mcpweb.services import servers as service


@click.group()
def servers() -> None:
    """Add, start, stop and call servers."""


@servers.command()
@click.argument("name")
@click.option("--image", required=True, metavar="REF", help="Image reference, for example example/server:1.2.")
@click.option("--transport", type=click.Choice(["stdio", "http"]), default="stdio", show_default=True)
@click.option("--port", type=int, help="Port inside the container (http).")
@click.option("--path", default="/mcp", show_default=True, help="Path of the MCP endpoint (http).")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Environment of the container; no secrets here.")
@click.option("--command", metavar="STR", help="Arguments for the image's entrypoint, split as a shell would.")
@click.option("--network", type=click.Choice(["none", "published", "outbound"]), help="Default: none; published for http.")
@click.option("--memory", type=int, metavar="MB", help="Memory limit.")
@click.option("--description", default="", help="One line for people.")
@json_option
def add(name: str, image: str, description: str, as_json: bool, **options: Any) -> None:
    """Add a server with an active configuration `default`."""
    with opened() as (core, actor):
        config = from_cli_options(**options)
        server = service.add(core, actor, name=name, image=image, description=description, config=config)
        if as_json:
            print_json(server_object(server))
        else:
            click.echo(f"Added {server.name} ({server.id}). Start it with `mcpweb servers start {server.name}`.")


@servers.command("list")
@click.option("--status", type=click.Choice(["running", "stopped", "error", "unknown"]))
@limit_option
@cursor_option
@json_option
def list_(status: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List servers, newest first."""
    with opened() as (core, actor):
        after = paging.decode(cursor) if cursor else None
        listing = service.listing(core, actor, after=after, limit=limit, status=status)
        print_listing(
            (server_object(row) for row in listing.rows),
            paging.encode(listing.next) if listing.next else None,
            ("name", "status", "image", "wanted", "status_detail"),
            as_json=as_json,
            empty="No server yet. Add one with `mcpweb servers add NAME --image REF`, or run `mcpweb demo`.",
        )


@servers.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one server."""
    with opened() as (core, actor):
        print_object(server_object(service.get(core, actor, name)), as_json=as_json)


def _request(kind: str, name: str, *, as_json: bool, no_wait: bool = False, running_worker: bool = False) -> None:
    with opened() as (core, actor):
        service.get(core, actor, name)
        if running_worker or no_wait:
            need_worker(core)
            _ask(core, actor, kind, name, as_json=as_json, no_wait=no_wait)
        else:
            with with_hands(core):
                _ask(core, actor, kind, name, as_json=as_json, no_wait=False)


def _ask(core: Any, actor: Any, kind: str, name: str, *, as_json: bool, no_wait: bool) -> None:
    job = service.request(core, actor, name, kind)
    if no_wait:
        print_json(job_object(job)) if as_json else click.echo(job.id)
        return
    job = wait_for(core, job, quiet=as_json)
    if as_json and job.state == "succeeded":
        print_json(job_object(job))
        return
    ended(job)
    click.echo(_SAID[kind].format(name=name, **(job.result or {})))


_SAID = {
    "start": "{name} is running (MCP {protocol}).",
    "restart": "{name} is running (MCP {protocol}).",
    "stop": "{name} is stopped.",
    "pull": "Pulled {image}.",
    "remove": "{name} is removed.",
    "tools": "{name} offers {count} tools.",
}

_no_wait = click.option("--no-wait", is_flag=True, help="Print the job's id and return.")


@servers.command()
@click.argument("name")
@_no_wait
@json_option
def start(name: str, no_wait: bool, as_json: bool) -> None:
    """Start a server; it is started when the MCP handshake was answered."""
    _request("start", name, as_json=as_json, no_wait=no_wait, running_worker=True)


@servers.command()
@click.argument("name")
@_no_wait
@json_option
def restart(name: str, no_wait: bool, as_json: bool) -> None:
    """Stop and start a server."""
    _request("restart", name, as_json=as_json, no_wait=no_wait, running_worker=True)


@servers.command()
@click.argument("name")
@_no_wait
@json_option
def stop(name: str, no_wait: bool, as_json: bool) -> None:
    """Stop a server and remove its container."""
    _request("stop", name, as_json=as_json, no_wait=no_wait)


@servers.command()
@click.argument("name")
@_no_wait
@json_option
def pull(name: str, no_wait: bool, as_json: bool) -> None:
    """Fetch the server's image."""
    _request("pull", name, as_json=as_json, no_wait=no_wait)


@servers.command()
@click.argument("name")
@_no_wait
@json_option
def remove(name: str, no_wait: bool, as_json: bool) -> None:
    """Stop a server and remove it with its results."""
    _request("remove", name, as_json=as_json, no_wait=no_wait)


@servers.command()
@click.argument("name")
@click.option("--refresh", is_flag=True, help="Ask the server even if a list is stored.")
@json_option
def tools(name: str, refresh: bool, as_json: bool) -> None:
    """Show the tools a server offers."""
    with opened() as (core, actor):
        rows = service.tools_of(core, actor, name)
        if refresh or not rows:
            with with_hands(core):
                ended(wait_for(core, service.request(core, actor, name, "tools"), quiet=as_json))
            rows = service.tools_of(core, actor, name)
        print_listing(
            (tool_object(row) for row in rows), None, ("name", "description"), as_json=as_json,
            empty=f"{name} offers no tools.",
        )


@servers.command()
@click.argument("name")
@click.argument("tool")
@click.argument("arguments", metavar="JSON", default="{}")
@json_option
def call(name: str, tool: str, arguments: str, as_json: bool) -> None:
    """Call a tool with JSON arguments. Exit code 1 when the tool says isError."""
    try:
        given = json.loads(arguments)
    except ValueError as error:
        raise InvalidInput(f"The arguments are not JSON: {error}.") from None
    with opened() as (core, actor):
        with with_hands(core):
            job = service.call(core, actor, name, tool, given, wait_s=30.0)
            job = wait_for(core, job, quiet=True)
        if as_json and job.state == "succeeded":
            print_json(job_object(job))
        else:
            for block in ended(job).result["result"].get("content", []):
                click.echo(block.get("text") if block.get("type") == "text" else json.dumps(block)[:400])
        if warning := job.result.get("warning"):
            click.echo(f"Warning: {warning}", err=True)
        if job.result["result"].get("isError"):
            sys.exit(1)


@servers.command()
@click.argument("name")
@click.option("--client", metavar="NAME", help="Only the text for this client, such as 'VS Code', ready for its file.")
@json_option
def connect(name: str, client: str | None, as_json: bool) -> None:
    """Show what to write into the files of clients to reach a server; values of secrets are not in it."""
    with opened() as (core, actor):
        found = connections.show(core, actor, name)
        if as_json:
            return print_json(asdict(found))
        if not found.snippets:
            raise Conflict(f"{name} has no address while it does not run.", next_step=f"Run `mcpweb servers start {name}`.")
        wanted = [one for one in found.snippets if client is None or one.client.lower() == client.lower()]
        if not wanted:
            names = ", ".join(one.client for one in found.snippets)
            raise NotFound(f"There is no text for {client}.", next_step=f"There is one for each of: {names}.")
        for one in wanted:
            if client is None:
                click.secho(f"# {one.client}{f': {one.file}' if one.file else ''}", bold=True)
            click.echo(one.text)
        if found.secrets and found.transport == "stdio":
            click.echo(f"Give the client a value for: {', '.join(found.secrets)}.", err=True)


@servers.command()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until Ctrl+C.")
@click.option("--level", type=click.Choice(["error", "warning", "info", "debug"]))
@click.option("--search", "q", metavar="TEXT")
@click.option("--stream", type=click.Choice(["stderr", "stdout", "event"]), help="What the server wrote, or its lifecycle.")
@click.option("--since", metavar="MOMENT", help="From this moment on (UTC), such as 2026-11-24 or 2026-11-24T08:30.")
@click.option("--until", metavar="MOMENT", help="Until this moment (UTC); a day is included.")
@json_option
def logs(name: str, follow: bool, as_json: bool, **wanted: str | None) -> None:
    """Show what a server wrote to stderr, and its lifecycle."""
    with opened() as (core, actor):
        offset: int | None = None
        while True:
            page = service.logs(core, actor, name, offset=offset, limit_bytes=256 * 1024, **wanted)
            for line in page.lines:
                if as_json:
                    fields = {"offset": line.offset, "at": line.at, "stream": line.stream, "level": line.level, "text": line.text}
                    click.echo(json.dumps(fields, ensure_ascii=False))
                else:
                    click.echo(f"{line.at}  {line.stream:6}  {line.text}")
            if not follow and (offset is None or page.next_offset >= page.end_offset):
                return
            offset = page.next_offset
            time.sleep(0.3)
