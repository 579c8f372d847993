"""Log streams of this process: one thread reads the logs and looks after everybody who follows them.

A stream keeps a thread of the web server, so there are 48 at most, and no transaction or connection: what it sends comes
from files, and whether it may go on is asked by the one thread.
"""
from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcpweb import logstore
from mcpweb.core import Core
from mcpweb.errors import Failure
from mcpweb.logstore import LogLine, Wanted

LIMIT = 48
TICK_S = 0.1
_LOOK_S = 0.25
_SURE_S = 5.0  # time ends sessions too, and writes nothing
_HEARTBEAT_S = 5.0
_LINES = 500  # of one batch; who writes more is not read by people
_WAITING = 50
_BEHIND_BYTES = 1 << 20

Render = Callable[[Sequence[LogLine], int], str]


@dataclass(frozen=True)
class Follow:
    """What somebody follows. ``who`` names the asker, ``ends`` says why it is over (empty: it goes on), ``render`` makes
    markup of lines and of how many are left out before them; those of one ``look`` make the same."""

    who: str
    folder: Path
    wanted: Wanted
    ends: Callable[[], str]
    render: Render
    look: str = ""
    offset: int | None = None
    sock: socket.socket | None = None


class Stream:
    """The events of one reader."""

    def __init__(self, follow: Follow, position: int) -> None:
        self.follow = follow
        self._begin = position if follow.offset is None else follow.offset
        self._position = position
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.ending_since: float | None = None

    def events(self) -> Iterator[bytes]:
        """Yield what was missed, what comes, and a sign of life in between, until the end."""
        yield b": lines follow\n\n"
        if (missed := self._missed()) is not None:
            yield missed
        while True:
            try:
                payload = self._queue.get(timeout=_HEARTBEAT_S)
            except queue.Empty:
                payload = b": still here\n\n"
            if not payload:
                return
            yield payload

    def put(self, payload: bytes) -> bool:
        """Hand over a batch; False when the reader is too far behind."""
        self._queue.put(payload)
        return self._queue.qsize() < _WAITING

    def end(self, reason: str) -> None:
        """Let the stream end; a reason is told as an event, without one the reader comes back."""
        if self.ending_since is None:
            self.ending_since = time.monotonic()
            if reason:
                self._queue.put(f"event: ended\ndata: {reason}\n\n".encode())
            self._queue.put(b"")

    def _missed(self) -> bytes | None:
        begin = min(self._begin, self._position)
        if begin == self._position:
            return None
        follow, skipped = self.follow, 0
        page = logstore.last(follow.folder, before=self._position, limit=_LINES, wanted=follow.wanted)
        lines = [line for line in page.lines if line.offset >= begin]
        if len(lines) == len(page.lines) == _LINES:
            skipped = 1  # how many there are would have to be counted
        return _event(self._position, follow.render(lines, skipped) if lines else "")


class Streams:
    """All streams of this process."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._streams: list[Stream] = []
        self._positions: dict[Path, int] = {}
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self.leaving: Callable[[], bool] = lambda: False

    def free(self) -> bool:
        """Tell whether one more can be had."""
        return len(self._streams) < LIMIT and not self.leaving()

    def open(self, follow: Follow) -> Stream | None:
        """Return a stream, None when there are as many as may be."""
        with self._guard:
            if not self.free():
                return None
            if follow.folder not in self._positions:
                self._positions[follow.folder] = logstore.end_of(follow.folder)
            stream = Stream(follow, self._positions[follow.folder])
            self._streams.append(stream)
            if self._thread is None or not self._thread.is_alive():  # a fork carries none over
                self._thread = threading.Thread(target=self._look_after, name="log-streams", daemon=True)
                self._thread.start()
        return stream

    def close(self, stream: Stream) -> None:
        """Give the place back."""
        with self._guard, suppress(ValueError):
            self._streams.remove(stream)

    def _look_after(self) -> None:
        looked, sure, version = 0.0, 0.0, -1
        try:
            while True:
                time.sleep(TICK_S)
                with self._guard:
                    streams = list(self._streams)
                    if not streams:
                        self._positions.clear()
                        self._thread = None
                        return
                    self._positions = {path: at for path, at in self._positions.items()
                                       if any(one.follow.folder == path for one in streams)}
                now = time.monotonic()
                if self.leaving():
                    _end(streams, "")
                if now - looked >= _LOOK_S:
                    looked = now
                    _hang_up(streams, now)
                    with suppress(Failure):
                        newest = self._core.db.data_version()
                        if newest != version or now - sure >= _SURE_S:
                            self._ask(streams)
                            version, sure = newest, now
                with suppress(OSError):  # a folder that cannot be read now can be read later
                    self._publish()
        finally:
            self._core.db.close()

    def _ask(self, streams: Sequence[Stream]) -> None:
        """End the streams of servers that stopped and of people who may not look any more."""
        answers: dict[tuple[str, Path], str] = {}
        for stream in streams:
            if stream.ending_since is not None:
                continue
            question = (stream.follow.who, stream.follow.folder)
            if question not in answers:
                answers[question] = stream.follow.ends()
            if reason := answers[question]:
                if reason != "denied":
                    self._publish(stream.follow.folder)
                stream.end(reason)

    def _publish(self, only: Path | None = None) -> None:
        """Send what was written since, once for all who follow it the same way."""
        for folder, position in list(self._positions.items()):
            if only is not None and folder != only:
                continue
            end = logstore.end_of(folder)
            if end <= position:
                continue
            skipped = 0
            if end - position > _BEHIND_BYTES:
                position, skipped = end - _BEHIND_BYTES // 4, 1
            page = logstore.read(folder, offset=position)
            with self._guard:  # a stream that opens now begins behind this batch, an older one gets it
                self._positions[folder] = page.next_offset
                streams = [one for one in self._streams if one.follow.folder == folder and one.ending_since is None]
            payloads: dict[tuple[Wanted, str], bytes] = {}
            for stream in streams:
                alike = (stream.follow.wanted, stream.follow.look)
                if alike not in payloads:
                    lines = [line for line in page.lines if stream.follow.wanted.fits(line)]
                    left_out = skipped or max(0, len(lines) - _LINES)
                    payloads[alike] = _event(page.next_offset, stream.follow.render(lines[-_LINES:], left_out) if lines else "")
                if not stream.put(payloads[alike]):
                    stream.end("")


def _event(offset: int, html: str) -> bytes:
    data = html.replace("\n", "\ndata: ").removesuffix("data: ") if html else ""
    return (f"id: {offset}\n" + (f"data: {data}" if data else "") + "\n").encode()


def _end(streams: Sequence[Stream], reason: str) -> None:
    for stream in streams:
        stream.end(reason)


def _hang_up(streams: Sequence[Stream], now: float) -> None:
    """End the streams nobody reads any more, and cut those that do not end because their reader does not read."""
    for stream in streams:
        sock = stream.follow.sock
        if sock is None:
            continue
        if stream.ending_since is not None and now - stream.ending_since > 0.5:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            continue
        try:
            gone = sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if gone:
            stream.end("")
