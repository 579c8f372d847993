"""What runs servers: typed intents in, states out."""
from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mcpweb.contracts.configuration import ConfigData, Json
from mcpweb.contracts.material import FileChange
from mcpweb.contracts.vault import SecretDelivery, Sensitive
from mcpweb.errors import InvalidInput


@dataclass(frozen=True)
class ImageFacts:
    """What the runtime knows of an image. ``id`` is the local content id, ``digest`` the repository digest."""

    reference: str
    id: str
    digest: str | None = None
    architecture: str = ""
    os: str = ""
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    exposed_ports: tuple[int, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    created_at: str | None = None
    raw: Mapping[str, Json] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Planted:
    """A volume of a test: a helper fills it (``writable``), then the server under test sees it, and can only read it."""

    name: str
    target: str
    writable: bool = False


@dataclass(frozen=True)
class ContainerIntent:
    """What we want to run, in our own words; the runtime's policy turns it into engine options or refuses."""

    name: str
    instance: str
    server_id: str
    server: str
    role: Literal["server", "test", "helper"]
    image: str
    config: ConfigData
    config_hash: str
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[SecretDelivery, ...] = ()
    sinkhole: bool = False  # our own helper that owns a network without a way out and may answer in it
    behind: str = ""  # id of the sinkhole whose network is all this container has
    planted: tuple[Planted, ...] = ()


@dataclass(frozen=True)
class ContainerState:
    """A container as last seen. ``status`` is the engine's word (created, running, exited, …)."""

    id: str
    name: str
    status: str
    labels: Mapping[str, str]
    image_id: str = ""
    exit_code: int | None = None
    oom_killed: bool = False
    error: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    published_port: int | None = None
    raw: Mapping[str, Json] = field(default_factory=dict, repr=False, compare=False)

    @property
    def running(self) -> bool:
        return self.status == "running"


@dataclass
class Launched:
    """A started container with its attached stream.

    ``socket`` is non-blocking and ours alone: stdin, stdout and stderr for stdio (multiplexed engine frames of
    8-byte header + payload), stdout and stderr only for http. ``endpoint`` is the http URL on 127.0.0.1.
    """

    container_id: str
    socket: socket.socket
    endpoint: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)  # create, attach, start, and secrets where it took some


@dataclass(frozen=True)
class Stats:
    """One sample: CPU in percent of one core since the previous sample, bytes, counts."""

    at: str
    cpu_percent: float
    memory_bytes: int
    memory_limit: int
    pids: int
    rx_bytes: int = 0
    tx_bytes: int = 0
    cpu_s: float = 0.0  # used since the container was started


@dataclass(frozen=True)
class RuntimeHealth:
    """Whether the engine answers. ``version`` and ``api_version`` are empty when it does not."""

    reachable: bool
    version: str = ""
    api_version: str = ""
    detail: str = ""
    address: str = ""


@dataclass(frozen=True)
class RuntimeEvent:
    """Something happened to a container of this instance (start, die, oom, destroy, …)."""

    action: str
    container_id: str
    labels: Mapping[str, str]
    at: float


Progress = Callable[[float | None, str], None]
"""``progress(fraction or None, sentence)``; raises Cancelled when somebody cancelled the work."""


