"""The shapes plugins and core exchange: what a runtime, a test type, an actor and a page extension must be.

Everything here is plain data or an abstract class; nothing here imports Docker, MCP, Flask or SQLite.
"""
from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mcpweb.errors import InvalidInput

Json = Any
Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")


# Who asks


@dataclass(frozen=True)
class Actor:
    """Who asked: a person, a token, the local command line, or the system itself.

    ``name`` is what rows keep (``user:usr_…``, ``token:tok_…``, ``cli:root``, ``system:worker``).
    """

    name: str
    role: Role
    label: str = ""
    session_id: str = ""
    csrf_key: bytes = field(default=b"", repr=False)
    via: Literal["session", "token", "cli", "system"] = "system"
    user_id: str = ""

    @classmethod
    def cli(cls, os_user: str) -> Actor:
        return cls(name=f"cli:{os_user}", role="admin", label=os_user, via="cli")

    @classmethod
    def system(cls, part: str) -> Actor:
        return cls(name=f"system:{part}", role="admin", label=part, via="system")

    def has(self, role: Role) -> bool:
        """Tell whether this actor's role includes ``role``."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Sensitive:
    """A value that does not print, compare as text, pickle or serialise; ``reveal()`` is the only way in."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "<sensitive>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<sensitive>"

    def __reduce__(self) -> str:
        raise TypeError("a sensitive value cannot be pickled")

    def __len__(self) -> int:
        return len(self._value)


# Settings


@dataclass(frozen=True)
class Setting:
    """A knob of this application. ``secret`` ones also come from ``<NAME>_FILE``."""

    name: str
    default: str
    help: str
    secret: bool = False


# Configuration of a server (the JSON in configurations.config_data, CONTRACT §4)


@dataclass(frozen=True)
class Mount:
    type: Literal["bind", "volume"]
    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Limits:
    memory_mb: int = 512
    cpus: float = 1.0
    pids: int = 256


