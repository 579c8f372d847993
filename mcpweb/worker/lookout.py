"""The watch over what running servers say of themselves: is each tool still what was approved?

A server is looked at when its session begins, when it tells that a list has changed, after calls, every minute, and – where
its policy is to block – before a call whenever something has happened since the last look. What has not changed costs one
request and one hash; only news reach the database.
"""
from __future__ import annotations

import hashlib
import logging
import marshal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from mcpweb.contracts.pins import PinKind, canonical
from mcpweb.core import Core
from mcpweb.dao import servers, tools
from mcpweb.dao.servers import Server
from mcpweb.db import driver
from mcpweb.errors import Failure, RpcError, ServerFlood, ServerProtocolError, ServerTimeout
from mcpweb.services import pins
from mcpweb.services.pins import Definition

if TYPE_CHECKING:
    from mcpweb.worker.logs import LogBook
    from mcpweb.worker.member import Member

log = logging.getLogger(__name__)

FRESH_S = 1.0  # how long a look is good for where nothing has happened since
BETWEEN_S = 1.0  # at least so long between two looks in the background at one server
LOOK_S = 10.0
FIRST_LOOK_S = 30.0
AT_ONCE = 4
AUDIT_EVERY_S = 60.0  # a server that says something else at each look does not fill the audit log
LISTS: dict[PinKind, tuple[str, str]] = {
    "tool": ("tools", "tools"), "prompt": ("prompts", "prompts"), "resource": ("resources", "resources"),
    "template": ("resourceTemplates", "resources"),
}
"""By kind: which list, and the capability that announces it."""
OTHERS: tuple[PinKind, ...] = tuple(kind for kind in pins.KINDS if kind != "tool")


class Ahead(NamedTuple):
    """A list asked for before anybody needs it."""

    events: int
    at: float
    list: Future[list[Any]]


@dataclass
class Sight:
    """What is known of a session: the digests of what it said last, and what has happened since."""

    events: int = 0  # calls that ended, and notices of changed lists
    looked: int = -1  # their count at the beginning of the newest look at the tools
    at: float = float("-inf")  # when that began
    looked_at_all: float = float("-inf")
    audited: float = float("-inf")
    tools: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    prints: dict[str, bytes] = field(default_factory=dict)  # of the same lists, as they came
    ahead: Ahead | None = None
    fault: str = ""
    looking: threading.Lock = field(default_factory=threading.Lock)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def happened(self) -> int:
        """Count something after which the server may say something else."""
        with self.guard:
            self.events += 1
            return self.events

    def good(self, since: int) -> bool:
        """Tell whether the newest look began after ``since`` and not too long ago."""
        return self.looked >= since and time.monotonic() - self.at <= FRESH_S


