"""Secrets over standard input: a few lines of shell take them before they become the server.

The shell says that it is there before anything is sent, and that it has everything before it becomes the server; what
else it says meanwhile is read and forgotten. So nothing is sent to a container that is dead, nothing of the exchange
reaches the session, and not one byte of the server's own output is taken (tests/docker/test_secret_delivery.py).
"""
from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Iterable, Sequence

from mcpweb.plugin import Progress, SecretDelivery

from . import variables

SHELL = "/bin/sh"
_READY, _TAKEN = b"mcpweb: ready\n", b"mcpweb: taken\n"
# POSIX sh. `%bx` and `%x` keep trailing newlines; exit 78 (a configuration error) when the input ends too soon.
SHIM = r"""
printf 'mcpweb: ready\n'
while IFS= read -r __mcpweb_line; do
[ -n "$__mcpweb_line" ] || { __mcpweb_all=1; break; }
__mcpweb_line=$(printf '%bx' "$__mcpweb_line") || exit 78
export "${__mcpweb_line%x}" || exit 78
done
[ "$__mcpweb_all" = 1 ] || exit 78
printf 'mcpweb: taken\n'
IFS= read -r __mcpweb_line || exit 78
exec "$@"
""".strip()

_TICK_S = 0.25
_MOST_HEARD = 256 * 1024
_PLAIN = frozenset(range(0x20, 0x7F)) - {0x5C}  # printable ASCII without the backslash
_ENCODED = tuple(bytes([byte]) if byte in _PLAIN else b"\\0%03o" % byte for byte in range(256))


class NotTaken(Exception):
    """The exchange did not come to its end. ``began`` says whether the shell was there; ``said`` is what it wrote to
    stderr before it was given anything."""

    def __init__(self, reason: str, began: bool, said: str) -> None:
        super().__init__(reason)
        self.reason, self.began, self.said = reason, began, said


def wrapped(words: Sequence[str]) -> list[str]:
    """Return the entrypoint that takes the secrets and then becomes these words."""
    return [SHELL, "-c", SHIM, "mcpweb", *words]


def unwrapped(words: Sequence[str]) -> list[str]:
    """Return the words an entrypoint becomes, itself when it takes no secrets."""
    return list(words[4:]) if list(words[:4]) == wrapped(()) else list(words)


def encoded(secrets: Iterable[SecretDelivery]) -> bytearray:
    """Return the lines the shell reads: one a secret, then an empty one."""
    lines = bytearray()
    for secret in secrets:
        if secret.way == "stdin":
            lines += secret.variable.encode() + b"=" + b"".join(_ENCODED[byte] for byte in variables.value_of(secret)) + b"\n"
    return lines + b"\n"


def hand_over(
    sock: socket.socket, secrets: Iterable[SecretDelivery], left: Callable[[], float], tell: Progress
) -> None:
    """Give the started container its secrets over its attached, non-blocking stream.

    ``left`` raises when the time is over, ``tell`` when somebody cancels. Raises NotTaken.
    """
    exchange = _Exchange(sock, left, tell)
    exchange.until(_READY)
    lines = encoded(secrets)
    try:
        exchange.began = True
        exchange.until(_TAKEN, lines)
        exchange.until(b"", b"\n")
    finally:
        lines[:] = bytes(len(lines))


class _Exchange:
    def __init__(self, sock: socket.socket, left: Callable[[], float], tell: Progress) -> None:
        self._sock, self._left, self._tell = sock, left, tell
        self._part = bytearray()  # of a frame's head or payload, never more
        self._stream, self._wanted = 0, 8
        self._heard = 0
        self._stdout, self._stderr = bytearray(), bytearray()
        self.began = False

    def until(self, marker: bytes, send: bytes | bytearray = b"") -> None:
        """Send, and read until the shell says the marker; an empty marker is not waited for."""
        self._stdout.clear()
        waiting = memoryview(send)
        try:
            while waiting or not self._stdout.endswith(marker):
                readable, writable, _ = select.select(
                    [self._sock] if marker else [], [self._sock] if waiting else [], [], min(self._left(), _TICK_S)
                )
                if not (readable or writable):
                    self._tell(None, "Handing over the secrets")  # raises Cancelled
                if writable:
                    waiting = waiting[self._sock.send(waiting[:65536]) :]
                if readable:
                    self._read()
        except BlockingIOError:
            raise self._failed("the stream was not ready") from None
        except OSError:
            raise self._failed("the stream broke") from None
        finally:
            waiting.release()

    def _read(self) -> None:
        data = self._sock.recv(self._wanted - len(self._part))
        if not data:
            raise self._failed("the stream ended")
        self._part += data
        self._heard += len(data)
        if self._heard > _MOST_HEARD:
            raise self._failed("it wrote without end instead")
        if len(self._part) < self._wanted:
            return
        if self._stream == 0:
            self._stream, self._wanted = struct.unpack(">BxxxI", self._part)
            if self._stream not in (1, 2):
                raise self._failed("the engine sent something that is not a frame")
        else:
            (self._stdout if self._stream == 1 else self._stderr).extend(self._part)
            self._wanted = 0
        self._part.clear()
        if self._wanted == 0:
            self._stream, self._wanted = 0, 8

    def _failed(self, reason: str) -> NotTaken:
        # what was written after the first secret was sent may hold it, and is not repeated anywhere
        said = "" if self.began else self._stderr[-2000:].decode("utf-8", "replace").strip()
        return NotTaken(reason, self.began, said)


__all__ = ["SHELL", "NotTaken", "encoded", "hand_over", "unwrapped", "wrapped"]