@dataclass(frozen=True)
class ConfigData:
    """The settings document of one configuration; defaults are the hardened ones."""

    transport: Literal["stdio", "http"] = "stdio"
    port: int | None = None
    path: str = "/mcp"
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    network: Literal["none", "published", "outbound"] = "none"
    mounts: tuple[Mount, ...] = ()
    tmpfs: Mapping[str, str] = field(default_factory=lambda: {"/tmp": "64m"})  # noqa: S108 - a path inside
    limits: Limits = Limits()
    read_only_root: bool = True
    capabilities: tuple[str, ...] = ()
    user: str | None = None
    tools: tuple[str, ...] | None = None
    active_probes: bool = False

    def to_json(self) -> dict[str, Json]:
        """Return the document as CONTRACT §4 writes it."""
        return {
            "transport": self.transport,
            "port": self.port,
            "path": self.path,
            "entrypoint": None if self.entrypoint is None else list(self.entrypoint),
            "command": None if self.command is None else list(self.command),
            "environment": dict(self.environment),
            "network": self.network,
            "mounts": [
                {"type": m.type, "source": m.source, "target": m.target, "read_only": m.read_only}
                for m in self.mounts
            ],
            "tmpfs": dict(self.tmpfs),
            "limits": {
                "memory_mb": self.limits.memory_mb,
                "cpus": self.limits.cpus,
                "pids": self.limits.pids,
            },
            "read_only_root": self.read_only_root,
            "capabilities": list(self.capabilities),
            "user": self.user,
            "tools": None if self.tools is None else list(self.tools),
            "active_probes": self.active_probes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> ConfigData:
        """Build from a *validated* document (schemas/configurations.py); absent keys take the defaults."""
        known = dict(data)
        for name in ("entrypoint", "command", "tools"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        if "capabilities" in known:
            known["capabilities"] = tuple(known["capabilities"])
        if "mounts" in known:
            known["mounts"] = tuple(Mount(**m) for m in known["mounts"])
        if "limits" in known:
            known["limits"] = Limits(**known["limits"])
        return cls(**known)


# Runtime


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
    timings_ms: dict[str, float] = field(default_factory=dict)  # create, attach, start


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
    def pull(self, reference: str, progress: Progress) -> ImageFacts:
        """Fetch an image. Raises PullFailed with the reason, Cancelled."""

    @abstractmethod
    def check(self, intent: ContainerIntent) -> None:
        """Raise PolicyRefused if the policy would not build this container; touches nothing."""

    @abstractmethod
    def launch(self, intent: ContainerIntent, *, progress: Progress | None = None) -> Launched:
        """Create, attach, start. On any failure nothing of it remains.

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
    def stats(self, container_id: str, stop: Callable[[], bool]) -> Iterator[Stats]:
        """Yield about one sample a second until ``stop()`` or the container ends."""

    @abstractmethod
    def events(self, instance: str, stop: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        """Yield events of this instance's containers until ``stop()``; raises RuntimeUnavailable when cut."""

    def load_image(self, archive: Path) -> None:
        """Load an image archive made by ``docker save`` or the demo's builder. Raises InvalidInput where it cannot."""
        raise InvalidInput(f"The runtime {self.name} does not load image archives.")

    def save_image(self, reference: str, archive: Path) -> None:
        """Write a local image as an archive. Raises ImageMissing, InvalidInput where it cannot."""
        raise InvalidInput(f"The runtime {self.name} does not save images.")

    @abstractmethod
    def cleanup(self, instance: str) -> None:
        """Remove networks of this instance that no container uses any more."""


# Test types

Verdict = Literal["pass", "fail", "not_applicable", "undecided"]
Severity = Literal["info", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")


@dataclass(frozen=True)
class Check:
    """One promise a test type holds a server to; ``severity`` counts when it fails."""

    id: str
    title: str
    severity: Severity
    description: str = ""


@dataclass(frozen=True)
class CheckResult:
    """The verdict of one check on one tool (``*`` for the server as a whole).

    ``input`` is the exact request that can be sent again, ``evidence`` what was seen, ``summary`` one sentence
    for people, ``next_step`` what they can do. ``timed_out`` marks a fail or undecided without a reply.
    """

    check_id: str
    verdict: Verdict
    summary: str
    tool: str = "*"
    severity: Severity | None = None
    evidence: Mapping[str, Json] = field(default_factory=dict)
    input: Json = None
    duration_ms: float | None = None
    timed_out: bool = False
    next_step: str = ""


@dataclass(frozen=True)
class TestOutcome:
    """All verdicts of one test type in one run."""

    __test__ = False
    results: tuple[CheckResult, ...]


@dataclass(frozen=True)
class Frame:
    """One protocol line or message as seen on the wire. ``at`` is time.monotonic_ns(); ``data`` is raw, capped."""

    at: int
    direction: Literal["sent", "received"]
    size: int
    data: bytes
    message: Json = None  # the decoded JSON, None when it is not JSON


class TestSession(ABC):
    """A session with a container of its own, as a test sees it. Synchronous; every call has a deadline."""

    __test__ = False
    container_id: str
    era: Literal["handshake", "modern"]
    protocol: str
    server_info: Mapping[str, Json]
    capabilities: Mapping[str, Json]
    instructions: str
    timings_ms: Mapping[str, float]  # create, attach, start, ready (first answer), handshake

    @abstractmethod
    def request(self, method: str, params: Mapping[str, Json] | None = None, *, deadline_s: float = 10) -> Json:
        """Send a request through the dispatcher and return the raw result. Raises RpcError, ServerTimeout, ServerExited."""

    @abstractmethod
    def listing(self, what: Literal["tools", "resources", "resourceTemplates", "prompts"]) -> list[Json]:
        """Walk all pages of a list and return the raw items (at most 100 pages)."""

    @abstractmethod
    def call(self, tool: str, arguments: Mapping[str, Json], *, deadline_s: float = 30) -> Json:
        """Call a tool and return the raw result, ``isError`` ones too."""

    @abstractmethod
    def send_raw(self, data: bytes | Mapping[str, Json]) -> None:
        """Write bytes (or a message as one line) to the server as they are."""

    @abstractmethod
    def frames(self) -> list[Frame]:
        """Return all frames so far, oldest first."""

    @abstractmethod
    def wait_frame(self, wanted: Callable[[Frame], bool], *, deadline_s: float) -> Frame | None:
        """Return the first received frame (old ones count) that fits, None after the deadline."""

    @abstractmethod
    def bad_lines(self) -> list[bytes]:
        """Return what came on stdout and was not a JSON-RPC message (first 20, each cut at 500 bytes)."""

    @abstractmethod
    def stderr(self) -> str:
        """Return the tail of what the server wrote to stderr."""

    @abstractmethod
    def close_stdin(self) -> None:
        """End the server's input, as a client does that goes away."""

    @abstractmethod
    def inspect(self) -> ContainerState:
        """Ask the runtime for the container's state."""

    @abstractmethod
    def stop(self, grace_s: float = 5.0) -> ContainerState | None:
        """Stop the container with SIGTERM, then by force; return its last state."""

    @abstractmethod
    def close(self) -> None:
        """End session and container; idempotent."""


class TestContext(ABC):
    """What a test type gets: the server under test and the ways to reach it. Do not keep it after the call."""

    __test__ = False
    server: Mapping[str, Json]  # id, name, image
    image: ImageFacts
    approved_image_id: str | None  # the image id recorded when the server was first started
    config: ConfigData
    profile: Literal["quick", "full"]
    parameters: Mapping[str, Json]
    seed: int

    @abstractmethod
    def fresh(
        self, *, era: Literal["auto", "handshake", "modern", "none"] = "auto", deadline_s: float = 20, **changes: Json
    ) -> TestSession:
        """Start a new container and open a session; ``era="none"`` leaves the wire untouched.

        ``changes`` are fields of ConfigData to replace. Raises StartFailed, ServerExited, ServerTimeout, …;
        the exception's ``container`` attribute, if any, tells the last state, ``stderr`` the last words.
        The caller closes it (it is a context manager too); what stays open is closed after the run.
        """

    @abstractmethod
    def http(
        self, session: TestSession, method: str, *, headers: Mapping[str, str], body: bytes = b"", deadline_s: float = 10
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one plain HTTP request to the server's own endpoint; status, lower-case headers, body (capped)."""

    @abstractmethod
    def progress(self, fraction: float | None, message: str) -> None:
        """Tell how far the test is. Raises Cancelled."""

    @abstractmethod
    def remaining_s(self) -> float:
        """Return how many seconds of the budget are left."""


@dataclass(frozen=True)
class TestType:
    """A kind of test. ``run`` is called in the run's own process and returns (or yields) results."""

    __test__ = False
    name: str
    title: str
    description: str
    checks: tuple[Check, ...]
    run: Callable[[TestContext], Iterable[CheckResult]]
    order: int = 100
    budget_s: Mapping[str, float] = field(default_factory=lambda: {"quick": 60.0, "full": 600.0})


# Pages


@dataclass(frozen=True)
class Link:
    """An entry a plugin adds to the navigation."""

    title: str
    url: str
    permission: str = "server.view"


@dataclass(frozen=True)
class Panel:
    """A box a plugin adds to a server's page; ``template`` is reached as ``<plugin name>/…``."""

    title: str
    template: str
    context: Mapping[str, Json] = field(default_factory=dict)
