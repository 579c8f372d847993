"""What all checks share: containers by trust, calls with everything that came of them, and verdicts."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mcpweb.plugin import (
    Cancelled,
    CheckResult,
    Failure,
    Frame,
    RpcError,
    ServerProtocolError,
    ServerTimeout,
    TestContext,
    TestError,
    TestSession,
)

Outcome = Literal["ok", "is_error", "rpc_error", "asks", "broken", "timeout", "gone"]
MOST_STARTS = 12
MOST_CALLS = 200
CUT = 2000


@dataclass(frozen=True)
class Attempt:
    """One call of a tool and what came of it. ``words`` is all text of the reply, ``why`` what a Failure said."""

    tool: str
    arguments: Mapping[str, Any]
    outcome: Outcome
    label: str = ""
    valid: bool = True
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    ms: float = 0.0
    trusted: bool = False
    given_up: str = ""

    @property
    def words(self) -> str:
        if self.outcome == "rpc_error":
            return str(self.error.get("message", ""))
        return text_of(self.result)

    @property
    def code(self) -> Any:
        return self.error.get("code")

    @property
    def request(self) -> dict[str, Any]:
        return {"method": "tools/call", "params": {"name": self.tool, "arguments": dict(self.arguments)}}

    def told(self) -> dict[str, Any]:
        """Return the call as evidence, cut."""
        said: Any = self.error if self.outcome == "rpc_error" else self.why or cut(self.result)
        return {
            "input": self.label,
            "arguments": cut(self.arguments),
            "outcome": self.outcome,
            "reply": said,
            "ms": round(self.ms, 1),
        }


class Lane:
    """A container for calls of one trust: it is started when it is first needed, and again when the server has gone."""

    def __init__(self, context: TestContext, *, trusted: bool) -> None:
        self._context = context
        self.trusted = trusted
        self._session: TestSession | None = None
        self._starts = 0
        self.frames: list[tuple[str, Sequence[Frame]]] = []  # of sessions that are over, with their protocol
        self.bad: list[bytes] = []  # lines of sessions that are over, which are no messages
        self.lost = 0

    @property
    def session(self) -> TestSession:
        """The session. Raises TestError when the server has gone too often."""
        if self._session is None:
            if self._starts >= MOST_STARTS:
                raise TestError(f"The server had to be started more than {MOST_STARTS} times.")
            self._starts += 1
            self._session = self._context.fresh(canaries=not self.trusted)
        return self._session

    @property
    def current(self) -> TestSession | None:
        """The session that is open now, without starting one."""
        return self._session

    def end(self) -> None:
        """Close the session; the next look at it starts another."""
        if self._session is not None:
            self.frames.append((self._session.protocol, self._session.frames()))
            self.bad += self._session.bad_lines()
            with contextlib.suppress(Failure):
                self._session.close()
            self._session = None

    def all_frames(self) -> list[tuple[str, Sequence[Frame]]]:
        return [*self.frames, *([(self._session.protocol, self._session.frames())] if self._session is not None else [])]

    def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        deadline_s: float,
        label: str = "",
        valid: bool = True,
        meta: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
        patience_s: float = 3.0,
        overdue: Callable[[TestSession], object] | None = None,
    ) -> Attempt:
        """Call a tool; whatever comes of it is an Attempt. Raises Failure when no server can be had at all.

        A server that is still silent ``patience_s`` after the deadline is lost. ``overdue`` has a look at one that owes
        the reply, before it is told that nobody waits any more.
        """
        session = self.session
        params = {"name": tool, "arguments": dict(arguments), **({"_meta": dict(meta)} if meta else {}), **(more or {})}
        started = time.monotonic()
        outcome: Outcome = "ok"
        result: Any = {}
        error: Mapping[str, Any] = {}
        why = given_up = ""
        try:
            pending = session.begin("tools/call", params)
            try:
                result = pending.result(deadline_s=deadline_s)
            except ServerTimeout:
                if overdue is not None:
                    overdue(session)
                pending.cancel("too late")
                raise
            result = result if isinstance(result, Mapping) else {}
            if result.get("resultType") == "input_required":
                outcome = "asks"
            elif result.get("isError") is True:
                outcome = "is_error"
        except RpcError as failure:
            outcome, error = "rpc_error", failure.rpc
        except ServerTimeout as failure:
            outcome, why = "timeout", failure.sentence
        except Cancelled:
            raise
        except ServerProtocolError as failure:  # a reply that is none; the session may go on
            outcome, why = ("broken", failure.sentence) if alive(session) else ("gone", failure.sentence)
        except Failure as failure:
            outcome, why, given_up = "gone", failure.sentence, session.given_up
        ms = (time.monotonic() - started) * 1000
        if outcome == "gone" or (outcome == "timeout" and not alive(session, patience_s)):
            self.lost += 1
            self.end()
        return Attempt(tool, arguments, outcome, label, valid, result, error, why, ms, self.trusted, given_up)


class Bench:
    """One run: the server's definitions, its lanes, all calls so far."""

    def __init__(self, context: TestContext, first: TestSession, lane: Lane) -> None:
        self.context = context
        self.quick = context.profile == "quick"
        self.era, self.protocol = first.era, first.protocol
        self.capabilities: Mapping[str, Any] = first.capabilities
        self.declared: list[dict[str, Any]] = []  # tools as they are listed
        self.tools: list[dict[str, Any]] = []  # the same, each with an object as its schema
        self.attempts: list[Attempt] = []
        self.known: dict[str, list[Any]] = {}
        self.plain = lane
        self._lanes: dict[bool, Lane] = {lane.trusted: lane}
        # where there is no secret and no network, a container as configured is not other than one with canaries
        self.needs_trust = lane.trusted or bool(first.canaries) or context.config.network not in ("none", "published")
        self.calls = 0
        self._kept: list[tuple[str, Sequence[Frame]]] = []  # of lanes that are over, and were opened for one check alone
        self._stray: list[bytes] = []
        self.orders: list[list[str]] = []  # names of tools as other containers list them
        self.short_of_time = False  # some calls that were planned were not made
        self.told_at = time.monotonic()  # when the last call with a progress token had its reply

    def lane(self, definition: Mapping[str, Any]) -> Lane:
        """Return the lane in which a tool may be called."""
        trusted = self.needs_trust and self.context.may_see_secrets(definition)
        if not trusted and self.plain.trusted:
            raise TestError("The server does not start with canaries in place of its secrets, and this tool may not see them.")
        if trusted not in self._lanes:
            self._lanes[trusted] = Lane(self.context, trusted=trusted)
        return self._lanes[trusted]

    def lanes(self) -> list[Lane]:
        return list(self._lanes.values())

    def call(self, definition: Mapping[str, Any], arguments: Mapping[str, Any], **more: Any) -> Attempt:
        """Call a tool in its lane and keep what came of it."""
        self.calls += 1
        attempt = self.lane(definition).call(str(definition["name"]), arguments, **more)
        self.attempts.append(attempt)
        if more.get("meta"):
            self.told_at = time.monotonic()
        return attempt

    def frames(self) -> Iterator[tuple[str, Sequence[Frame]]]:
        yield from self._kept
        for lane in self.lanes():
            yield from lane.all_frames()

    def bad_lines(self) -> Iterator[bytes]:
        """Yield what came and is no message, of all sessions."""
        yield from self._stray
        for lane in self.lanes():
            yield from lane.bad
            if lane.current is not None:
                yield from lane.current.bad_lines()

    def over(self, lane: Lane) -> None:
        """End a lane that was opened for one check, and keep what came in it for those who read frames."""
        lane.end()
        self._kept += lane.frames
        self._stray += lane.bad

    def worked(self, tool: str) -> Attempt | None:
        """Return the first call of a tool that succeeded with valid input."""
        return next((one for one in self.attempts if one.tool == tool and one.valid and one.outcome == "ok"), None)

    def close(self) -> None:
        for lane in self.lanes():
            lane.end()