class Runtime(ABC):
    """Runs servers. Every method blocks at most its own deadline, is safe from any thread, and raises only
    Runtime*, ImageMissing, PullFailed, PolicyRefused, StartFailed, NotFound and Cancelled of ``mcpweb.errors``."""

    name: str

    @abstractmethod
    def health(self) -> RuntimeHealth:
        """Ask the engine once, within 2 s; never raises for an absent engine."""

    @abstractmethod
    def image(self, reference: str) -> ImageFacts:
        """Return facts of a local image. Raises ImageMissing."""

    @abstractmethod
    def history(self, reference: str) -> list[dict[str, Json]]:
        """Return how an image was made, newest step first, each with at least "CreatedBy". Raises ImageMissing."""

    @abstractmethod
    def pull(self, reference: str, progress: Progress, *, login: Sensitive | None = None) -> ImageFacts:
        """Fetch an image, with a sign-in ``user:password`` for its registry where there is one.

        Raises PullFailed with the reason (its code is ``pull_denied`` where the registry wants another sign-in), Cancelled;
        the sign-in shows in neither.
        """

    @abstractmethod
    def check(self, intent: ContainerIntent) -> None:
        """Raise PolicyRefused if the policy would not build this container; touches nothing."""

    @abstractmethod
    def launch(self, intent: ContainerIntent, *, progress: Progress | None = None) -> Launched:
        """Create, attach, start, hand over the secrets. On any failure nothing of it remains.

        Each secret goes its own way: ``stdin`` before the server is run, so that nobody sees it in the environment the
        engine knows; ``file`` read-only from this machine's memory at /run/secrets/<variable>, whose path the server
        finds under <variable>_FILE; ``environment`` for all to see. None of them shows in a failure.
        Raises ImageMissing, PolicyRefused, RuntimeConflict (foreign container has the name), StartFailed.
        A leftover of ours with the same name (same instance and server labels) is removed first.
        """

    @abstractmethod
    def attach(self, container_id: str) -> socket.socket:
        """Attach to stdout and stderr of a running container (adopting an http server after a restart)."""

    @abstractmethod
    def endpoint(self, state: ContainerState, config: ConfigData) -> str | None:
        """Return the URL on 127.0.0.1 under which an http server's container is reached, None for stdio."""

    @abstractmethod
    def inspect(self, container_id: str) -> ContainerState:
        """Return the state of one container, ``raw`` filled. Raises NotFound."""

    @abstractmethod
    def containers(self, instance: str) -> list[ContainerState]:
        """List all containers of this instance, running or not, in one cheap call."""

    @abstractmethod
    def stop(self, container_id: str, grace_s: float = 5.0) -> ContainerState | None:
        """Stop; return the last state, None if it was gone already."""

    @abstractmethod
    def remove(self, container_id: str) -> None:
        """Remove, by force if it runs; not an error if it is gone."""

    @abstractmethod
    def changes(self, container_id: str) -> list[FileChange]:
        """Return what differs from the image in a container's own file system. Raises NotFound."""

    @abstractmethod
    def processes(self, container_id: str) -> list[str]:
        """Return the command lines of what runs in a container, none when it has ended. Raises NotFound."""

    @abstractmethod
    def resident(self, container_id: str) -> int:
        """Return the bytes of memory that a container's processes have at this moment, 0 when it has ended. Raises NotFound."""

    @abstractmethod
    def stats(self, container_id: str, stop: Callable[[], bool], *, at_once: bool = False) -> Iterator[Stats]:
        """Yield about one sample a second until ``stop()`` or the container ends.

        ``at_once`` gives the first without waiting for a second to measure the CPU over.
        """

    @abstractmethod
    def events(self, instance: str, stop: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        """Yield events of this instance's containers until ``stop()``; raises RuntimeUnavailable when cut."""

    @abstractmethod
    def planted(self, instance: str) -> list[str]:
        """Return the volumes that were made for tests of this instance."""

    @abstractmethod
    def remove_planted(self, instance: str, name: str) -> None:
        """Remove a volume that was made for a test; not an error if it is gone. Raises RuntimeConflict while it is used."""

    def load_image(self, archive: Path) -> None:
        """Load an image archive made by ``docker save`` or the demo's builder. Raises InvalidInput where it cannot."""
        raise InvalidInput(f"The runtime {self.name} does not load image archives.")

    def save_image(self, reference: str, archive: Path) -> None:
        """Write a local image as an archive. Raises ImageMissing, InvalidInput where it cannot."""
        raise InvalidInput(f"The runtime {self.name} does not save images.")

    @abstractmethod
    def export_image(self, reference: str, stop: Callable[[], bool]) -> Iterator[bytes]:
        """Yield a local image as an archive (the layout of ``docker save`` or OCI) until ``stop()``. Raises ImageMissing."""

    @abstractmethod
    def cleanup(self, instance: str) -> None:
        """Remove networks of this instance that no container uses any more."""
