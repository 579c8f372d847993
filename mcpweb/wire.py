"""Messages between our own processes: a 4-byte big-endian length, then JSON; file descriptors may ride along.

Used on the worker's Unix socket and between the worker and its run children. Blocking; set a timeout on the socket
to bound a call (``socket.timeout`` is then raised as ``TimeoutError``).
"""
from __future__ import annotations

import array
import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

MAX_MESSAGE = 32 * 2**20
_MAX_FDS = 8
_HEADER = struct.Struct(">I")


class WireClosed(ConnectionError):
    """The other side went away."""


def encode(message: Any) -> bytes:
    """Return the framed bytes of one message. Raises ValueError when it is too large."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(body)} bytes is over the limit of {MAX_MESSAGE}")
    return _HEADER.pack(len(body)) + body


def send(sock: socket.socket, message: Any, fds: Sequence[int] = ()) -> None:
    """Send one message; ``fds`` are duplicated into the receiving process."""
    data = encode(message)
    if fds:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        sent = sock.sendmsg([data], ancillary)
        data = data[sent:]
    if data:
        sock.sendall(data)


def recv(sock: socket.socket) -> tuple[Any, list[int]]:
    """Receive one message and the descriptors that came with it. Raises WireClosed, TimeoutError, ValueError."""
    header, fds = _exactly(sock, _HEADER.size, with_fds=True)
    (length,) = _HEADER.unpack(header)
    if length > MAX_MESSAGE:
        raise ValueError(f"a message of {length} bytes is over the limit of {MAX_MESSAGE}")
    body, _ = _exactly(sock, length)
    return json.loads(body), fds


def _exactly(sock: socket.socket, count: int, *, with_fds: bool = False) -> tuple[bytes, list[int]]:
    parts: list[bytes] = []
    fds: list[int] = []
    while count:
        if with_fds:
            ints = array.array("i")
            space = socket.CMSG_SPACE(_MAX_FDS * ints.itemsize)
            part, ancillary, _, _ = sock.recvmsg(count, space, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    ints.frombytes(data[: len(data) - len(data) % ints.itemsize])
            fds.extend(ints)
        else:
            part = sock.recv(min(count, 1 << 20))
        if not part:
            raise WireClosed("the other side closed the connection")
        parts.append(part)
        count -= len(part)
    return b"".join(parts), fds
