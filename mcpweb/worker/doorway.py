"""The worker's end of the line: a Unix socket, one thread per connection, our own user only."""
from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

from mcpweb import wire
from mcpweb.dao.jobs import Job
from mcpweb.errors import Failure
from mcpweb.files import private_folder
from mcpweb.line import describe, socket_path
from mcpweb.services import keys

if TYPE_CHECKING:
    from mcpweb.worker import Worker

log = logging.getLogger(__name__)


class Doorway:
    """Answers ping, kick, job (do this one now), cancel, stats and unlock."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._path = socket_path(worker.core.settings)
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()

    def open(self) -> None:
        """Listen; a socket file left by a dead worker is replaced (we hold its lock)."""
        private_folder(self._path.parent)
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(old)
        listener.listen(128)
        self._listener = listener
        self._worker.spawn(self._accept, "doorway")

    def close(self) -> None:
        """Stop listening and hang up; answers under way are lost, their jobs are not."""
        if self._listener is not None:
            self._path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def hang_up(self) -> None:
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if not _is_ours(sock):
                sock.close()
                continue
            threading.Thread(target=self._serve, args=(sock,), name="line", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        self._open.add(sock)
        try:
            while True:
                message, _ = wire.recv(sock)
                wire.send(sock, self._answer(message) | {"worker": self._worker.id})
        except (OSError, ValueError):
            pass
        finally:
            self._open.discard(sock)
            sock.close()
            self._worker.core.db.close()

    def _answer(self, message: Any) -> dict[str, Any]:
        try:
            return {"result": self._do(message["verb"], message["payload"])}
        except Failure as failure:
            return {"failure": describe(failure)}
        except Exception:
            log.exception("a request on the line failed")
            return {"failure": describe(Failure("The worker met an internal error."))}

    def _do(self, verb: str, payload: dict[str, Any]) -> dict[str, Any]:
        worker = self._worker
        if verb == "ping":
            return {"worker": worker.id, "pid": os.getpid(), "brief": worker.brief}
        if verb == "kick":
            worker.kick()
            return {}
        if verb == "job":
            return {"job": worker.do_now(Job.from_wire(payload["job"])).to_wire()}
        if verb == "cancel":
            worker.request_cancel(str(payload["id"]))
            return {}
        if verb == "stats":
            return {"samples": worker.samples(str(payload["server_id"]))}
        if verb == "endpoint":
            member = worker.fleet.member(str(payload["server_id"]))
            return {"url": member.endpoint if member else None}
        if verb == "unlock":
            keys.refresh(worker.core, payload["passphrase"])
            return {}
        raise Failure(f"The worker does not know {verb!r}.")


def _is_ours(sock: socket.socket) -> bool:
    """Tell whether the peer runs as our own user or root."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # macOS: the folder's mode 0700 keeps others out
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return uid in (0, os.getuid())
