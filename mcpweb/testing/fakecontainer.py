"""One container of the fake runtime: a thread that serves a socket, or an http server on 127.0.0.1."""
from __future__ import annotations

import contextlib
import io
import json
import secrets
import socket
import struct
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mcpweb import clock
from mcpweb.contracts import ContainerIntent, ContainerState, FileChange, ImageFacts, Json
from mcpweb.testing.tinyserver import Behaviour, ServerEnds

STDOUT, STDERR = 1, 2


def frame(stream: int, data: bytes) -> bytes:
    """Return one frame of the engine's multiplexed stream."""
    return struct.pack(">BxxxI", stream, len(data)) + data


def given(intent: ContainerIntent) -> dict[str, tuple[str, str]]:
    """Return what a server is given: a variable's place ("environment" or "file") and value."""
    found = {name: ("environment", value) for name, value in intent.config.environment.items()}
    for secret in intent.secrets:
        place = "file" if secret.way == "file" else "environment"
        found[secret.variable] = (place, secret.value.reveal())
    return found


def shown(intent: ContainerIntent) -> dict[str, Json]:
    """Return what anybody who may look at the container sees of its environment."""
    told: dict[str, str] = {**intent.config.environment}
    for secret in intent.secrets:
        told.pop(secret.variable, None)
        if secret.way == "environment":
            told[secret.variable] = secret.value.reveal()
        elif secret.way == "file":
            told[f"{secret.variable}_FILE"] = f"/run/secrets/{secret.variable}"
    return {"Env": [f"{name}={value}" for name, value in told.items()]}


@dataclass(frozen=True)
class FakeImage:
    """What a fake image does. ``behaviour`` makes the function that serves one container of it.

    ``greeting`` goes to stderr first; ``start_failure`` refuses the start; ``exit_code`` ends the server at once.
    ``layers`` are its files by path, oldest layer first.
    """

    facts: ImageFacts
    behaviour: Callable[[ContainerIntent], Behaviour]
    greeting: bytes = b""
    start_failure: str = ""
    exit_code: int | None = None
    layers: tuple[Mapping[str, bytes], ...] = ({"etc/os-release": b"ID=fake\n"},)


def archive(image: FakeImage) -> bytes:
    """Return the image as ``docker save`` writes it."""
    names = [f"{number}/layer.tar" for number, _ in enumerate(image.layers)]
    files = {name: _tar(layer) for name, layer in zip(names, image.layers, strict=True)}
    manifest = [{"Config": "config.json", "RepoTags": [image.facts.reference], "Layers": names}]
    return _tar({**files, "config.json": b"{}", "manifest.json": json.dumps(manifest).encode()})


def _tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


class FakeContainer:
    """One fake container: a thread or an http server, and the state it is seen in."""

    def __init__(self, intent: ContainerIntent, image: FakeImage, tell: Callable[[str, FakeContainer], None]) -> None:
        self.id = secrets.token_hex(32)
        self.intent = intent
        self.ended = threading.Event()
        self.changes: list[FileChange] = []  # what a test says it changed
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

    def processes(self) -> list[tuple[str, ...]]:
        """Return what runs in it: its own program as long as it lives."""
        config = self.intent.config
        words = (*(config.entrypoint or self._image.facts.entrypoint), *(config.command or self._image.facts.command))
        return [words] if self.running else []

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


def _http_server(container: FakeContainer) -> ThreadingHTTPServer:
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
