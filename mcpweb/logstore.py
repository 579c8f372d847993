"""Logs of a server: bounded segment files, appended by the worker, read by offset.

A line is ``<time>\\t<stream>\\t<text>\\n``. Segments are named by the offset of their first byte, so an offset stays
valid while older segments are dropped; what is gone is skipped.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcpweb import clock

SEGMENT_BYTES = 1 << 20
SEGMENTS_KEPT = 8
LONGEST_LINE = 16 * 1024
STREAMS = ("stderr", "stdout", "event")
LEVELS = ("error", "warning", "info", "debug")

_LEVEL = re.compile(
    r"^\W*(?:\S+[ T]\S+\s+)?\W*(?:(?P<error>error|fatal|critical|panic|traceback)|(?P<warning>warn(?:ing)?)"
    r"|(?P<debug>debug|trace)|info)\b"
    r"|\"level(?:name)?\"\s*:\s*\"(?:(?P<jerror>error|fatal|critical)|(?P<jwarning>warn(?:ing)?)|(?P<jdebug>debug|trace))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class LogLine:
    """One line; ``offset`` is where it begins, ``stream`` is stderr, stdout (not protocol) or event (lifecycle)."""

    offset: int
    at: str
    stream: str
    level: str
    text: str


@dataclass(frozen=True)
class LogPage:
    """Lines in order; reading goes on at ``next_offset``, the oldest line kept begins at ``start_offset``.

    ``first_offset`` is where the first line that was looked at begins: what is older ends there.
    """

    lines: tuple[LogLine, ...]
    next_offset: int
    start_offset: int
    end_offset: int
    first_offset: int = 0


@dataclass(frozen=True)
class Wanted:
    """Which lines are asked for: of a level or worse, of a stream, with a text in them, from a time on, before a time."""

    level: str | None = None
    stream: str | None = None
    q: str | None = None
    since: str | None = None
    until: str | None = None

    def fits(self, line: LogLine) -> bool:
        if self.level and LEVELS.index(line.level) > LEVELS.index(self.level):
            return False
        if self.stream and line.stream != self.stream:
            return False
        if (self.since and line.at < self.since) or (self.until and line.at >= self.until):
            return False
        return not self.q or self.q.casefold() in line.text.casefold()


EVERY = Wanted()


def level_of(stream: str, text: str) -> str:
    """Guess the level from the first words; what says nothing is info."""
    found = _LEVEL.search(text[:200])
    if not found:
        return "info"
    for name in ("error", "warning", "debug"):
        if found.group(name) or (found.groupdict().get("j" + name)):
            return name
    return "info"


class LogWriter:
    """Appends lines of one server; one writer at a time (the worker)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        segments = _segments(folder)
        self._start = segments[-1][0] if segments else 0
        self._file = open(self._path(self._start), "ab", buffering=0)  # noqa: SIM115 - kept open
        self._size = self._path(self._start).stat().st_size

    def append(self, stream: str, text: str) -> None:
        """Write a line (cut at 16 KiB, control characters kept out) and roll the segment over when it is full."""
        clean = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[:LONGEST_LINE])
        data = f"{clock.now()}\t{stream}\t{clean}\n".encode(errors="replace")
        if self._size and self._size + len(data) > SEGMENT_BYTES:
            self._roll()
        self._file.write(data)
        self._size += len(data)

    def close(self) -> None:
        self._file.close()

    def _roll(self) -> None:
        self._file.close()
        self._start += self._size
        self._file = open(self._path(self._start), "ab", buffering=0)  # noqa: SIM115 - kept open
        self._size = 0
        for _, path in _segments(self._folder)[:-SEGMENTS_KEPT]:
            path.unlink(missing_ok=True)

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:020d}.log"


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f]")


def read(folder: Path, *, offset: int | None = None, limit_bytes: int = 256 * 1024, wanted: Wanted = EVERY) -> LogPage:
    """Return lines from ``offset`` on, or the last ``limit_bytes`` when it is None. Filters skip lines; an offset in
    the middle of a line goes on at the next one."""
    segments = _segments(folder)
    if not segments:
        return LogPage((), 0, 0, 0)
    start = segments[0][0]
    end = segments[-1][0] + _size(segments[-1][1])
    tail = offset is None
    begin = max(start, end - limit_bytes) if offset is None else min(max(offset, start), end)
    lines: list[LogLine] = []
    position = begin
    for at, raw in _raw_lines(segments, begin, limit_bytes, aligned=begin == start or not tail):
        position = at + len(raw)
        line = _parse(at, raw)
        if line and wanted.fits(line):
            lines.append(line)
    return LogPage(tuple(lines), position, start, end, begin)


