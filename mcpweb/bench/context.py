"""What a test type holds in its hands: a server under test, fresh containers, sessions, plain HTTP."""
from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mcpweb.bench import floor as floors
from mcpweb.bench import imagefiles
from mcpweb.bench.allowance import Allowance
from mcpweb.bench.rows import readable
from mcpweb.bench.sinkhole.log import Sinkhole
from mcpweb.bench.sinkhole.relay import Relay
from mcpweb.bench.watching import Samples
from mcpweb.contracts import (
    ConfigData,
    ContainerState,
    FileChange,
    Frame,
    ImageFacts,
    ImageFile,
    InputCase,
    Json,
    Load,
    Neighbour,
    Pending,
    Pin,
    PinKind,
    SavedCase,
    Sink,
    TestContext,
    TestSession,
    TestType,
    Watch,
)
from mcpweb.errors import Failure, ServerExited, TestError
from mcpweb.mcp import calls
from mcpweb.mcp import session as sessions
from mcpweb.mcp.calls import load

if TYPE_CHECKING:
    from mcpweb.bench.child import Parent

HTTP_BYTES = 1 << 20
LISTING_S = 30.0
MOST_ARCHIVE_S = 120.0


class Session(TestSession):
    """A fresh container with its session; ends with the run at the latest."""

    def __init__(
        self, parent: Parent, launched: Mapping[str, Any], session: sessions.Session, allowance: Allowance,
        let_go: Callable[[], None],
    ) -> None:
        self._let_go = let_go
        self._parent = parent
        self._allowance = allowance
        self._session = session
        self._closed = False
        self.container_id = launched["container_id"]
        self.endpoint: str | None = launched["endpoint"]
        self.era = session.era  # type: ignore[assignment]
        self.protocol = session.protocol
        self.silent_probe = session.silent_probe
        self.server_info = session.server_info
        self.capabilities = session.capabilities
        self.instructions = session.instructions
        self.timings_ms = {**launched["timings_ms"], **session.timings_ms}
        self.canaries = launched["canaries"]

    def request(self, method: str, params: Mapping[str, Any] | None = None, *, deadline_s: float = 10) -> Any:
        with self._allowance.within(deadline_s) as seconds:
            return self._session.request(method, params, deadline_s=seconds)

    def listing(self, what: str) -> list[Any]:
        with self._allowance.within(LISTING_S) as seconds:
            return self._session.listing(what, deadline_s=seconds)

    def call(self, tool: str, arguments: Mapping[str, Any], *, deadline_s: float = 30) -> Any:
        with self._allowance.within(deadline_s) as seconds:
            return self._session.call(tool, arguments, deadline_s=seconds)

    def begin(self, method: str, params: Mapping[str, Any] | None = None) -> Pending:
        self._allowance.require()
        return UnderWay(calls.begin(self._session, method, params), self._allowance)

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        self._session.notify(method, params)

    def load(
        self, tool: str, arguments: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, calls: int, concurrency: int = 1,
        deadline_s: float = 30,
    ) -> Load:
        return load(
            self._session, tool, arguments, calls=calls, concurrency=concurrency, deadline_s=deadline_s,
            most_s=self._allowance.require(),
        )

    def send_raw(self, data: bytes | Mapping[str, Any]) -> None:
        self._session.send_raw(data)

    def frames(self) -> list[Frame]:
        return self._session.frames()

    def wait_frame(self, wanted: Callable[[Frame], bool], *, deadline_s: float) -> Frame | None:
        left = self._allowance.require()
        found = self._session.wait_frame(wanted, deadline_s=min(deadline_s, left))
        if found is None and deadline_s > left and self._session.ended is None:
            raise self._allowance.over()
        return found

    def bad_lines(self) -> list[bytes]:
        return self._session.bad_lines()

    def stderr(self) -> str:
        return self._session.stderr()

    @property
    def given_up(self) -> str:
        ended = self._session.ended
        return ended.sentence if ended is not None and ended.reason not in ("closed", "exited") else ""

    def close_stdin(self) -> None:
        self._session.close_stdin()

    def inspect(self) -> ContainerState:
        return ContainerState(**self._parent.ask("inspect", container_id=self.container_id)[0])

    def watch(self) -> Watch:
        return Samples(lambda: self._parent.ask("watch", container_id=self.container_id)[1][0])

    def resident(self) -> int:
        return int(self._parent.ask("resident", container_id=self.container_id)[0])

    def changes(self) -> list[FileChange]:
        return [FileChange(**change) for change in self._parent.ask("changes", container_id=self.container_id)[0]]

    def processes(self) -> list[str]:
        lines: list[str] = self._parent.ask("processes", container_id=self.container_id)[0]
        return lines

    def stop(self, grace_s: float = 5.0) -> ContainerState | None:
        state, _ = self._parent.ask("stop", container_id=self.container_id, grace_s=grace_s)
        return None if state is None else ContainerState(**state)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._session.close()
            self._let_go()


