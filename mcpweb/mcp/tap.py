"""Everything that crosses a session's wire: frames with time and size, lines that are no protocol, the last of stderr."""
from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mcpweb.contracts import Frame

FRAMES_KEPT = 2000
BYTES_KEPT = 4 * 2**20  # of all frames together; the last few stay whatever their size
LAST_KEPT = 16
DATA_KEPT = 512 * 1024
BAD_KEPT = 20
STDERR_KEPT = 64 * 1024


@dataclass
class Mark:
    """When the lines of one request and its reply crossed the wire; 0 until they did."""

    sent: int = 0
    received: int = 0


class Tap:
    """Written by the loop thread, read from any. Times are time.monotonic_ns()."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self.received = 0  # bytes of all messages so far
        self.dropped = 0  # messages nobody asked for, above the rate
        self._marks: dict[object, Mark] = {}
        self._changed = threading.Condition()
        self._waiting = 0
        self._bad: list[bytes] = []
        self.bad_count = 0
        self._stderr = bytearray()
        self.opened_at = time.monotonic_ns()
        self.first_received_at: int | None = None
        self.closed = False

    def mark(self, number: int | str) -> Mark:
        """Return where the times of the request with this id will be noted."""
        return self._marks.setdefault(number, Mark())

    def unmark(self, number: int | str) -> None:
        self._marks.pop(number, None)

    def frame(
        self, direction: Literal["sent", "received"], data: bytes, message: Any, number: int | str | None = None
    ) -> None:
        """Note one frame; ``number`` is the id of a request or reply where the message does not show it."""
        now = time.monotonic_ns()
        if self._marks:
            self._note(direction, message, number, now)
        if direction == "received":
            self.received += len(data)
            if self.first_received_at is None:
                self.first_received_at = now
        small = len(data) <= DATA_KEPT
        kept = data if small else data[:DATA_KEPT]
        self._frames.append(Frame(now, direction, len(data), kept, message if small else None))
        self._bytes += len(kept)
        while len(self._frames) > FRAMES_KEPT or (self._bytes > BYTES_KEPT and len(self._frames) > LAST_KEPT):
            self._bytes -= len(self._frames.popleft().data)
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def _note(self, direction: str, message: Any, number: int | str | None, now: int) -> None:
        if number is None and isinstance(message, dict) and "method" not in message:
            number = message.get("id")
        mark = self._marks.get(number) if isinstance(number, int | str) else None
        if mark is None:
            return
        if direction == "sent":
            mark.sent = now
        elif not mark.received:
            mark.received = now

    def bad_line(self, line: bytes) -> None:
        """Note a line on stdout that is not a JSON-RPC message."""
        self.bad_count += 1
        if len(self._bad) < BAD_KEPT:
            self._bad.append(line[:500])

    def stderr(self, data: bytes) -> None:
        self._stderr += data
        if len(self._stderr) > 2 * STDERR_KEPT:
            del self._stderr[:-STDERR_KEPT]

    def end(self) -> None:
        """Wake everybody who waits for a frame that will not come."""
        self.closed = True
        with self._changed:
            self._changed.notify_all()

    def frames(self) -> list[Frame]:
        return list(self._frames)

    def bad_lines(self) -> list[bytes]:
        return list(self._bad)

    def stderr_tail(self) -> str:
        return bytes(self._stderr[-STDERR_KEPT:]).decode(errors="replace")

    def wait(self, wanted: Callable[[Frame], bool], deadline_s: float) -> Frame | None:
        """Return the first received frame that fits, old ones too; None after the deadline or the end."""
        until = time.monotonic() + deadline_s
        seen = 0
        with self._changed:
            self._waiting += 1
            try:
                while True:
                    frames = list(self._frames)
                    for frame in frames:
                        if frame.at > seen and frame.direction == "received" and wanted(frame):
                            return frame
                    seen = frames[-1].at if frames else 0
                    left = until - time.monotonic()
                    if left <= 0 or self.closed:
                        return None
                    self._changed.wait(min(left, 0.1))
            finally:
                self._waiting -= 1