class Lookout:
    """Looks at the lists of running servers. Safe from any thread; each server is looked at by one at a time."""

    def __init__(self, core: Core, book: LogBook) -> None:
        self._core = core
        self._book = book
        self._due: dict[str, Member] = {}
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._busy: set[str] = set()
        self._closed = False

    # Who asks

    def begin(self, member: Member) -> None:
        """Look at a session that has just been opened. Raises what the list of tools raises."""
        self.attend(member)
        self._tools(member, FIRST_LOOK_S, None)
        self.soon(member)

    def attend(self, member: Member) -> None:
        """Look again whenever the server says that a list has changed, and ask to be told where it must be asked."""

        def told() -> None:
            member.sight.happened()
            self.soon(member)

        member.session.on_lists_changed = told
        member.session.listen()

    def look(self, member: Member, deadline_s: float) -> int:
        """Look at everything now and return how many tools there are. Raises what the list of tools raises."""
        self._tools(member, deadline_s, None)
        self._others(member, OTHERS, LOOK_S)
        return member.sight.tools

    def clear(self, member: Member, server: Server, tool: str, deadline_s: float) -> str:
        """Return what a call is to be warned of, empty if of nothing. Raises Conflict for a changed tool under ``block``.

        There the tools are looked at first, if anything has happened since the last look. A list that was approved and
        cannot be read any more is a reason not to call, too.
        """
        block, sight = server.pin_policy == "block", member.sight
        if sight.looked < 0 and not set(OTHERS) <= set(server.pinned):
            self._others(member, OTHERS, LOOK_S)  # in a container that is thrown away: there is no look in the background
        if block or sight.looked < 0:
            try:
                self._tools(member, deadline_s, sight.events)
            except (RpcError, ServerProtocolError, ServerTimeout, ServerFlood) as failure:
                self._told_fault(member, failure)
                if block and "tool" in server.pinned:
                    failure.detail = f"{failure.detail} So nobody knows whether {tool} is what was approved; it was not called."
                    raise
        with self._core.db.reading() as conn:
            return pins.gate(conn, member.server_id, tool)

    def after_call(self, member: Member, policy: str) -> None:
        """Note that a call has ended; the tools are asked for at once, so that the next call need not wait for them."""
        sight, session = member.sight, member.session
        events = sight.happened()
        if policy == "block" and session.ended is None and "tools" in session.capabilities:
            with sight.guard:
                if sight.ahead is None or sight.ahead.list.done():
                    sight.ahead = Ahead(events, time.monotonic(), session.begin_listing("tools", LOOK_S))
        self.soon(member)

    def soon(self, member: Member) -> None:
        """Look at everything in the background, at most once a second."""
        with self._wake:
            if self._closed or member.server_id in self._due:
                return
            self._due[member.server_id] = member
            if self._thread is None:
                self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lookout")
                self._thread = threading.Thread(target=self._waiting, name="lookout", daemon=True)
                self._thread.start()
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._due.clear()
            self._wake.notify()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    # In the background

    def _waiting(self) -> None:
        while True:
            with self._wake:
                if self._closed:
                    return
                idle = [member for member in self._due.values() if member.server_id not in self._busy]
                if not idle:
                    self._wake.wait()
                    continue
                member = min(idle, key=lambda one: one.sight.looked_at_all)
                left = member.sight.looked_at_all + BETWEEN_S - time.monotonic()
                if left > 0:
                    self._wake.wait(left)
                    continue
                del self._due[member.server_id]
                self._busy.add(member.server_id)
                assert self._pool is not None
                self._pool.submit(self._in_background, member)

    def _in_background(self, member: Member) -> None:
        try:
            if member.session.ended is None:
                self._tools(member, LOOK_S, None)
                self._others(member, OTHERS, LOOK_S)
        except Failure as failure:
            self._told_fault(member, failure)
        except driver.DatabaseError as failure:
            log.warning("what %s says could not be stored: %s", member.name, failure)
        except Exception:
            log.exception("%s could not be looked at", member.name)
        finally:
            member.sight.looked_at_all = time.monotonic()
            self._core.db.close()
            with self._wake:
                self._busy.discard(member.server_id)
                self._wake.notify()

    def _told_fault(self, member: Member, failure: Failure) -> None:
        if member.session.ended is None and failure.detail != member.sight.fault:
            member.sight.fault = failure.detail
            self._book.event(member.server_id, member.redactor.text(f"the tools could not be listed: {failure.detail}"))

    # Looking

    def _tools(self, member: Member, deadline_s: float, since: int | None) -> None:
        """Look at the tools; a look of somebody else that began after ``since`` events will do."""
        sight, until = member.sight, time.monotonic() + deadline_s
        if not sight.looking.acquire(timeout=deadline_s):
            raise ServerTimeout(f"tools/list was not answered within {deadline_s:g} s.")
        try:
            if since is not None and sight.good(since):
                return
            events, began, items = self._asked_ahead(member, since, until) or (sight.events, time.monotonic(), None)
            if items is None:
                items = self._list(member, "tool", until - time.monotonic())
            self._compare(member, "tool", items)
            sight.looked, sight.at, sight.tools, sight.fault = events, began, len(items), ""
        finally:
            sight.looking.release()

    def _asked_ahead(self, member: Member, since: int | None, until: float) -> tuple[int, float, list[Any]] | None:
        """Return the tools that were asked for ahead, and after how many events and when; None if they will not do."""
        with member.sight.guard:
            ahead, member.sight.ahead = member.sight.ahead, None
        if ahead is None or since is None or ahead.events < since or time.monotonic() - ahead.at > FRESH_S:
            return None
        try:
            return ahead.events, ahead.at, ahead.list.result(max(0.0, until - time.monotonic()))
        except (FutureTimeout, FutureCancelled, Failure):
            return None  # who asks now has a deadline of its own, and says why

    def _others(self, member: Member, kinds: Sequence[PinKind], deadline_s: float) -> None:
        """Look at lists beside the tools; one that cannot be had is left as it was."""
        until = time.monotonic() + deadline_s
        for kind in kinds:
            try:
                self._compare(member, kind, self._list(member, kind, until - time.monotonic()))
            except Failure as failure:
                log.info("%s of %s cannot be listed: %s", kind, member.name, failure.detail)

    def _compare(self, member: Member, kind: PinKind, items: list[Any]) -> None:
        """Store a list if it is not what it was at the last look; one that came just as it did then is not even spelled out."""
        found = fingerprint(items)
        if found is not None and member.sight.prints.get(kind) == found:
            return
        try:
            digest = hashlib.sha256(canonical(items)).hexdigest()
            if member.sight.digests.get(kind) != digest:
                self._store(member, kind, items)
                member.sight.digests[kind] = digest
            if found is not None:
                member.sight.prints[kind] = found
        except RecursionError:
            raise ServerProtocolError("What the server lists is nested too deeply.") from None

    @staticmethod
    def _list(member: Member, kind: PinKind, deadline_s: float) -> list[Any]:
        """Return a list as received; what a server does not announce is empty."""
        session = member.session
        if kind == "instructions":
            return [session.instructions] if session.instructions else []
        what, capability = LISTS[kind]
        return session.listing(what, deadline_s=max(0.1, deadline_s)) if capability in session.capabilities else []

    def _store(self, member: Member, kind: PinKind, items: list[Any]) -> None:
        sight = member.sight
        audited = time.monotonic() - sight.audited >= AUDIT_EVERY_S
        observed = pins.observe(self._core, member.server_id, {kind: definitions_of(member, kind, items)}, audited=audited)
        if observed.news:
            if audited:
                sight.audited = time.monotonic()
            self._book.event(member.server_id, _sentence(kind, observed.differs))
        if kind == "tool":
            definitions = member.redactor.json([item for item in items if isinstance(item, dict)])
            with self._core.db.writing() as conn:
                if servers.find(conn, member.server_id) is not None:
                    tools.replace(conn, member.server_id, definitions)


def fingerprint(items: list[Any]) -> bytes | None:
    """Return a hash two lists share only if each value, its type and the order of keys are the same; None if they are too deep.

    It takes a tenth of the time the canonical spelling does, which matters where many tools are looked at before each call.
    """
    try:
        return hashlib.sha256(marshal.dumps(items, 2)).digest()
    except ValueError:
        return None


def definitions_of(member: Member, kind: PinKind, items: list[Any]) -> list[Definition]:
    """Return what a list holds, named and hashed."""
    return pins.named(kind, items, member.known, member.redactor)


def _sentence(kind: str, differs: Mapping[tuple[str, str], str]) -> str:
    if not differs:
        return f"{kind}: everything is what was approved again"
    named = ", ".join(f"{name} {change}" for (_, name), change in [*differs.items()][:5])
    more = f" and {len(differs) - 5} more" if len(differs) > 5 else ""
    return f"{kind}: not what was approved: {named}{more}"