class UnderWay(Pending):
    """A request that was begun, waited for no longer than the test type lasts."""

    def __init__(self, pending: Pending, allowance: Allowance) -> None:
        self.request_id = pending.request_id
        self._pending = pending
        self._allowance = allowance

    def result(self, *, deadline_s: float = 10) -> Any:
        with self._allowance.within(deadline_s) as seconds:
            return self._pending.result(deadline_s=seconds)

    def cancel(self, reason: str = "") -> None:
        self._pending.cancel(reason)


class Context(TestContext):
    """One test type's context within a run."""

    def __init__(
        self, parent: Parent, request: Mapping[str, Any], offset: float, share: float, test_type: TestType
    ) -> None:
        self._parent = parent
        self._offset, self._share = offset, share
        self._allowance = Allowance(test_type.name, request["budget_s"] or test_type.budget_s.get(request["profile"], 60.0))
        self._open: list[Session] = []
        self._sink: Sinkhole | None = None
        self._type = test_type
        self.server = request["server"]
        image = request["image"]
        self.image = ImageFacts(**{**image, "entrypoint": tuple(image["entrypoint"]), "command": tuple(image["command"]),
                                   "exposed_ports": tuple(image["exposed_ports"])})
        self.approved_image_id = request["approved_image_id"]
        self.config = ConfigData.from_json(request["config"])
        self.profile = request["profile"]
        self.parameters = request["parameters"]
        self.seed = request["seed"]
        self.pinned = tuple(request["pinned"])
        self.baseline = request["baseline"]
        self._known = {name: request[name] for name in ("neighbours", "pins", "cases")}
        self.protocol = ""

    def fresh(
        self, *, era: str = "auto", deadline_s: float = 20, sink: Sink | None = None, canaries: bool = False,
        of: str = "candidate", planted: Mapping[str, str] | None = None, **changes: Any,
    ) -> Session:
        with self._allowance.within(deadline_s) as seconds:
            wanted = {"sink": sink.container_id if sink else "", "canaries": canaries, "of": of, "planted": dict(planted or {})}
            return self._fresh(era, seconds, {**wanted, "changes": changes})

    def _fresh(self, era: str, deadline_s: float, wanted: Mapping[str, Any]) -> Session:
        launched, fds = self._parent.ask("launch", **wanted)
        sock, beside = socket.socket(fileno=fds[0]), [socket.socket(fileno=fd) for fd in fds[1:]]
        carrier: Relay | None = None
        noted: list[bytes] = []
        try:
            if beside:
                carrier = Relay(beside[0])
                launched["endpoint"] = f"http://127.0.0.1:{carrier.port}{launched['endpoint']}"
            if launched["endpoint"] is None:
                opened = sessions.open_stdio(sock, era=era, deadline_s=deadline_s, on_stderr=noted.append)
            else:
                opened = sessions.open_http(
                    launched["endpoint"], sock, era=era, deadline_s=deadline_s, on_stderr=noted.append
                )
        except Failure as failure:
            # a server that was given up on ends because we hung up, which says nothing about it
            ended = isinstance(failure, ServerExited)
            failure.container = self._last_state(launched["container_id"]) if ended else None  # type: ignore[attr-defined]
            failure.stderr = b"".join(noted)[-4000:].decode(errors="replace")  # type: ignore[attr-defined]
            self._let_go(launched, carrier)
            raise
        session = Session(self._parent, launched, opened, self._allowance, lambda: self._let_go(launched, carrier))
        self.protocol = self.protocol or session.protocol
        self._open.append(session)
        return session

    def _let_go(self, launched: Mapping[str, Any], carrier: Relay | None) -> None:
        if carrier is not None:
            carrier.close()
        for container_id in (launched["container_id"], launched.get("relay")):
            if container_id is not None:
                with contextlib.suppress(Failure):
                    self._parent.ask("remove", container_id=container_id)

    def sink(self) -> Sink:
        if self._sink is None:
            started, fds = self._parent.ask("sink")
            self._sink = Sinkhole(started["container_id"], socket.socket(fileno=fds[0]), started["secret"])
        return self._sink

    def running(self) -> list[ContainerState]:
        return [ContainerState(**state) for state in self._parent.ask("running")[0]]

    def neighbours(self) -> list[Neighbour]:
        return [Neighbour(one["server"], tuple(one["definitions"])) for one in self._known["neighbours"]]

    def pins(self) -> list[Pin]:
        return [Pin(**one) for one in self._known["pins"]]

    def as_pins(self, kind: PinKind, items: Sequence[Json]) -> list[Pin]:
        try:
            told, _ = self._parent.ask("as_pins", kind=kind, items=json.dumps([*items]))
            return [Pin(kind, one["name"], one["hash"], one["definition"]) for one in json.loads(told)]
        except RecursionError:
            raise TestError("What the server lists is nested too deeply.") from None

    def cases(self) -> list[SavedCase]:
        return [SavedCase(**{**one, "assertions": tuple(one["assertions"])}) for one in self._known["cases"]]

    def image_files(self, wanted: Callable[[ImageFile], bool] | None = None) -> Iterator[ImageFile]:
        sock = socket.socket(fileno=self._parent.ask("image_files")[1][0])
        until = time.monotonic() + min(max(self.remaining_s(), 0.0), MOST_ARCHIVE_S)
        with sock, sock.makefile("rb", buffering=1 << 20) as archive:

            def read(size: int) -> bytes:
                sock.settimeout(max(until - time.monotonic(), 0.01))
                try:
                    return bytes(archive.read(size))
                except TimeoutError:
                    raise imagefiles.Unreadable("The image's archive did not come in time.", code="image_too_large") from None

            yield from imagefiles.image_files(read, wanted, most_s=until - time.monotonic())

    def floor(self, calls: int = 200) -> Load:
        return floors.floor(calls, most_s=self.remaining_s())

    def busy(self) -> str:
        return floors.busy()

    def inputs(
        self, definition: Mapping[str, Any], *, valid: int = 10, invalid: int = 15,
        known: Mapping[str, Sequence[Any]] | None = None,
    ) -> list[InputCase]:
        from mcpweb.bench import inputs

        return inputs.cases(definition, seed=self.seed, valid=valid, invalid=invalid, known=known)

    def shrink(
        self, arguments: Mapping[str, Any], fails: Callable[[dict[str, Any]], bool], *, most: int = 30
    ) -> dict[str, Any]:
        from mcpweb.bench import inputs

        return inputs.shrink(arguments, fails, most=most)

    def schema_faults(self, schema: Any) -> list[str]:
        from mcpweb.bench import inputs

        return inputs.schema_faults(schema)

    def value_faults(self, schema: Any, value: Any) -> list[str]:
        from mcpweb.bench import inputs

        return inputs.value_faults(schema, value)

    def may_see_secrets(self, definition: Mapping[str, Any]) -> bool:
        annotations = definition.get("annotations")
        marked = isinstance(annotations, Mapping) and annotations.get("readOnlyHint") is True
        return marked or self.config.active_probes

    def _last_state(self, container_id: str) -> ContainerState | None:
        state = None
        with contextlib.suppress(Failure):
            for _ in range(10):
                state = ContainerState(**self._parent.ask("inspect", container_id=container_id)[0])
                if not state.running:
                    break
                time.sleep(0.05)
        return state

    def http(
        self, session: TestSession, method: str, *, headers: Mapping[str, str], body: bytes = b"", deadline_s: float = 10
    ) -> tuple[int, Mapping[str, str], bytes]:
        endpoint = getattr(session, "endpoint", None)
        if endpoint is None:
            raise TestError("The server does not speak HTTP.")
        parts = urlsplit(endpoint)
        left = self._allowance.require()
        seconds, cut = min(deadline_s, left), deadline_s > left
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=seconds)
        slow = threading.Timer(seconds, _hang_up, (connection,))  # a timeout of http.client is one for each read
        slow.daemon = True
        slow.start()
        try:
            connection.request(method, parts.path or "/", body=body or None, headers=dict(headers))
            response = connection.getresponse()
            kind = response.getheader("Content-Type", "")
            data = response.read1(HTTP_BYTES) if "event-stream" in kind else response.read(HTTP_BYTES)
            if not slow.is_alive():
                if cut:
                    raise self._allowance.over()
                raise TestError(f"The HTTP answer did not end within {deadline_s:g} s.")
            return response.status, {name.lower(): value for name, value in response.getheaders()}, data
        except (OSError, http.client.HTTPException) as error:
            if cut and self._allowance.left() <= 0:
                raise self._allowance.over() from None
            raise TestError(f"The HTTP request failed: {type(error).__name__}.") from error
        finally:
            slow.cancel()
            connection.close()

    def progress(self, fraction: float | None, message: str) -> None:
        self._allowance.require()
        total = None if fraction is None else self._offset + self._share * fraction
        self._parent.tell("progress", fraction=total, message=readable(f"{self._type.title}: {message}"))

    def remaining_s(self) -> float:
        return self._allowance.left()

    def close_all(self) -> None:
        for session in self._open:
            session.close()
        if self._sink is not None:
            self._sink.close()
            with contextlib.suppress(Failure):
                self._parent.ask("remove", container_id=self._sink.container_id)


def _hang_up(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
