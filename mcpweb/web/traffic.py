"""How many requests were answered, how and how fast, over all web processes: numbers in memory that the processes share.

The memory is mapped before the fork. Each process writes only into its own slot, so there is no lock between processes
that a killed one could hold for ever; the sum is what ``/metrics`` tells. Counts of a process that ended stay.
"""
from __future__ import annotations

import mmap
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds; one more bucket holds what took longer
SLOTS = 64  # a process that is started when 64 more recent ones were adds to the numbers of one that has long ended
_ROW = len(CLASSES) + len(BOUNDS) + 2  # the last two: what took longer, and microseconds altogether
BEGAN = "mcpweb.began"  # when a request came, in its environment
_NUMBER = struct.calcsize("Q")


@dataclass(frozen=True)
class Seen:
    """Requests by class of status, by bucket (each holds its own only), and their seconds altogether."""

    by_class: dict[str, int]
    buckets: tuple[int, ...]
    seconds: float


class Traffic:
    """Counts what passes ``around`` an application. ``slot`` is this process's own."""

    def __init__(self) -> None:
        self.slot = 0
        self._numbers = memoryview(mmap.mmap(-1, SLOTS * _ROW * _NUMBER)).cast("Q")
        self._lock = threading.Lock()

    def around(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Return the application, counted. The time is that until the answer begins: a stream is no slow answer."""

        def counted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            began, said = time.monotonic(), ["500"]
            environ[BEGAN] = began

            def start(status: str, *more: Any) -> Any:
                said[0] = status
                return start_response(status, *more)

            try:
                return app(environ, start)
            finally:
                self.note(said[0], time.monotonic() - began)

        return counted

    def note(self, status: str, seconds: float) -> None:
        """Count one answer."""
        row = self.slot % SLOTS * _ROW
        kind = min(max(ord(status[:1] or "5") - ord("1"), 0), len(CLASSES) - 1)
        bucket = next((n for n, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        with self._lock:
            self._numbers[row + kind] += 1
            self._numbers[row + len(CLASSES) + bucket] += 1
            self._numbers[row + _ROW - 1] += int(seconds * 1e6)

    def seen(self) -> Seen:
        """Return the sum over all processes since the web server started."""
        summed = [sum(self._numbers[place::_ROW]) for place in range(_ROW)]
        return Seen(dict(zip(CLASSES, summed, strict=False)), tuple(summed[len(CLASSES):-1]), summed[-1] / 1e6)
