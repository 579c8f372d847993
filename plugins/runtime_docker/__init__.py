"""Runs servers as hardened containers on a Docker Engine, reached over its API without the docker command."""
from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweb.plugin import Runtime, hookimpl

if TYPE_CHECKING:
    from mcpweb.settings import Settings

mcpweb_api = 1


@hookimpl
def mcpweb_add_runtimes(settings: Settings) -> list[Runtime]:
    from .runtime import DockerRuntime

    return [DockerRuntime(settings.docker_host, settings.bind_roots)]
