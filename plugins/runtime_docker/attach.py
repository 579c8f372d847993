"""The stream of a container: its stdin, stdout and stderr over one socket that is ours alone.

Done by hand and not through the SDK: there, bytes that arrive with the answer's head stay in a buffer nobody reads
(docker-py issues 425 and 2466), and the socket is closed when a response object is collected.
"""
from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING

from mcpweb.plugin import NotFound, RuntimeConflict, RuntimeProtocolError, RuntimeUnavailable

from .faults import EngineRefused

if TYPE_CHECKING:
    from .engine import Engine
    from .transport import Client

_HEAD_LIMIT = 16 * 1024


def attach(engine: Engine, container_id: str, *, stdin: bool, deadline_s: float | None = None) -> socket.socket:
    """Return a non-blocking socket with the container's multiplexed stream, from now on and complete.

    Attach before the start and nothing is lost. Raises NotFound, RuntimeConflict and the kinds of RuntimeUnavailable.
    """

    def work(client: Client) -> socket.socket:
        from . import transport

        sock = transport.dial(engine.address, transport.time_left())
        try:
            _upgrade(sock, container_id, stdin, client.api_version)
            sock.settimeout(0)
            return sock
        except BaseException:
            sock.close()
            raise

    return engine.call("attach to a container", work, deadline_s=deadline_s)


def _upgrade(sock: socket.socket, container_id: str, stdin: bool, version: str) -> None:
    query = f"stream=1&stdout=1&stderr=1&stdin={int(stdin)}"
    sock.sendall(
        f"POST /v{version}/containers/{container_id}/attach?{query} HTTP/1.1\r\n"
        "Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode("ascii")
    )
    head = _head(sock)
    status_line, _, fields = head.decode("latin-1").partition("\r\n")
    words = status_line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise RuntimeProtocolError(f"The container engine answered an attach with {status_line[:80]!r}.")
    status = int(words[1])
    if status == 101 or (status == 200 and "application/vnd.docker." in fields.lower()):
        return
    if status < 400:
        raise RuntimeProtocolError("The container engine answered an attach with something that is not a stream.")
    message = _message(sock, fields)
    if status in (502, 503, 504):
        raise RuntimeUnavailable(f"Something in front of the container engine answered {status}: {message}")
    if status == 404:
        raise NotFound(f"The container to attach to is gone: {message}")
    if status == 409:
        raise RuntimeConflict(f"The container cannot be attached to now: {message}")
    raise EngineRefused(status, message)


def _head(sock: socket.socket) -> bytes:
    """Read up to the empty line and not one byte further: what follows is the server's."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte or len(head) > _HEAD_LIMIT:
            raise RuntimeProtocolError("The container engine's answer to an attach is broken off or endless.")
        head += byte
    return bytes(head)


def _message(sock: socket.socket, fields: str) -> str:
    found = re.search(r"^content-length: *(\d{1,9})", fields, re.IGNORECASE | re.MULTILINE)
    body = b""
    while len(body) < min(int(found[1]) if found else 0, _HEAD_LIMIT):
        part = sock.recv(4096)
        if not part:
            break
        body += part
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip()[:300]
