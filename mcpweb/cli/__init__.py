"""The command line: one module per area, loaded when it is used, so that ``--help`` stays quick."""
from __future__ import annotations

import importlib
import sys

import click

from mcpweb import __version__
from mcpweb.processes import loading

# command: (module, what it does); the order is that of the help page
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("run", "Start web server and worker."),
    "worker": ("run", "Start a worker alone."),
    "dev": ("run", "Start with reload, for developing."),
    "demo": ("run", "Build and register the demo server."),
    "doctor": ("doctor", "Say in sentences what is missing."),
    "servers": ("servers", "Add, start, stop and call servers."),
    "configurations": ("configurations", "Settings documents of a server."),
    "secrets": ("secrets", "Encrypted values, and who gets them."),
    "keys": ("keys", "What encrypts secrets."),
    "test": ("testing", "Test a server."),
    "findings": ("findings", "What tests found, and what is accepted."),
    "pins": ("pins", "What was approved of a server."),
    "schedules": ("schedules", "Test runs by the clock or on a new image."),
    "jobs": ("jobs", "Background work."),
    "users": ("people", "People who may sign in."),
    "tokens": ("people", "API tokens."),
    "audit": ("audit", "What happened, and proof of it."),
    "import": ("transfer", "Import a whole set-up."),
    "export": ("transfer", "Export the whole set-up."),
    "plugins": ("plugins", "What is loaded, and what is broken."),
    "settings": ("settings", "What is set, and how long things are kept."),
    "db": ("db", "Migrate, check, back up, restore."),
    "docs": ("docs", "Reference of hooks."),
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with loading():
            module = importlib.import_module(f"mcpweb.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mcpweb")
def cli() -> None:
    """Docker MCP Web Manager: run, watch and test MCP servers in containers."""


def main() -> None:
    """Run the command line. Exit codes: 0 fine, 1 an answer that is no, 2 it could not be done."""
    from mcpweb import logs
    from mcpweb.errors import Failure, of_system

    logs.set_up(plain=True)
    try:
        code = cli.main(standalone_mode=False)
    except Failure as failure:
        _say(failure)
        code = 2
    except click.ClickException as error:
        error.show()
        code = 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        code = 2
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    except OSError as error:
        known = of_system(error)
        if known is None:
            raise
        _say(known)
        code = 2
    sys.exit(code if isinstance(code, int) else 0)


def _say(failure) -> None:  # type: ignore[no-untyped-def]
    if "--json" in sys.argv:
        import json

        from mcpweb.schemas.objects import problem_object

        click.echo(json.dumps(problem_object(failure), ensure_ascii=False), err=True)
        return
    click.echo(f"Error: {failure.detail}", err=True)
    for error in failure.errors:
        click.echo(f"  {error.pointer or '/'}: {error.detail}", err=True)
    if failure.next_step:
        click.echo(failure.next_step, err=True)
