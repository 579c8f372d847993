"""The Docker runtime: every promise of ``Runtime``, kept by the modules beside this one."""
from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from mcpweb.plugin import (
    ConfigData,
    ContainerIntent,
    ContainerState,
    FileChange,
    ImageFacts,
    Json,
    Launched,
    Progress,
    Runtime,
    RuntimeEvent,
    RuntimeHealth,
    Sensitive,
    Stats,
)

from . import grounds, images, looks
from .attach import attach
from .containers import Containers, checked
from .engine import Deadlines, Engine
from .events import Events
from .states import endpoint_of
from .stats import stats


class DockerRuntime(Runtime):
    """Runs servers on one Docker Engine. ``docker_host`` is DOCKER_HOST, empty for the usual places."""

    name = "docker"

    def __init__(
        self,
        docker_host: str = "",
        bind_roots: tuple[Path, ...] = (),
        *,
        deadlines: Deadlines | None = None,
        secrets_dir: str = "",
    ) -> None:
        self._engine = Engine(docker_host, deadlines)
        self._containers = Containers(self._engine, bind_roots, secrets_dir)
        self._events = Events(self._engine)

    def health(self) -> RuntimeHealth:
        return self._engine.health()

    def image(self, reference: str) -> ImageFacts:
        return images.facts(self._engine, reference)

    def history(self, reference: str) -> list[dict[str, Json]]:
        return images.history(self._engine, reference)

    def pull(self, reference: str, progress: Progress, *, login: Sensitive | None = None) -> ImageFacts:
        return images.pull(self._engine, reference, progress, login)

    def check(self, intent: ContainerIntent) -> None:
        self._containers.check(intent)

    def launch(self, intent: ContainerIntent, *, progress: Progress | None = None) -> Launched:
        return self._containers.launch(intent, progress)

    def attach(self, container_id: str) -> socket.socket:
        return attach(self._engine, checked(container_id), stdin=False)

    def endpoint(self, state: ContainerState, config: ConfigData) -> str | None:
        return endpoint_of(state, config)

    def inspect(self, container_id: str) -> ContainerState:
        return self._containers.inspect(container_id)

    def containers(self, instance: str) -> list[ContainerState]:
        return self._containers.listing(instance)

    def stop(self, container_id: str, grace_s: float = 5.0) -> ContainerState | None:
        return self._containers.stop(container_id, grace_s)

    def remove(self, container_id: str) -> None:
        self._containers.remove(container_id)

    def changes(self, container_id: str) -> list[FileChange]:
        return looks.changes(self._engine, container_id)

    def processes(self, container_id: str) -> list[str]:
        return looks.processes(self._engine, container_id)

    def resident(self, container_id: str) -> int:
        return looks.resident(self._engine, container_id)

    def stats(self, container_id: str, stop: Callable[[], bool], *, at_once: bool = False) -> Iterator[Stats]:
        return stats(self._engine, self._containers, container_id, stop, at_once)

    def events(self, instance: str, stop: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        return self._events.listen(instance, stop)

    def planted(self, instance: str) -> list[str]:
        return grounds.planted(self._engine, instance)

    def remove_planted(self, instance: str, name: str) -> None:
        grounds.remove_planted(self._engine, instance, name)

    def load_image(self, archive: Path) -> None:
        images.load(self._engine, archive)

    def save_image(self, reference: str, archive: Path) -> None:
        images.save(self._engine, reference, archive)

    def export_image(self, reference: str, stop: Callable[[], bool]) -> Iterator[bytes]:
        return images.export(self._engine, reference, stop)

    def cleanup(self, instance: str) -> None:
        with self._containers.calm() as calm:
            if calm:
                grounds.cleanup(self._engine, instance)