def last(folder: Path, *, before: int | None = None, limit: int = 200, wanted: Wanted = EVERY) -> LogPage:
    """Return the last ``limit`` wanted lines that end at ``before`` or sooner (None: the end); as much is read as that takes.

    A line that is being written is left out. Reading newer lines goes on at ``next_offset``.
    """
    segments = _segments(folder)
    if not segments:
        return LogPage((), 0, 0, 0)
    end = segments[-1][0] + _size(segments[-1][1])
    found: list[LogLine] = []
    first = after = end if before is None else max(min(before, end), segments[0][0])
    if before is None:
        after = -1
    for at, raw in _backward(segments, first):
        after = at + len(raw) if after < 0 else after
        line = _parse(at, raw)
        if line and wanted.since and line.at < wanted.since:
            first = segments[0][0]  # nothing older can be wanted
            break
        first = at
        if line and wanted.fits(line):
            found.append(line)
            if len(found) == limit:
                break
    return LogPage(tuple(reversed(found)), max(after, segments[0][0]), segments[0][0], end, first)


def following(folder: Path, offset: int, *, limit: int = 200, wanted: Wanted = EVERY) -> LogPage:
    """Return the first ``limit`` wanted lines from ``offset`` on."""
    segments = _segments(folder)
    if not segments:
        return LogPage((), 0, 0, 0)
    start, end = segments[0][0], segments[-1][0] + _size(segments[-1][1])
    begin = position = min(max(offset, start), end)
    found: list[LogLine] = []
    for at, raw in _raw_lines(segments, begin, end - begin, aligned=True):
        position = at + len(raw)
        line = _parse(at, raw)
        if line and wanted.fits(line):
            found.append(line)
            if len(found) == limit:
                break
    return LogPage(tuple(found), position, start, end, begin)


def end_of(folder: Path) -> int:
    """Return the offset behind the newest byte."""
    segments = _segments(folder)
    return segments[-1][0] + _size(segments[-1][1]) if segments else 0


def chosen(folder: Path, wanted: Wanted) -> Iterator[bytes]:
    """Yield the wanted lines of everything that is kept, for a download."""
    segments = _segments(folder)
    left = segments[-1][0] + _size(segments[-1][1]) - segments[0][0] if segments else 0
    for at, raw in _raw_lines(segments, segments[0][0] if segments else 0, left, aligned=True):
        line = _parse(at, raw)
        if line and wanted.fits(line):
            yield raw


def whole(folder: Path) -> Iterator[bytes]:
    """Yield everything that is kept, for a download."""
    for _, path in _segments(folder):
        try:
            with open(path, "rb") as file:
                while chunk := file.read(1 << 16):
                    yield chunk
        except FileNotFoundError:
            continue


def _backward(segments: list[tuple[int, Path]], before: int) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines that end at ``before`` or sooner, the newest first, a segment in memory at a time."""
    for start, path in reversed(segments):
        if start >= before:
            continue
        try:
            data = path.read_bytes()[: before - start]
        except FileNotFoundError:
            return
        end = data.rfind(b"\n") + 1
        while end > 0:
            begin = data.rfind(b"\n", 0, end - 1) + 1
            yield start + begin, data[begin:end]
            end = begin


def _raw_lines(
    segments: list[tuple[int, Path]], begin: int, limit: int, *, aligned: bool
) -> Iterator[tuple[int, bytes]]:
    left = limit
    for start, path in segments:
        try:
            with open(path, "rb") as file:
                if start + _size(path) <= begin:
                    continue
                file.seek(max(0, begin - start))
                position = start + file.tell()
                for raw in file:
                    if not raw.endswith(b"\n") or left <= 0:
                        return
                    if aligned:
                        yield position, raw
                        left -= len(raw)
                    aligned = True
                    position += len(raw)
        except FileNotFoundError:
            continue


def _parse(offset: int, raw: bytes) -> LogLine | None:
    at, _, rest = raw.rstrip(b"\n").decode(errors="replace").partition("\t")
    stream, _, text = rest.partition("\t")
    if stream not in STREAMS:
        return None
    return LogLine(offset, at, stream, level_of(stream, text), text)


def _segments(folder: Path) -> list[tuple[int, Path]]:
    try:
        return sorted((int(path.stem), path) for path in folder.glob("*.log") if path.stem.isdigit())
    except FileNotFoundError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
