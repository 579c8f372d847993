"""FakeRuntime: a runtime without an engine, honest enough to pass RuntimeContract.

Its containers are threads. Their stdio is a socket with the engine's frames (8-byte header, payload), their http a
server on 127.0.0.1; what they say is a Python function from line to lines.
"""
from __future__ import annotations

import contextlib
import io
import json
import secrets
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcpweb import clock
from mcpweb.contracts import (
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
    variable_fault,
)
from mcpweb.errors import (
    ImageMissing,
    InvalidInput,
    NotFound,
    PolicyRefused,
    PullFailed,
    RuntimeConflict,
    RuntimeUnavailable,
    StartFailed,
)
from mcpweb.testing.fakecontainer import FakeContainer, FakeImage, archive, frame, given, shown
from mcpweb.testing.tinyserver import Behaviour, ServerEnds, tiny_server

_CAPABILITIES = {"CHOWN", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}


class FakeRuntime(Runtime):
    """Runs fake servers in threads. ``away`` makes the engine unreachable, ``calls`` lists every method used."""

    name = "fake"

    def __init__(self, *, bind_roots: tuple[Path, ...] = (), sample_s: float = 1.0) -> None:
        self.away = False
        self.calls: list[str] = []
        self.registry: dict[str, FakeImage] = {}  # what ``pull`` can fetch
        self.logins: dict[str, str] = {}  # registries that want a sign-in, and which
        self._images: dict[str, FakeImage] = {}
        self._containers: dict[str, FakeContainer] = {}
        self._events: list[RuntimeEvent] = []
        self._changed = threading.Condition()
        self._roots = bind_roots
        self._planted: set[tuple[str, str]] = set()  # volumes of tests: instance and name
        self._sample_s = sample_s
        self.add_image("tiny:1")

    def add_image(
        self,
        reference: str,
        behaviour: Callable[[ContainerIntent], Behaviour] | None = None,
        *,
        pulled: bool = True,
        **more: Any,
    ) -> ImageFacts:
        """Make an image known (``pulled=False``: only to ``pull``); the default behaviour is the tiny MCP server."""
        facts = ImageFacts(
            reference=reference, id=f"sha256:{secrets.token_hex(32)}", digest=f"sha256:{secrets.token_hex(32)}",
            architecture="amd64", os="linux", entrypoint=("serve",), size=1_000_000, raw={"Config": {}},
        )  # fmt: skip
        image = FakeImage(facts, behaviour or (lambda intent: tiny_server(given=given(intent))), **more)
        (self._images if pulled else self.registry)[reference] = image
        return facts

    def close(self) -> None:
        """End all containers; fixtures call it."""
        for container in list(self._containers.values()):
            container.end(137)

    def health(self) -> RuntimeHealth:
        self.calls.append("health")
        if self.away:
            return RuntimeHealth(reachable=False, detail="The fake engine is away.", address="fake:")
        return RuntimeHealth(reachable=True, version="fake", api_version="1.41", address="fake:")

    def image(self, reference: str) -> ImageFacts:
        self._ask("image")
        return self._image(reference).facts

    def history(self, reference: str) -> list[dict[str, Json]]:
        self._ask("history")
        return [{"CreatedBy": "ENTRYPOINT serve", "Size": self._image(reference).facts.size}]

    def pull(self, reference: str, progress: Progress, *, login: Sensitive | None = None) -> ImageFacts:
        self._ask("pull")
        wanted = self.logins.get(reference.partition("/")[0])
        if wanted is not None and (login is None or login.reveal() != wanted):
            raise PullFailed(f"The registry does not let us have {reference}.", next_step="Sign in.", code="pull_denied")
        image = self.registry.get(reference) or self._images.get(reference)
        if image is None:
            raise PullFailed(f"There is no image {reference} in the registry.", next_step="Check name and tag.")
        for tenth in range(1, 11):
            progress(tenth / 10, f"Pulling {reference}")
        self._images[reference] = image
        return image.facts

    def check(self, intent: ContainerIntent) -> None:
        self.calls.append("check")
        config = intent.config
        if config.transport == "http" and (config.port is None or config.network == "none"):
            raise PolicyRefused("An http server needs a port and a network.", next_step="Set port and network.")
        for name in set(config.capabilities) - _CAPABILITIES:
            raise PolicyRefused(f"The capability {name} is not given to containers.", next_step="Remove it.")
        for mount in config.mounts:
            real = Path(mount.source).resolve()
            if mount.type == "bind" and not any(real.is_relative_to(root.resolve()) for root in self._roots):
                raise PolicyRefused(f"{mount.source} is not in an allowed folder.", next_step="Use a volume.")
        if intent.sinkhole or intent.behind:
            raise PolicyRefused("The fake runtime has no networks to stand in.", next_step="Use the Docker runtime.")
        for one in intent.planted:
            if intent.role != ("helper" if one.writable else "test"):
                raise PolicyRefused("Only a helper of ours fills the volume of a test, and only a test sees it.")
        _check_secrets(intent)

    def launch(self, intent: ContainerIntent, *, progress: Progress | None = None) -> Launched:
        self._ask("launch")
        self.check(intent)
        image = self._image(intent.image)
        if progress is not None:
            progress(None, "Creating the container")
        with self._changed:
            self._plant(intent)
            self._make_room(intent)
            container = FakeContainer(intent, image, self._tell)
            self._containers[container.id] = container
        try:
            self._tell("create", container)
            if progress is not None:
                progress(None, "Starting the container")
            if image.start_failure:
                raise StartFailed(image.start_failure, next_step="Correct the configuration.")
            sock = container.attach()
            container.start()
        except BaseException:
            self.remove(container.id)
            raise
        return Launched(container.id, sock, container.endpoint(), {"create": 0.1, "attach": 0.1, "start": 0.1})

    def attach(self, container_id: str) -> socket.socket:
        self._ask("attach")
        return self._container(container_id).attach()

    def endpoint(self, state: ContainerState, config: ConfigData) -> str | None:
        if config.transport != "http" or state.published_port is None:
            return None
        return f"http://127.0.0.1:{state.published_port}{config.path}"

    def inspect(self, container_id: str) -> ContainerState:
        self._ask("inspect")
        container = self._container(container_id)
        state, config = container.state(), shown(container.intent)
        raw = {"Id": state.id, "State": {"Status": state.status}, "HostConfig": {}, "Config": config}
        return replace(state, raw={**raw, "Network": container.intent.config.network})

    def containers(self, instance: str) -> list[ContainerState]:
        self._ask("containers")
        states = [container.state() for container in list(self._containers.values())]
        return [state for state in states if state.labels["mcpweb.instance"] == instance]

    def stop(self, container_id: str, grace_s: float = 5.0) -> ContainerState | None:
        self._ask("stop")
        try:
            container = self._container(container_id)
        except NotFound:
            return None
        container.end(143)
        return container.state()

    def remove(self, container_id: str) -> None:
        self._ask("remove")
        with contextlib.suppress(NotFound):
            container = self._container(container_id)
            container.end(137)
            if self._containers.pop(container.id, None) is not None:
                self._tell("destroy", container)

    def changes(self, container_id: str) -> list[FileChange]:
        self._ask("changes")
        return list(self._container(container_id).changes)

    def processes(self, container_id: str) -> list[str]:
        self._ask("processes")
        return [" ".join(words) for words in self._container(container_id).processes()]

    def resident(self, container_id: str) -> int:
        self._ask("resident")
        return 8 * 2**20 if self._container(container_id).running else 0

    def stats(self, container_id: str, stop: Callable[[], bool], *, at_once: bool = False) -> Iterator[Stats]:
        self._ask("stats")
        container = self._container(container_id)
        while container.running and not stop():
            limit = container.intent.config.limits.memory_mb * 2**20
            yield Stats(clock.now(), 1.5, 8 * 2**20, limit, 2, 0, 0)
            container.ended.wait(self._sample_s)

    def events(self, instance: str, stop: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        self._ask("events")
        seen = len(self._events)
        while not stop():
            with self._changed:
                if len(self._events) == seen:
                    self._changed.wait(0.1)
                new = self._events[seen:]
                seen = len(self._events)
            if self.away:
                raise RuntimeUnavailable("The fake engine went away.")
            yield from (event for event in new if event.labels.get("mcpweb.instance") == instance)

    def export_image(self, reference: str, stop: Callable[[], bool]) -> Iterator[bytes]:
        self._ask("export_image")
        data = archive(self._image(reference))
        while data and not stop():
            yield data[:65536]
            data = data[65536:]

    def planted(self, instance: str) -> list[str]:
        self._ask("planted")
        return sorted(name for owner, name in self._planted if owner == instance)

    def remove_planted(self, instance: str, name: str) -> None:
        self._ask("remove_planted")
        for container in list(self._containers.values()):
            if name in [one.name for one in container.intent.planted]:
                raise RuntimeConflict(f"The volume {name} is used by the container {container.id[:12]}.")
        self._planted.discard((instance, name))

    def load_image(self, archive: Path) -> None:
        self._ask("load_image")
        try:
            with tarfile.open(archive) as tar:
                manifest = tar.extractfile("manifest.json")
                names = [name for image in json.load(manifest or io.BytesIO()) for name in image["RepoTags"]]
        except (OSError, tarfile.TarError, ValueError, KeyError) as error:
            raise InvalidInput(f"The engine refuses the image archive: {error}") from None
        for name in names:
            self.add_image(name)

    def cleanup(self, instance: str) -> None:
        self._ask("cleanup")

    def _ask(self, method: str) -> None:
        self.calls.append(method)
        if self.away:
            raise RuntimeUnavailable("The fake engine is away.")

    def _image(self, reference: str) -> FakeImage:
        for image in self._images.values():
            if reference in (image.facts.reference, image.facts.id):
                return image
        raise ImageMissing(f"The image {reference} is not on this machine.", next_step="Pull it first.")

    def _container(self, container_id: str) -> FakeContainer:
        for container in list(self._containers.values()):
            if container_id in (container.id, container.intent.name):
                return container
        raise NotFound(f"There is no container {container_id}.")

    def _plant(self, intent: ContainerIntent) -> None:
        for one in intent.planted:
            if not one.writable and (intent.instance, one.name) not in self._planted:
                raise StartFailed(f"There is no volume {one.name}.", next_step="Fill it first.")
            self._planted.add((intent.instance, one.name))

    def _make_room(self, intent: ContainerIntent) -> None:
        for known in list(self._containers.values()):
            if known.intent.name != intent.name:
                continue
            one, other = known.intent, intent
            if (one.instance, one.server_id, one.server, one.role) != (
                other.instance, other.server_id, other.server, other.role
            ):  # fmt: skip
                raise RuntimeConflict(
                    f"The container name {intent.name} is taken by server {one.server} of the mcpweb instance "
                    f"{one.instance}; this is server {intent.server} of the instance {intent.instance}.",
                    next_step="Rename the server.",
                )
            known.end(137)
            del self._containers[known.id]

    def _tell(self, action: str, container: FakeContainer) -> None:
        with self._changed:
            self._events.append(RuntimeEvent(action, container.id, container.labels, time.time()))
            self._changed.notify_all()


def _check_secrets(intent: ContainerIntent) -> None:
    seen: set[str] = set()
    for secret in intent.secrets:
        if fault := variable_fault(secret.variable):
            raise PolicyRefused(fault, next_step="Use another variable.")
        for name in (secret.variable, f"{secret.variable}_FILE") if secret.way == "file" else (secret.variable,):
            if name in seen:
                raise PolicyRefused(f"Two secrets are delivered under {name}.", next_step="Use another variable.")
            seen.add(name)
        if secret.way != "file" and "\0" in secret.value.reveal():
            raise PolicyRefused(f"The secret for {secret.variable} holds a zero byte.", next_step="Bind it by file.")


__all__ = ["FakeImage", "FakeRuntime", "ServerEnds", "frame", "tiny_server"]
