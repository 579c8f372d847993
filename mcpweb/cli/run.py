"""``mcpweb serve``, ``worker``, ``dev`` and ``demo``"""
from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading

import click

from mcpweb import logs
from mcpweb.cli.common import json_option, opened, print_json
from mcpweb.core import Core, open_core
from mcpweb.errors import Conflict
from mcpweb.keyinput import DESCRIPTOR
from mcpweb.processes import keep_memory_private, loading
from mcpweb.schemas.objects import server_object
from mcpweb.supervisor import LIFELINE


@click.command()
def serve() -> None:
    """Start web server and worker; Ctrl+C stops both."""
    _serve(reload=False)


@click.command()
def dev() -> None:
    """Start with one web worker that reloads when the code changes."""
    _serve(reload=True)


def _serve(*, reload: bool) -> None:
    from mcpweb.services import accounts

    core = open_core(role="cli")
    _check_port(core)
    setup = f"{core.settings.public_url}/setup/{accounts.new_setup_token(core)}" if accounts.setup_needed(core) else "-"
    core.close()
    for warning in core.settings.warnings:
        click.echo(f"Warning: {warning}", err=True)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MCPWEB_KEY_ENV")}
    handed = core.settings.key_input.hand_over()
    if handed is not None:
        os.set_inheritable(handed, True)
        environment[DESCRIPTOR] = str(handed)
    arguments = [core.settings.bind, core.settings.public_url, setup, "1" if reload else "0", logs.form_of(core.settings)]
    sys.stdout.flush()
    # a process of its own size: the supervisor needs nothing of what was imported here
    os.execve(sys.executable, [sys.executable, "-m", "mcpweb.supervisor", *arguments], environment)  # noqa: S606


def _check_port(core: Core) -> None:
    """Raise Conflict when somebody listens already."""
    family = socket.AF_INET6 if ":" in core.settings.bind_host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((core.settings.bind_host, core.settings.bind_port))
        except OSError as error:
            raise Conflict(
                f"The address {core.settings.bind} cannot be used: {error.strerror}.",
                next_step="Stop what listens there, or set MCPWEB_BIND=127.0.0.1:PORT.",
            ) from None


@click.command()
@click.option("--wait", is_flag=True, help="Wait until the running worker ends, instead of leaving.")
def worker(wait: bool) -> None:
    """Start a worker alone; one per data folder."""
    with loading():
        from mcpweb.worker import Worker

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keep_memory_private()
    core = open_core(role="worker")
    logs.set_up(core.settings, role="worker")
    core.plugins.ready(core)
    elected = Worker(core)
    if not elected.elect(wait=wait):
        raise Conflict("Another worker uses this data folder.", next_step="One is enough; stop it first.")
    _watch_lifeline(stop)
    elected.start()
    if sys.stderr.isatty():
        click.echo(f"The worker runs (process {os.getpid()}).", err=True)
    logging.getLogger(__name__).info("the worker runs")
    stop.wait()
    elected.stop()
    core.close()


def _watch_lifeline(stop: threading.Event) -> None:
    """Stop when the supervisor is gone: it holds the other end of a pipe."""
    given = os.environ.get(LIFELINE)
    if given is None:
        return

    def watch() -> None:
        os.read(int(given), 1)
        stop.set()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


@click.command()
@json_option
def demo(as_json: bool) -> None:
    """Build and register the demo server; does not start it."""
    from mcpweb.services import demo as service

    with opened() as (core, actor):
        server = service.register(core, actor, lambda text: click.echo(text, err=True))
        if as_json:
            print_json(server_object(server))
        else:
            click.echo(f"The server {server.name} is registered ({server.image}). Start it in the browser, or with "
                       f"`mcpweb servers start {server.name}` while `mcpweb serve` runs.")
