"""Runs servers as hardened containers on a Docker Engine, reached over its API without the docker command."""
from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweb.plugin import InvalidInput, Runtime, Setting, hookimpl

if TYPE_CHECKING:
    from mcpweb.settings import Settings

mcpweb_api = 1

CALL_DEADLINE = Setting(
    "CALL_DEADLINE_S", "10", "Seconds one question to the engine may take; starting and stopping have more."
)
SECRETS_DIR = Setting(
    "SECRETS_DIR", "", "Folder on a tmpfs for secrets delivered as files. Default: /run/user/<uid>, /run or /dev/shm."
)


@hookimpl
def mcpweb_add_settings() -> list[Setting]:
    return [CALL_DEADLINE, SECRETS_DIR]


@hookimpl
def mcpweb_add_runtimes(settings: Settings) -> list[Runtime]:
    from .engine import Deadlines
    from .runtime import DockerRuntime

    name = f"PLUGIN_RUNTIME_DOCKER_{CALL_DEADLINE.name}"
    given = settings.plugin_values.get(name, CALL_DEADLINE.default)
    if not (given.replace(".", "", 1).isdigit() and 1 <= float(given) <= 600):
        raise InvalidInput(f"MCPWEB_{name} is {given!r}.", next_step="Set it to seconds from 1 to 600.")
    folder = settings.plugin_values.get(f"PLUGIN_RUNTIME_DOCKER_{SECRETS_DIR.name}", SECRETS_DIR.default)
    if folder and not folder.startswith("/"):
        raise InvalidInput(
            f"MCPWEB_PLUGIN_RUNTIME_DOCKER_{SECRETS_DIR.name} is {folder!r}.", next_step="Set it to an absolute path."
        )
    deadlines = Deadlines(call=float(given))
    return [DockerRuntime(settings.docker_host, settings.bind_roots, deadlines=deadlines, secrets_dir=folder)]
