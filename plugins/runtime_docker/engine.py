"""The one way to the engine: every call has a deadline of its own and fails only with named failures.

A call runs in a thread of its own. At the deadline the caller goes on with RuntimeTimeout and the call's sockets
are cut, so neither a mute engine nor one that drips byte by byte holds anybody (tests/docker/test_engine_faults.py).
"""
from __future__ import annotations

import contextlib
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mcpweb.plugin import (
    Failure,
    RuntimeHealth,
    RuntimeProtocolError,
    RuntimeTimeout,
    RuntimeUnavailable,
)

from . import faults
from .breaker import Breaker

if TYPE_CHECKING:
    from .transport import Client

T = TypeVar("T")

TICK_S = 0.25  # how soon a stream notices that nobody wants it any more


@dataclass(frozen=True)
class Deadlines:
    """How many seconds the engine has for what. ``stop`` comes on top of the grace the server is given."""

    health: float = 2.0
    call: float = 10.0
    launch: float = 60.0
    cleanup: float = 10.0
    stop: float = 10.0
    remove: float = 20.0
    pull_silence: float = 120.0
    stream_silence: float = 30.0
    archive: float = 300.0

    @classmethod
    def all(cls, seconds: float) -> Deadlines:
        """Return the same deadline for everything; tests measure with it."""
        return cls(**dict.fromkeys(cls.__dataclass_fields__, seconds))


class Call:
    """One piece of work at the engine: its time, its sockets, its outcome."""

    def __init__(self, what: str, deadline_s: float) -> None:
        self.what = what
        self._ends = time.monotonic() + deadline_s
        self._guard = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.cut = False

    def left(self) -> float:
        """Return the seconds left, never less than a moment: a socket's timeout must not be 0."""
        return max(self._ends - time.monotonic(), 0.001)

    def track(self, sock: socket.socket) -> None:
        """Own a socket: it is cut when this call is given up."""
        with self._guard:
            self._sockets.append(sock)
            if not self.cut:
                return
        _shut(sock)

    def release(self) -> None:
        """Give the sockets away: whoever took the result owns them now."""
        with self._guard:
            self._sockets.clear()

    def give_up(self) -> None:
        """Cut the sockets; whatever waits on them ends at once."""
        with self._guard:
            self.cut = True
            sockets, self._sockets = self._sockets, []
        for sock in sockets:
            _shut(sock)


class Engine:
    """A Docker Engine at one address. Safe from any thread; connects at the first call."""

    def __init__(self, address: str = "", deadlines: Deadlines | None = None) -> None:
        self._given = address
        self.deadlines = deadlines or Deadlines()
        self._breaker = Breaker()
        self._client: Client | None = None

    @property
    def address(self) -> str:
        """Where the engine is looked for."""
        return checked_address(self._given) if self._given else default_address()

    @property
    def local(self) -> bool:
        """Whether the engine sees the same files as we do."""
        return self.address.startswith("unix://")

    def health(self) -> RuntimeHealth:
        """Ask for the version; a success also closes the breaker."""
        address = self._given
        try:
            address = self.address
            facts = self.call("answer", lambda client: client.version(), deadline_s=self.deadlines.health, probe=True)
        except Failure as failure:
            return RuntimeHealth(reachable=False, detail=failure.sentence, address=address)
        version, api = str(facts.get("Version", "")), str(facts.get("ApiVersion", ""))
        return RuntimeHealth(reachable=True, version=version, api_version=api, address=address)

    def call(
        self, what: str, work: Callable[[Client], T], *, deadline_s: float | None = None, probe: bool = False
    ) -> T:
        """Run ``work`` with a client and return its result within the deadline.

        ``what`` completes the sentence "The engine did not … within 10 s". ``probe`` asks even while the breaker is
        open. Raises RuntimeUnavailable and its kinds, NotFound, ImageMissing, RuntimeConflict.
        """
        limit = self.deadlines.call if deadline_s is None else deadline_s
        self._breaker.enter(probe)
        call = Call(what, limit)
        outcome: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def run() -> None:
            ok, value = self._attempt(call, work)
            if ok and call.cut:
                _dispose(value)  # nobody waits for it any more
            outcome.put((ok, value))

        threading.Thread(target=run, name=f"engine: {what}", daemon=True).start()
        try:
            ok, value = outcome.get(timeout=call.left())
        except queue.Empty:
            call.give_up()
            ok, value = False, RuntimeTimeout(f"The container engine did not {what} within {limit:g} s.")
        except BaseException:
            call.give_up()
            self._breaker.leave()
            raise
        return cast(T, self._settle(ok, value))

    def stream(
        self,
        what: str,
        work: Callable[[Client], Iterator[Any]],
        *,
        deadline_s: float | None = None,
        stop: Callable[[], bool] | None = None,
        ahead: int = 256,
    ) -> Iterator[Any]:
        """Yield what a stream of the engine sends, and None whenever nothing came for a moment.

        The None lets the reader look whether it is still wanted; closing the generator cuts the stream. The deadline
        counts for opening only, and ``stop()`` ends the wait for it. ``ahead`` items are read before they are asked for. Ends
        when the engine ends the stream; raises as ``call`` does.
        """
        limit = self.deadlines.call if deadline_s is None else deadline_s
        self._breaker.enter(False)
        call = Call(what, limit)
        items: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=ahead)

        def put(kind: str, value: Any) -> None:
            while not call.cut:
                with contextlib.suppress(queue.Full):
                    items.put((kind, value), timeout=TICK_S)
                    return

        def pump(client: Client) -> None:
            iterator = work(client)
            put("open", None)
            for item in iterator:
                put("item", item)

        def run() -> None:
            ok, value = self._attempt(call, pump)
            put("end" if ok else "failure", value)

        threading.Thread(target=run, name=f"engine: {what}", daemon=True).start()
        try:
            kind, value = "failure", RuntimeTimeout(f"The container engine did not {what} within {limit:g} s.")
            try:
                while (left := call.left()) > 0.001:
                    with contextlib.suppress(queue.Empty):
                        kind, value = items.get(timeout=min(left, TICK_S))
                        break
                    if stop is not None and stop():
                        self._breaker.leave()
                        return
            except BaseException:
                self._breaker.leave()
                raise
            self._settle(kind != "failure", value)
            while kind != "end":
                if kind == "failure":
                    raise value
                if kind == "item":
                    yield value
                try:
                    kind, value = items.get(timeout=TICK_S)
                except queue.Empty:
                    kind = "tick"
                    yield None
        finally:
            call.give_up()

    def _attempt(self, call: Call, work: Callable[[Client], Any]) -> tuple[bool, Any]:
        from . import transport

        transport.run_as(call)
        try:
            address = self.address
            client = self._client
            if client is None:
                client = self._client = _negotiated(transport, address)
            value = work(client)
            if not call.cut:
                call.release()
            return True, value
        except Exception as error:
            return False, faults.translate(error, call.what)

    def _settle(self, ok: bool, value: Any) -> Any:
        if ok or not faults.means_away(value):
            self._breaker.succeeded()
        else:
            self._client = None  # the engine may come back as another version
            self._breaker.failed(value)
        if not ok:
            raise value
        return value


