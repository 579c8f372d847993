"""A proxy before the engine's socket that misbehaves on demand, in the ways engines and networks do."""
from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from pathlib import Path

MODES = ("refuse", "hang", "garbage", "502", "half JSON", "truncated", "drip", "drop")


class FaultProxy:
    """Listens on ``path``. ``mode`` is "pass", one of MODES, or "swallow" (the request arrives, the answer does not).

    ``only`` narrows a mode to requests whose first line it matches; all others pass.
    """

    def __init__(self, path: Path, upstream: str) -> None:
        self.path = path
        self.mode = "pass"
        self.only: re.Pattern[bytes] | None = None
        self.requests: list[bytes] = []
        self.sent: list[bytes] | None = None  # set it, and all that clients send is kept
        self._upstream = upstream
        self._open: list[socket.socket] = []
        self._guard = threading.Lock()
        self._listener: socket.socket | None = None
        self.listen()

    @property
    def address(self) -> str:
        return f"unix://{self.path}"

    def listen(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def set(self, mode: str, only: str = "") -> None:
        """Misbehave from now on; refusing leaves the socket's file and nobody behind it."""
        self.mode = mode
        self.only = re.compile(only.encode()) if only else None
        if mode == "refuse":
            self._stop_listening()
        elif self._listener is None:
            self.listen()

    def cut(self) -> None:
        """Break all connections, as an engine does that is killed."""
        with self._guard:
            sockets, self._open = self._open, []
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._stop_listening()
        self.cut()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._guard:
                self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            line = head.partition(b"\r\n")[0]
            self.requests.append(line)
            mode = self.mode if self.only is None or self.only.search(line) else "pass"
            if mode in ("pass", "swallow"):
                self._pass(client, head, answer=mode == "pass")
            else:
                self._misbehave(client, mode)

    def _misbehave(self, client: socket.socket, mode: str) -> None:
        if mode == "hang":
            while client.recv(65536):
                pass
        elif mode == "garbage":
            client.sendall(b"\x16\x03\x01 this is not HTTP at all \xff\xfe\r\n\r\n" * 20)
        elif mode == "502":
            page = b"<html><h1>502 Bad Gateway</h1></html>"
            head = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
            client.sendall(head + page)
        elif mode == "half JSON":
            half = b'{"ApiVersion": "1.41", "Id": "abc", "Stat'
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(half)
            client.sendall(head + half)
        elif mode == "truncated":
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
            client.sendall(head + b'{"Id": "a')
        elif mode == "drip":
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n")
            while True:
                client.sendall(b" ")
                time.sleep(0.05)

    def _pass(self, client: socket.socket, head: bytes, *, answer: bool) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._upstream)
            engine.sendall(head)
            with self._guard:
                self._open.append(engine)
            back = threading.Thread(target=_pump, args=(engine, client if answer else None), daemon=True)
            back.start()
            _pump(client, engine, self.sent)
            back.join()


def _pump(source: socket.socket, target: socket.socket | None, kept: list[bytes] | None = None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if kept is not None:
                kept.append(data)
            if target is not None:
                target.sendall(data)
    if target is not None:
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
