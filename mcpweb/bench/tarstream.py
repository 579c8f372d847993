"""Tar archives as they come off a stream, read once and never unpacked; whatever they hold, the reading is bounded.

Only what a layer of an image needs is understood: ustar, the long names of GNU, the paths and sizes of PAX.
"""
from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mcpweb.errors import Unavailable

BLOCK = 512
MOST_EXTRA = 1 << 20  # of a long name or a PAX header
_PIECE = 1 << 18
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class Unreadable(Unavailable):
    """The archive is no tar, breaks off, or is larger than what is read of one."""

    code = "image_unreadable"
    next_step = "Pull the image again; of a very large one only a part can be looked at."


@dataclass
class Budget:
    """What reading may cost altogether."""

    until: float
    bytes: int
    entries: int

    def spend(self, size: int) -> None:
        self.bytes -= size
        if self.bytes < 0:
            raise Unreadable("The image is larger than what is read of one.", code="image_too_large")
        if time.monotonic() > self.until:
            raise Unreadable("Reading the image took longer than it may.", code="image_too_large")

    def entry(self) -> None:
        self.entries -= 1
        if self.entries < 0:
            raise Unreadable("The image holds more files than are looked at.", code="image_too_large")


class Source:
    """Bytes that come once: ``read(n)`` gives at most n, nothing at the end."""

    def __init__(self, read: Callable[[int], bytes], budget: Budget) -> None:
        self._read = read
        self._ahead = b""
        self.budget = budget

    def read(self, size: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        data = self._read(min(size, _PIECE))
        self.budget.spend(len(data))
        return data

    def peek(self, size: int) -> bytes:
        """Return what comes next without taking it."""
        data = self.take(size, short=True)
        self._ahead = data + self._ahead
        return data

    def take(self, size: int, *, short: bool = False) -> bytes:
        """Return exactly so many bytes; with ``short`` fewer at the end. Raises Unreadable."""
        parts: list[bytes] = []
        while size and (part := self.read(size)):
            parts.append(part)
            size -= len(part)
        if size and not short:
            raise Unreadable("The image's archive breaks off.")
        return b"".join(parts)

    def skip(self, size: int) -> None:
        while size:
            part = self.read(size)
            if not part:
                raise Unreadable("The image's archive breaks off.")
            size -= len(part)


@dataclass
class Entry:
    """One member. ``type`` is the letter of the header; ``body`` gives its bytes until the next one is asked for."""

    name: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    target: str
    body: Source


class _Body(Source):
    def __init__(self, outer: Source, size: int) -> None:
        super().__init__(self._part, Budget(outer.budget.until, 1 << 62, 1))
        self._outer = outer
        self.left = size

    def _part(self, size: int) -> bytes:
        data = self._outer.read(min(size, self.left))
        self.left -= len(data)
        return data


def entries(source: Source) -> Iterator[Entry]:
    """Yield the members of an archive. Raises Unreadable."""
    name = target = ""
    size: int | None = None
    while True:
        header = source.take(BLOCK, short=True)
        if not header.strip(b"\0"):
            return
        if len(header) < BLOCK:
            raise Unreadable("The image's archive breaks off.")
        kind = chr(header[156])
        length = _number(header[124:136])
        source.budget.entry()
        if kind in "LKxg":
            if length > MOST_EXTRA:
                raise Unreadable("A header of the image's archive is longer than any path.")
            extra = source.take(length)
            source.skip(-length % BLOCK)
            if kind == "L":
                name = _text(extra)
            elif kind == "K":
                target = _text(extra)
            elif kind == "x":
                told = _pax(extra)
                name, target = _text(told.get(b"path", name.encode())), _text(told.get(b"linkpath", target.encode()))
                size = int(told[b"size"]) if told.get(b"size", b"").isdigit() else None
            continue
        if kind == "S":  # a file with holes: where they are may go on in blocks of its own
            more = header[482]
            while more:
                more = source.take(BLOCK)[504]
        length = 0 if kind in "123456" else length if size is None else size
        body = _Body(source, length)
        yield Entry(
            name or _path(header), kind, _number(header[100:108]) & 0o7777, _number(header[108:116]), _number(header[116:124]),
            length, target or _text(header[157:257]), body,
        )
        source.skip(body.left + -length % BLOCK)
        name, target, size = "", "", None


def unpacked(body: Source, budget: Budget) -> Source:
    """Return the tar in a member, which may be compressed. Raises Unreadable for a compression we have no reader for."""
    start = body.peek(4)
    if start.startswith(_ZSTD):
        raise Unreadable("A layer of the image is compressed with zstd, which cannot be read here.", code="image_zstd")
    if not start.startswith(_GZIP):
        return Source(body.read, budget)
    return Source(_Inflated(body).read, budget)


class _Inflated:
    def __init__(self, body: Source) -> None:
        self._body = body
        self._inflate = zlib.decompressobj(31)
        self._rest = b""
        self._whole = False

    def read(self, size: int) -> bytes:
        """Return the next decompressed bytes, never more than asked for, whatever they are made of."""
        while True:
            data = self._rest or self._body.read(_PIECE)
            if not data and self._whole:
                return b""
            if not data:
                raise Unreadable("A layer of the image breaks off.")
            try:
                out = self._inflate.decompress(data, size)
            except zlib.error:
                raise Unreadable("A layer of the image is compressed in a broken way.") from None
            self._rest = self._inflate.unconsumed_tail
            self._whole = self._inflate.eof
            if self._whole:
                self._rest, self._inflate = self._inflate.unused_data, zlib.decompressobj(31)
            if out:
                return out


def _path(header: bytes) -> str:
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    name = _text(header[:100])
    return f"{prefix}/{name}" if prefix else name


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    try:
        return int(digits or b"0", 8)
    except ValueError:
        raise Unreadable("The image's archive is no tar.") from None


def _pax(data: bytes) -> dict[bytes, bytes]:
    """Return the records ``<length> <key>=<value>\\n``."""
    found: dict[bytes, bytes] = {}
    while data:
        digits, _, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        record, data = data[:length], data[length:] if length else b""
        key, there, value = record[len(digits) + 1:].rstrip(b"\n").partition(b"=")
        if there:
            found[key] = value
    return found
