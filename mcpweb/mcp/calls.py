"""Requests that nobody waits for at once: one under way, and loads of many."""
from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from mcpweb.contracts import Load, Pending, Timed
from mcpweb.errors import (
    Cancelled,
    Failure,
    InvalidInput,
    RpcError,
    ServerFlood,
    ServerProtocolError,
    ServerTimeout,
)
from mcpweb.mcp import loop as loops

if TYPE_CHECKING:
    from mcpweb.mcp.session import Session

MOST_VAIN = 3
MOST_PAGES = 100
_SLACK_S = 2.0


class Begun(Pending):
    """A request whose reply may come at any time."""

    def __init__(self, session: Session, method: str, request_id: int, future: Future[dict[str, Any]]) -> None:
        self.request_id = request_id
        self._session = session
        self._method = method
        self._future = future

    def result(self, *, deadline_s: float = 10) -> Any:
        try:
            return self._future.result(deadline_s)
        except TimeoutError:
            raise ServerTimeout(f"{self._method} was not answered within {deadline_s:g} s.") from None
        except FutureCancelled:
            raise Cancelled("The request was cancelled.") from None

    def cancel(self, reason: str = "") -> None:
        if self._future.done():
            return
        params = {"requestId": self.request_id} | ({"reason": reason} if reason else {})
        with contextlib.suppress(Failure):
            self._session.notify("notifications/cancelled", params)
        self._future.cancel()


def begin(session: Session, method: str, params: Mapping[str, Any] | None) -> Begun:
    """Send a request; it is on its way when this returns. Raises when it cannot be sent."""
    number = session.next_id()
    mark = session.tap.mark(number)
    future = loops.submit(session.ask(method, dict(params or {}), None, number=number, cancel_on_abandon=False))
    future.add_done_callback(lambda _: session.tap.unmark(number))

    async def sent() -> None:
        while not mark.sent and not future.done():
            await asyncio.sleep(0)

    loops.run(sent(), _SLACK_S)
    if not mark.sent:
        future.result(_SLACK_S)  # raises why
    return Begun(session, method, number, future)


async def walk(session: Session, method: str, what: str, deadline_s: float) -> list[Any]:
    """Walk all pages of a list from inside the loop's thread. See ``Session.listing``."""
    items: list[Any] = []
    until = time.monotonic() + deadline_s
    most_bytes = session.tap.received + session.limits.listing_bytes
    seen: set[str] = set()
    cursor = None
    for _ in range(MOST_PAGES):
        params: dict[str, Any] = {"cursor": cursor} if cursor is not None else {}
        page = await session.ask(method, params, max(0.0, until - time.monotonic()))
        found = page.get(what)
        if not isinstance(found, list):
            raise ServerProtocolError(f"{method} answered without a list of {what}.")
        items += found
        if len(items) > session.limits.listing_items or session.tap.received > most_bytes:
            raise ServerFlood(f"{method} holds more than this program takes ({session.limits.listing_items} items).")
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str):
            return items
        if cursor in seen:
            raise ServerProtocolError(f"{method} repeats the cursor {cursor[:40]!r}.")
        seen.add(cursor)
    raise ServerProtocolError(f"{method} has more than {MOST_PAGES} pages.")


def load(
    session: Session, tool: str, arguments: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, calls: int, concurrency: int,
    deadline_s: float, most_s: float,
) -> Load:
    """Make many calls from inside the loop's thread, in ``most_s`` altogether. See ``TestSession.load``."""
    given = [dict(arguments)] if isinstance(arguments, Mapping) else [dict(one) for one in arguments]
    if not given or calls < 1 or concurrency < 1 or deadline_s <= 0:
        raise InvalidInput("A load needs arguments, calls, callers and a deadline.")
    work = _Work(session, tool, given, calls, deadline_s, time.monotonic() + max(most_s, 0.0))
    return loops.run(work.carry_out(min(concurrency, calls)), max(most_s, 0.0) + _SLACK_S)


class _Work:
    """One load. Lives in the loop's thread."""

    def __init__(
        self, session: Session, tool: str, given: list[dict[str, Any]], calls: int, deadline_s: float, until: float
    ) -> None:
        self._session = session
        self._tool = tool
        self._given = given
        self._calls = calls
        self._deadline_s = deadline_s
        self._until = until
        self._begun = 0
        self._done: dict[int, Timed] = {}

    async def carry_out(self, callers: int) -> Load:
        started = time.monotonic_ns()
        tasks = [asyncio.ensure_future(self._caller()) for _ in range(callers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        wall_s = (time.monotonic_ns() - started) / 1e9
        return Load(tuple(self._done[at] for at in sorted(self._done)), wall_s)

    async def _caller(self) -> None:
        vain = 0
        while self._begun < self._calls and vain < MOST_VAIN:
            left = self._until - time.monotonic()
            if left <= 0:
                return
            at, self._begun = self._begun, self._begun + 1
            timed = await self._one(self._given[at % len(self._given)], min(self._deadline_s, left))
            if timed.outcome == "timeout" and left < self._deadline_s:
                return  # cut short by the end of our time, which says nothing about the server
            self._done[at] = timed
            vain = vain + 1 if timed.outcome == "timeout" else 0
            if timed.outcome == "gone":
                return

    async def _one(self, arguments: dict[str, Any], deadline_s: float) -> Timed:
        session, number = self._session, self._session.next_id()
        mark = session.tap.mark(number)
        began = time.monotonic_ns()
        try:
            params = {"name": self._tool, "arguments": arguments}
            result = await session.ask("tools/call", params, deadline_s, number=number)
        except ServerTimeout:
            return Timed(deadline_s * 1000, "timeout")
        except InvalidInput:
            raise
        except Failure as failure:
            told = isinstance(failure, RpcError | ServerProtocolError) and session.ended is None
            return Timed(_between(mark, began), "rpc_error" if told else "gone", failure.detail[:300])
        finally:
            session.tap.unmark(number)
        return Timed(_between(mark, began), "is_error" if result.get("isError") is True else "ok")


def _between(mark: Any, began: int) -> float:
    """Return the milliseconds from line to line; a reply under another spelling of the id counts until now."""
    return ((mark.received or time.monotonic_ns()) - (mark.sent or began)) / 1e6
