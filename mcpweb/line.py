"""The line to the worker: a Unix socket for what a person waits for.

Losing it costs latency, never data: everything that must survive is committed before it is asked for here.
"""
from __future__ import annotations

import contextlib
import hashlib
import os
import select
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

from mcpweb import errors, wire
from mcpweb.settings import Settings

_LONGEST_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux


def socket_path(settings: Settings) -> Path:
    """Return where the worker listens; a deep data folder gets a short private folder of the system's instead."""
    path = settings.run_dir / "worker.sock"
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(settings.data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"mcpweb-{os.getuid()}-{digest}" / "worker.sock"


class Line:
    """Client side. Connections are kept and reused; safe from any thread; never carried over a fork."""

    def __init__(self, settings: Settings) -> None:
        self._path = str(socket_path(settings))
        self._idle: list[socket.socket] = []
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self.worker: str | None = None
        """Which worker answered last, None when none did; it may have been followed by another since."""

    def request(self, verb: str, payload: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """Ask the worker and return its answer.

        Raises NoWorker when nothing was sent, Interrupted when the worker went away in between, TimeoutError when it
        is still busy after ``timeout_s``, and whatever Failure the worker answered with.
        """
        sock = self._take()
        try:
            sock.settimeout(timeout_s)
            answer, _ = wire.recv(sock) if self._sent(sock, verb, payload) else ({}, [])
        except TimeoutError:
            sock.close()
            raise
        except (OSError, ValueError) as error:
            sock.close()
            raise errors.Interrupted("The worker went away in the middle.") from error
        self._give_back(sock)
        self.worker = answer.get("worker")
        if "failure" in answer:
            raise rebuild(answer["failure"])
        result: dict[str, Any] = answer["result"]
        return result

    @staticmethod
    def _sent(sock: socket.socket, verb: str, payload: dict[str, Any]) -> bool:
        wire.send(sock, {"verb": verb, "payload": payload})
        return True

    def kick(self) -> None:
        """Tell the worker that a job waits; without a worker nothing happens."""
        with contextlib.suppress(errors.Failure, TimeoutError):
            self.request("kick", {}, timeout_s=1.0)

    def alive(self) -> bool:
        """Tell whether a worker answers."""
        try:
            self.request("ping", {}, timeout_s=2.0)
        except (errors.Failure, TimeoutError):
            return False
        return True

    def _take(self) -> socket.socket:
        with self._lock:
            if self._pid != os.getpid():
                self._idle, self._pid = [], os.getpid()
            while self._idle:
                sock = self._idle.pop()
                if not _gone(sock):
                    return sock
                sock.close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(2.0)
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            raise errors.NoWorker("No worker is running.") from error
        return sock

    def _give_back(self, sock: socket.socket) -> None:
        with self._lock:
            self._idle.append(sock)


def _gone(sock: socket.socket) -> bool:
    """An idle connection that is readable was closed by the worker, which never speaks first."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))


def describe(failure: errors.Failure) -> dict[str, Any]:
    """Return a failure as it travels over the line."""
    return {
        "type": type(failure).__name__, "detail": failure.detail, "next_step": failure.next_step,
        "code": failure.code, "errors": [[e.pointer, e.detail] for e in failure.errors],
    }


def rebuild(data: dict[str, Any]) -> errors.Failure:
    """Return the failure that was described; an unknown type becomes a plain Failure."""
    kind = getattr(errors, str(data.get("type")), errors.Failure)
    if not (isinstance(kind, type) and issubclass(kind, errors.Failure)) or kind is errors.RpcError:
        kind = errors.Failure
    return kind(
        str(data.get("detail", "")),
        next_step=str(data.get("next_step", "")),
        code=str(data.get("code", "")),
        errors=[errors.FieldError(pointer, detail) for pointer, detail in data.get("errors", [])],
    )
