"""FakeRuntime: a runtime without an engine, honest enough to pass RuntimeContract.

Its containers are threads. Their stdio is a socket with the engine's frames (8-byte header, payload), their http a
server on 127.0.0.1; what they say is a Python function from line to lines.
"""
from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mcpweb import clock
from mcpweb.contracts import (
    ConfigData,
    ContainerIntent,
    ContainerState,
    ImageFacts,
    Launched,
    Progress,
    Runtime,
    RuntimeEvent,
    RuntimeHealth,
    Stats,
)
from mcpweb.errors import (
    ImageMissing,
    NotFound,
    PolicyRefused,
    PullFailed,
    RuntimeConflict,
    RuntimeUnavailable,
    StartFailed,
)
from mcpweb.testing.tinyserver import Behaviour, ServerEnds, tiny_server

STDOUT, STDERR = 1, 2
_CAPABILITIES = {"CHOWN", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}


def frame(stream: int, data: bytes) -> bytes:
    """Return one frame of the engine's multiplexed stream."""
    return struct.pack(">BxxxI", stream, len(data)) + data


@dataclass(frozen=True)
class FakeImage:
    """What a fake image does. ``behaviour`` makes the function that serves one container of it.

    ``greeting`` goes to stderr first; ``start_failure`` refuses the start; ``exit_code`` ends the server at once.
    """

    facts: ImageFacts
    behaviour: Callable[[ContainerIntent], Behaviour]
    greeting: bytes = b""
    start_failure: str = ""
    exit_code: int | None = None


class FakeRuntime(Runtime):
    """Runs fake servers in threads. ``away`` makes the engine unreachable, ``calls`` lists every method used."""

    name = "fake"

    def __init__(self, *, bind_roots: tuple[Path, ...] = (), sample_s: float = 1.0) -> None:
        self.away = False
        self.calls: list[str] = []
        self.registry: dict[str, FakeImage] = {}  # what ``pull`` can fetch
        self._images: dict[str, FakeImage] = {}
        self._containers: dict[str, _Container] = {}
        self._events: list[RuntimeEvent] = []
        self._changed = threading.Condition()
        self._roots = bind_roots
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
        image = FakeImage(facts, behaviour or (lambda intent: tiny_server()), **more)
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

    def pull(self, reference: str, progress: Progress) -> ImageFacts:
        self._ask("pull")
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

    def launch(self, intent: ContainerIntent, *, progress: Progress | None = None) -> Launched:
        self._ask("launch")
        self.check(intent)
        image = self._image(intent.image)
        if progress is not None:
            progress(None, "Creating the container")
        with self._changed:
            self._make_room(intent)
            container = _Container(intent, image, self._tell)
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
        state = self._container(container_id).state()
        return replace(state, raw={"Id": state.id, "State": {"Status": state.status}, "HostConfig": {}})

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

    def stats(self, container_id: str, stop: Callable[[], bool]) -> Iterator[Stats]:
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

    def _container(self, container_id: str) -> _Container:
        for container in list(self._containers.values()):
            if container_id in (container.id, container.intent.name):
                return container
        raise NotFound(f"There is no container {container_id}.")

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

    def _tell(self, action: str, container: _Container) -> None:
        with self._changed:
            self._events.append(RuntimeEvent(action, container.id, container.labels, time.time()))
            self._changed.notify_all()


class _Container:
    def __init__(self, intent: ContainerIntent, image: FakeImage, tell: Callable[[str, _Container], None]) -> None:
        self.id = secrets.token_hex(32)
        self.intent = intent
        self.ended = threading.Event()
        self._image = image
        self._tell = tell
        self._behaviour = image.behaviour(intent)
        self._ours: list[socket.socket] = []
        self._lock = threading.RLock()
        self._talking = threading.Lock()
        self._http: ThreadingHTTPServer | None = None
        self._state = ContainerState(self.id, intent.name, "created", self.labels, image.facts.id)

    @property
    def labels(self) -> Mapping[str, str]:
        return {
            **self.intent.labels,
            "mcpweb.instance": self.intent.instance,
            "mcpweb.server_id": self.intent.server_id,
            "mcpweb.server": self.intent.server,
            "mcpweb.role": self.intent.role,
            "mcpweb.config_hash": self.intent.config_hash,
        }

    @property
    def running(self) -> bool:
        return self._state.status == "running"

    def state(self) -> ContainerState:
        return self._state

    def attach(self) -> socket.socket:
        """Return the client's end of a new stream."""
        theirs, ours = socket.socketpair()
        theirs.setblocking(False)
        with self._lock:
            self._ours.append(ours)
            if self.ended.is_set():
                ours.close()
        return theirs

    def endpoint(self) -> str | None:
        if self._http is None:
            return None
        return f"http://127.0.0.1:{self._http.server_address[1]}{self.intent.config.path}"

    def start(self) -> None:
        self._state = replace(self._state, status="running", started_at=clock.now())
        if self.intent.config.transport == "http":
            self._http = _http_server(self)
            self._state = replace(self._state, published_port=self._http.server_address[1])
        self._tell("start", self)
        self._say(STDERR, self._image.greeting)
        if self._image.exit_code is not None:
            self.end(self._image.exit_code)
        elif self._http is None:
            threading.Thread(target=self._serve, args=(self._ours[0],), name="fake server", daemon=True).start()

    def end(self, exit_code: int, *, oom: bool = False) -> None:
        """End the server's process; the first end counts."""
        with self._lock:
            if self.ended.is_set():
                return
            self.ended.set()
            ran = self.running
            self._state = replace(
                self._state, status="exited", exit_code=exit_code, oom_killed=oom, finished_at=clock.now(),
                published_port=None,
            )  # fmt: skip
            for sock in self._ours:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
        if ran:
            self._tell("die", self)

    def answer(self, line: bytes) -> list[bytes]:
        """Let the behaviour answer one line; it may end the server."""
        try:
            return list(self._behaviour(line))
        except ServerEnds as end:
            self._say(STDERR, end.stderr)
            threading.Thread(target=self.end, args=(end.exit_code,), kwargs={"oom": end.oom}).start()
            self.ended.wait(5)
            return []

    def _serve(self, sock: socket.socket) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while data := sock.recv(65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    for answer in self.answer(line):
                        self._say(STDOUT, answer + b"\n")
        self.end(0)

    def _say(self, stream: int, data: bytes) -> None:
        if not data:
            return
        with self._talking:  # not the other lock: a reader that does not read must not hold up the end
            for sock in list(self._ours):
                with contextlib.suppress(OSError):
                    for start in range(0, len(data), 32768):
                        sock.sendall(frame(stream, data[start : start + 32768]))


def _http_server(container: _Container) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path != container.intent.config.path:
                self._reply(404, b"{}")
                return
            answers = container.answer(body)
            self._reply(200 if answers else 202, answers[0] if answers else b"")

        def do_GET(self) -> None:
            self._reply(405, b"")

        do_DELETE = do_GET

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if body:
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the fake has no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


__all__ = ["FakeImage", "FakeRuntime", "ServerEnds", "frame", "tiny_server"]
