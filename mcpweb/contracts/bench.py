"""What a test type is, and what it gets to test a server with."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcpweb.contracts.configuration import ConfigData, Json
from mcpweb.contracts.runtime import ContainerState, ImageFacts
from mcpweb.contracts.sink import Sink

Verdict = Literal["pass", "fail", "not_applicable", "undecided"]
Severity = Literal["info", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")
Confidence = Literal["certain", "firm", "tentative"]


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
    ``confidence`` is how far the evidence goes: *certain* was seen to happen, *firm* follows from facts that were seen,
    *tentative* is read from wording alone.
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
    confidence: Confidence = "certain"


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
    canaries: Mapping[str, str]  # behind a sinkhole: what was planted in place of each secret, by variable

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
        self, *, era: Literal["auto", "handshake", "modern", "none"] = "auto", deadline_s: float = 20,
        sink: Sink | None = None, **changes: Json,
    ) -> TestSession:
        """Start a new container and open a session; ``era="none"`` leaves the wire untouched.

        ``changes`` are fields of ConfigData to replace. Behind a ``sink`` the container has no other network and no real
        secret: each is replaced by a canary, which the session tells. Only stdio servers can stand there.
        Raises StartFailed, ServerExited, ServerTimeout, …; the exception's ``container`` attribute, if any, tells the last
        state, ``stderr`` the last words.
        The caller closes it (it is a context manager too); what stays open is closed after the run.
        """

    @abstractmethod
    def sink(self) -> Sink:
        """Start a sinkhole, the same one at every call; it ends with the test type.

        Raises Unavailable with the next step when its image cannot be had.
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
