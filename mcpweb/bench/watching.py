"""Samples of a container as the run child sees them: one at the start, about one a second, one at the end."""
from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable

from mcpweb.contracts import Stats, Watch

FIRST_S = 3.0
LAST_S = 1.6


class Samples(Watch):
    """Reads the feed of the worker while it is open."""

    def __init__(self, feed: Callable[[], int]) -> None:
        self._feed = feed
        self._samples: list[Stats] = []
        self._news = threading.Condition()
        self._over = False
        self._sock: socket.socket | None = None

    def samples(self) -> list[Stats]:
        with self._news:
            return list(self._samples)

    def __enter__(self) -> Samples:
        self._sock = socket.socket(fileno=self._feed())
        threading.Thread(target=self._read, args=(self._sock,), name="watch", daemon=True).start()
        self._until(1, FIRST_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._until(len(self._samples) + 1, LAST_S)
        self.close()

    def close(self) -> None:
        """End the feed without waiting for a last sample."""
        if self._sock is not None:
            with contextlib.suppress(OSError):  # it ended by itself
                self._sock.shutdown(socket.SHUT_RDWR)

    def _until(self, count: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._news:
            while len(self._samples) < count and not self._over and (left := until - time.monotonic()) > 0:
                self._news.wait(left)

    def _read(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines:
            for line in lines:
                sample = Stats(**json.loads(line))
                with self._news:
                    self._samples.append(sample)
                    self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()
