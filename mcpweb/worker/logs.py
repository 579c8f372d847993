"""What servers say: bytes in, whole lines out, into each server's segments."""
from __future__ import annotations

import threading
from pathlib import Path

from mcpweb.logstore import LONGEST_LINE, LogWriter


class LogBook:
    """The writers of all servers; kept open, one lock each so that a chatty server delays no other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[str, _Entry] = {}
        self._guard = threading.Lock()

    def feed(self, server_id: str, stream: str, data: bytes) -> None:
        """Take bytes as they come; lines are written when they are whole or too long."""
        self._entry(server_id).feed(stream, data)

    def event(self, server_id: str, text: str) -> None:
        """Write a lifecycle line."""
        self._entry(server_id).line("event", text)

    def close(self) -> None:
        """Write what is left of unfinished lines."""
        with self._guard:
            for entry in self._entries.values():
                entry.close()
            self._entries.clear()

    def _entry(self, server_id: str) -> _Entry:
        with self._guard:
            if server_id not in self._entries:
                self._entries[server_id] = _Entry(LogWriter(self._folder / server_id))
            return self._entries[server_id]


class _Entry:
    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._rest: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def feed(self, stream: str, data: bytes) -> None:
        with self._lock:
            *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
            while len(rest) > LONGEST_LINE:
                lines.append(rest[:LONGEST_LINE])
                rest = rest[LONGEST_LINE:]
            self._rest[stream] = rest
            for line in lines:
                self._write(stream, line)

    def line(self, stream: str, text: str) -> None:
        with self._lock:
            self._writer.append(stream, text)

    def close(self) -> None:
        with self._lock:
            for stream, rest in self._rest.items():
                if rest:
                    self._write(stream, rest)
            self._writer.close()

    def _write(self, stream: str, line: bytes) -> None:
        self._writer.append(stream, line.rstrip(b"\r").decode(errors="replace"))