def _negotiated(transport: Any, address: str) -> Client:
    """Return a client that speaks the newest API both sides know. Raises RuntimeProtocolError."""
    from docker.errors import APIError

    first = transport.Client(address, transport.OLDEST)
    try:
        facts = first.version(api_version=False)
        newest, oldest = str(facts["ApiVersion"]), str(facts.get("MinAPIVersion") or "1.12")
    except (APIError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, APIError) and error.is_server_error():
            raise
        detail = f"What answers at {address} is not a Docker Engine: {faults.brief(error)}"
        raise RuntimeProtocolError(detail) from error
    if not (re.fullmatch(r"\d+\.\d+", newest) and re.fullmatch(r"\d+\.\d+", oldest)):
        raise RuntimeProtocolError(f"The engine at {address} names its API version {newest!r}.")
    if _number(newest) < _number(transport.OLDEST):
        raise RuntimeUnavailable(
            f"The engine at {address} speaks API {newest}; mcpweb needs {transport.OLDEST} (Docker 20.10) or newer.",
            next_step="Upgrade the engine.",
            code="engine_too_old",
        )
    version = min(newest, transport.NEWEST, key=_number)
    return transport.Client(address, max(version, oldest, key=_number))  # type: ignore[no-any-return]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def checked_address(given: str) -> str:
    """Return a DOCKER_HOST as we use it. Raises RuntimeUnavailable for kinds we do not speak."""
    if given.startswith("unix:///") or re.fullmatch(r"tcp://(\[[0-9a-fA-F:.]+\]|[^/:@\[\]]+):\d{1,5}", given):
        return given
    if given.startswith("/"):
        return f"unix://{given}"
    raise RuntimeUnavailable(
        f"DOCKER_HOST is {given!r}, which mcpweb does not speak.",
        next_step="Use unix:///path/to/docker.sock, or tcp://host:port behind a tunnel or a socket proxy.",
    )


def default_address() -> str:
    """Return the first place where engines usually listen; the standard one when there is none."""
    home, uid = Path.home(), os.getuid()
    places = (
        Path("/var/run/docker.sock"),
        Path(f"/run/user/{uid}/docker.sock"),  # rootless
        home / ".docker/run/docker.sock",  # Docker Desktop
        home / ".docker/desktop/docker.sock",
    )
    for place in places:
        with contextlib.suppress(OSError):
            if place.is_socket():
                return f"unix://{place}"
    return f"unix://{places[0]}"


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _dispose(value: Any) -> None:
    close = getattr(value, "close", None)
    if callable(close):
        with contextlib.suppress(Exception):
            close()


__all__ = ["Call", "Deadlines", "Engine", "checked_address", "default_address"]
