"""What a test type is, and what it gets to test a server with."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from mcpweb.contracts.configuration import ConfigData, Json
from mcpweb.contracts.material import FileChange, Frame, ImageFile, InputCase, Load, Neighbour, SavedCase
from mcpweb.contracts.pins import Pin, PinKind
from mcpweb.contracts.runtime import ContainerState, ImageFacts, Stats
from mcpweb.contracts.sink import Sink
from mcpweb.contracts.verdicts import Check, CheckResult


class Pending(ABC):
    """A request under way."""

    request_id: int | str
    """As on the wire."""

    @abstractmethod
    def result(self, *, deadline_s: float = 10) -> Json:
        """Wait for the raw result. Raises as ``TestSession.request``; after ServerTimeout it can be asked again."""

    @abstractmethod
    def cancel(self, reason: str = "") -> None:
        """Tell the server with notifications/cancelled, and do not wait any more. One that was answered stays so."""


class Watch(ABC):
    """Samples of one container, taken while it is open as a context manager: one at the start, about one a second, one
    at the end (which takes up to a second to come)."""

    @abstractmethod
    def samples(self) -> list[Stats]:
        """Return the samples so far, oldest first; the first one's CPU is 0, nothing was before it."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """Take the last sample and end."""


class TestSession(ABC):
    """A session with a container of its own, as a test sees it. Synchronous; every call has a deadline.

    No call outlasts the time of the test type: what is cut short by its end raises Cancelled, never ServerTimeout.
    """

    __test__ = False
    container_id: str
    era: Literal["handshake", "modern"]
    protocol: str
    server_info: Mapping[str, Json]
    capabilities: Mapping[str, Json]
    instructions: str
    timings_ms: Mapping[str, float]  # create, attach, start, ready (first answer), handshake
    canaries: Mapping[str, str]  # what was planted in place of each secret, by variable; empty where the real ones are
    silent_probe: bool  # the server left server/discover unanswered

    @property
    @abstractmethod
    def given_up(self) -> str:
        """Why the session was ended from our side (it sent too much), empty while it lives or when the server left."""

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
    def begin(self, method: str, params: Mapping[str, Json] | None = None) -> Pending:
        """Send a request and do not wait. Raises as ``request`` when it cannot be sent."""

    @abstractmethod
    def notify(self, method: str, params: Mapping[str, Json] | None = None) -> None:
        """Send a notification."""

    @abstractmethod
    def load(
        self, tool: str, arguments: Mapping[str, Json] | Sequence[Mapping[str, Json]], *, calls: int, concurrency: int = 1,
        deadline_s: float = 30,
    ) -> Load:
        """Call a tool many times, ``concurrency`` at once; a sequence of arguments is used in turn.

        A call that fails is a ``Timed`` like any other. Ends early, with fewer calls, when the session is over, when one
        caller waited three times in a row in vain, or when the time of the test type is up.
        """

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
    def watch(self) -> Watch:
        """Return what samples the container's CPU, memory and processes while it is open."""

    @abstractmethod
    def resident(self) -> int:
        """Return the bytes of memory that the container's processes have at this moment, 0 when it has ended."""

    @abstractmethod
    def changes(self) -> list[FileChange]:
        """Return what differs from the image in the container's own file system, 10,000 paths at most."""

    @abstractmethod
    def processes(self) -> list[str]:
        """Return the command lines of what runs in the container; none when it has ended."""

    @abstractmethod
    def stop(self, grace_s: float = 5.0) -> ContainerState | None:
        """Stop the container with SIGTERM, then by force; return its last state."""

    @abstractmethod
    def close(self) -> None:
        """End session and container; idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TestContext(ABC):
    """What a test type gets: the server under test and the ways to reach it. Do not keep it after the call."""

    __test__ = False
    server: Mapping[str, Json]  # id, name, image
    image: ImageFacts  # ``raw`` is all the runtime tells of it, and its steps under "History"
    approved_image_id: str | None  # the image id recorded when the server was first started
    config: ConfigData
    profile: Literal["quick", "full"]
    parameters: Mapping[str, Json]
    seed: int
    pinned: tuple[PinKind, ...]  # the lists that were approved, empty ones too
    baseline: Mapping[str, Json] | None  # image, image_id, configuration of what to compare with; None without one

    @abstractmethod
    def fresh(
        self, *, era: Literal["auto", "handshake", "modern", "none"] = "auto", deadline_s: float = 20,
        sink: Sink | None = None, canaries: bool = False, of: Literal["candidate", "baseline"] = "candidate",
        planted: Mapping[str, str] | None = None, **changes: Json,
    ) -> TestSession:
        """Start a new container and open a session; ``era="none"`` leaves the wire untouched.

        ``changes`` are fields of ConfigData to replace. With ``canaries`` the container has no network (one that speaks
        HTTP is still reached, and reaches nobody outside) and no real secret: each is replaced by a canary, which the
        session tells. Behind a ``sink`` the same, and the sink is its network; of those that speak HTTP one at a time can
        stand there, with its own port.
        ``of="baseline"`` starts what the run's parameters name to compare with; Unavailable when they name nothing.
        ``planted`` are files by absolute path that the server can read and not write; what the image has in their folders is
        hidden. Unavailable where they cannot be had.
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
    def running(self) -> list[ContainerState]:
        """Return the containers of this server that people use right now, ``raw`` filled; secrets are masked."""

    @abstractmethod
    def neighbours(self) -> list[Neighbour]:
        """Return the other servers of this installation with the tools they were last seen to have."""

    @abstractmethod
    def pins(self) -> list[Pin]:
        """Return what was approved of this server; nothing when nothing was approved yet."""

    @abstractmethod
    def as_pins(self, kind: PinKind, items: Sequence[Json]) -> list[Pin]:
        """Return what a list of raw definitions holds as it would be approved: named, secrets and canaries masked, and hashed.

        Two looks at the same thing have the same hash, whatever secret or canary stands in them, and so has its pin.
        Raises TestError for what is nested too deeply.
        """

    @abstractmethod
    def cases(self) -> list[SavedCase]:
        """Return the saved cases of this server that are in use."""

    @abstractmethod
    def image_files(self, wanted: Callable[[ImageFile], bool] | None = None) -> Iterator[ImageFile]:
        """Yield what the layers of the image hold; the archive is read once, in bounded time, and takes seconds.

        ``wanted`` decides by an entry without its data whether to look inside; without one ``is_interesting(path)`` does.
        Raises Unavailable, after the last file that could be read, when that was not all; stopping early does no harm.
        """

    @abstractmethod
    def floor(self, calls: int = 200) -> Load:
        """Return what the harness itself costs: calls in the same way to a peer that answers at once."""

    @abstractmethod
    def busy(self) -> str:
        """Return a sentence when the machine has so much else to do that what comes late says little of a server, else nothing.

        Ask when a clock would decide: such a violation is undecided then.
        """

    @abstractmethod
    def inputs(
        self, definition: Mapping[str, Json], *, valid: int = 10, invalid: int = 15,
        known: Mapping[str, Sequence[Json]] | None = None,
    ) -> list[InputCase]:
        """Return input for a tool made from its input schema, the same for the same ``seed``; see ``InputCase``.

        ``known`` are values seen in this server's results, by the name they had. Empty for a schema that is not usable.
        """

    @abstractmethod
    def shrink(
        self, arguments: Mapping[str, Json], fails: Callable[[dict[str, Json]], bool], *, most: int = 30
    ) -> dict[str, Json]:
        """Return smaller arguments for which ``fails`` still holds; it is asked at most ``most`` times."""

    @abstractmethod
    def schema_faults(self, schema: Json) -> list[str]:
        """Return why this is no usable JSON Schema (2020-12 or the dialect it declares); empty when it is sound. Offline."""

    @abstractmethod
    def value_faults(self, schema: Json, value: Json) -> list[str]:
        """Return where the value does not fit the schema, as ``/pointer: message``; empty when it fits.

        Raises TestError when that cannot be decided: the schema is unusable, or takes too long.
        """

    @abstractmethod
    def may_see_secrets(self, definition: Mapping[str, Json]) -> bool:
        """Tell whether a tool may be called where the real secrets and the configured network are.

        Only one that is marked readOnlyHint may, or any where the configuration allows active probes. Call all others in
        ``fresh(canaries=True)`` or behind the sink, and leave undecided what may have failed for that reason.
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
    """A kind of test. ``run`` is called in the run's own process and returns (or yields) results.

    While an ``exclusive`` one runs, no other run, rotation or retention does.
    """

    __test__ = False
    name: str
    title: str
    description: str
    checks: tuple[Check, ...]
    run: Callable[[TestContext], Iterable[CheckResult]]
    order: int = 100
    budget_s: Mapping[str, float] = field(default_factory=lambda: {"quick": 60.0, "full": 600.0})
    exclusive: bool = False
