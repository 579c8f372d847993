"""What the worker lets flow to a run child while it goes on with its work: samples of a container, an image's archive."""
from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict

from mcpweb.contracts import Runtime
from mcpweb.errors import Failure

log = logging.getLogger(__name__)

MOST_AT_ONCE = 8
Stop = Callable[[], bool]


class Feeds:
    """The feeds of one run; each is a thread and a socket pair, and all end with the run."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}

    def stats(self, container_id: str) -> int:
        """Return a descriptor from which samples come as lines of JSON, the first at once."""

        def samples(stop: Stop) -> Iterator[bytes]:
            for sample in self._runtime.stats(container_id, stop, at_once=True):
                yield json.dumps(asdict(sample)).encode() + b"\n"

        return self._begin(samples)

    def archive(self, image: str) -> int:
        """Return a descriptor from which the archive of an image comes."""
        return self._begin(lambda stop: self._runtime.export_image(image, stop))

    def close(self) -> None:
        """End all feeds."""
        self._over.set()
        with self._guard:
            feeds = list(self._open.items())
        for sock, _ in feeds:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for _, thread in feeds:
            thread.join(2.0)

    def _begin(self, pieces: Callable[[Stop], Iterator[bytes]]) -> int:
        with self._guard:
            if len(self._open) >= MOST_AT_ONCE:
                raise Failure(f"A run has at most {MOST_AT_ONCE} feeds at once.", code="too_many_feeds")
            ours, theirs = socket.socketpair()
            thread = threading.Thread(target=self._flow, args=(ours, pieces), name="feed", daemon=True)
            self._open[ours] = thread
        thread.start()
        return theirs.detach()

    def _flow(self, sock: socket.socket, pieces: Callable[[Stop], Iterator[bytes]]) -> None:
        flow = pieces(lambda: self._over.is_set() or _hung_up(sock))
        try:
            for piece in flow:
                sock.sendall(piece)
                if self._over.is_set():
                    break
        except Failure as failure:
            log.info("a feed of a run ended: %s", failure.detail)
        except OSError:
            pass  # nobody reads any more
        finally:
            with contextlib.suppress(Failure):
                flow.close()  # type: ignore[attr-defined]
            with self._guard:
                self._open.pop(sock, None)
            sock.close()


def _hung_up(sock: socket.socket) -> bool:
    """Tell whether the child closed its end; it never says anything."""
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
