"""The way to an HTTP server behind a sinkhole: a port of ours on loopback, and a relay that stands beside the server."""
from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from pathlib import Path

from mcpweb.contracts import ConfigData, Limits
from mcpweb.errors import Unavailable
from mcpweb.mcp.streams import Demultiplexer

PROGRAM = Path(__file__).with_name("relay_program.py")
READY_S = 15.0
STUCK_S = 10.0  # how long a reader of ours may take before its connection is given up
MOST_CONNECTIONS = 256
_HEAD = struct.Struct("!IBI")
_OPEN, _DATA, _CLOSE = range(3)


def config(port: int) -> ConfigData:
    """Return how the relay runs."""
    return ConfigData(
        entrypoint=("python3", "-S", "-u", "-c", PROGRAM.read_text(), str(port)), command=(), user="65534:65534", tmpfs={},
        limits=Limits(memory_mb=96, cpus=1, pids=512),
    )


class Relay:
    """Listens on loopback; each connection comes out in the network of the server. Raises Unavailable."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.setblocking(True)
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[int, socket.socket] = {}
        self._ready = threading.Event()
        self._over = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        for work, name in ((self._read, "relay"), (self._accept, "relay port")):
            threading.Thread(target=work, name=name, daemon=True).start()
        if not self._ready.wait(READY_S) or self._over:
            self.close()
            raise Unavailable("The way to the server behind the sinkhole could not be opened.", code="relay_unavailable")

    def close(self) -> None:
        """End it and every connection; idempotent."""
        self._over = True
        for sock in (self._listener, self._sock, *list(self._open.values())):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over:
                client, _ = self._listener.accept()
                if len(self._open) >= MOST_CONNECTIONS:
                    client.close()
                    continue
                number = next(self._numbers)
                client.settimeout(STUCK_S)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open[number] = client
                self._tell(number, _OPEN)
                threading.Thread(target=self._carry, args=(number, client), name="relay connection", daemon=True).start()

    def _carry(self, number: int, client: socket.socket) -> None:
        """Take what a client of ours says to the server, until it is done or given up."""
        with contextlib.suppress(OSError):
            while True:
                try:
                    data = client.recv(32768)
                except TimeoutError:
                    if number in self._open:
                        continue
                    break
                if not data:
                    break
                self._tell(number, _DATA, data)
        with contextlib.suppress(OSError):
            self._tell(number, _CLOSE)
        self._drop(number)

    def _tell(self, number: int, kind: int, data: bytes = b"") -> None:
        with self._sending:
            self._sock.sendall(_HEAD.pack(number, kind, len(data)) + data)

    def _drop(self, number: int) -> None:
        client = self._open.pop(number, None)
        if client is not None:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def _read(self) -> None:
        streams, rest = Demultiplexer(), b""
        with contextlib.suppress(OSError, ValueError):
            while data := self._sock.recv(1 << 16):
                rest += b"".join(piece for stream, piece in streams.feed(data) if stream == 1)
                while len(rest) >= _HEAD.size:
                    number, kind, length = _HEAD.unpack_from(rest)
                    end = _HEAD.size + length
                    if len(rest) < end:
                        break
                    self._take(number, kind, rest[_HEAD.size:end])
                    rest = rest[end:]
        self._over = True
        self._ready.set()
        for number in list(self._open):
            self._drop(number)

    def _take(self, number: int, kind: int, data: bytes) -> None:
        if kind == _OPEN:
            self._ready.set()
            return
        client = self._open.get(number)
        if kind == _DATA and client is not None:
            try:
                client.sendall(data)
            except OSError:
                self._drop(number)
        elif kind == _CLOSE:
            self._drop(number)