def alive(session: TestSession, deadline_s: float = 3.0) -> bool:
    """Tell whether a well-formed request is still answered."""
    try:
        session.request("tools/list", {}, deadline_s=deadline_s)
    except RpcError:
        return True
    except Failure:
        return False
    return True


def guarded(check_id: str, check: Callable[[], Iterator[CheckResult]]) -> Iterator[CheckResult]:
    """Yield the verdicts of a check and how long they took; one that cannot decide says so, and the next one runs."""
    started = time.monotonic()
    try:
        for result in check():
            took = (time.monotonic() - started) * 1000
            yield result if result.duration_ms is not None else replace(result, duration_ms=took)
    except Cancelled:
        raise
    except RecursionError:
        yield CheckResult(check_id, "undecided", "What the server sends is nested too deep to be looked at.")
    except Failure as failure:
        yield CheckResult(
            check_id,
            "undecided",
            f"It could not be decided: {failure.sentence}",
            evidence={"code": failure.code},
            timed_out=isinstance(failure, ServerTimeout),
            duration_ms=(time.monotonic() - started) * 1000,
        )


def text_of(result: Mapping[str, Any]) -> str:
    """Return all text of a result's content."""
    content = result.get("content")
    blocks = content if isinstance(content, list) else []
    return "\n".join(str(block["text"]) for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str))


def cut(value: Any, most: int = CUT) -> Any:
    """Return a value small enough for evidence; what is cut says how large it was."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    if len(text) <= most:
        return value
    if isinstance(value, str):
        return f"{value[: most // 2]}… ({len(value)} characters)"
    if isinstance(value, Mapping):
        return {str(key)[:100]: cut(inner, max(100, most // 4)) for key, inner in list(value.items())[:20]}
    if isinstance(value, Sequence):
        return [cut(inner, max(100, most // 4)) for inner in list(value)[:10]]
    return text[:most]


def reproduce(attempt: Attempt) -> str:
    """Say how to see a call again."""
    return f"Call {attempt.tool} with these arguments in a fresh container: the server's page, Tools, Call."
