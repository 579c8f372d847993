"""What is measured: a tool that may be called and answers, or a list where there is none."""
from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import (
    Failure,
    InvalidInput,
    Load,
    Pending,
    RpcError,
    ServerTimeout,
    TestContext,
    TestError,
    TestSession,
    Timed,
)

from .plan import Plan

LISTS = ("tools", "resources", "prompts")
MOST_TRIED = 8
GOOD_ENOUGH_MS = 100.0
MOST_OTHERS = 11  # tools that share a soak
SLOW_MS = 250.0
TRY_S = {"quick": 1.0, "full": 20.0}
CHUNK = 400  # requests whose frames are looked up together; the session keeps only its latest


@dataclass(frozen=True)
class Target:
    """One request that is made again and again. Without a tool it is a list."""

    method: str
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    canaries: bool = False  # the tool may not see secrets: it is measured in containers that hold none
    note: str = ""

    @property
    def name(self) -> str:
        return self.tool or self.method

    @property
    def where(self) -> str:
        """The tool that results are told of."""
        return self.tool or "*"

    @property
    def request(self) -> dict[str, Any]:
        """What was sent, to send it again."""
        params = {"name": self.tool, "arguments": dict(self.arguments)} if self.tool else {}
        return {"method": self.method, "params": params}

    def load(self, session: TestSession, *, calls: int, concurrency: int = 1, deadline_s: float = 30.0) -> Load:
        """Make the request many times; never raises for one that fails."""
        if self.tool:
            return session.load(self.tool, self.arguments, calls=calls, concurrency=concurrency, deadline_s=deadline_s)
        return burst(session, self.method, calls, concurrency, deadline_s)


def choose(context: TestContext, session: TestSession, plan: Plan) -> Target:
    """Return what to measure. Raises InvalidInput for a named tool that cannot be, TestError when there is nothing at all."""
    tools = tools_of(session)
    if plan.tool:
        definition = next((one for one in tools if one.get("name") == plan.tool), None)
        if definition is None:
            raise InvalidInput(f"The server has no tool named {plan.tool[:60]!r}.", next_step="Name one of those it lists.")
        return _named(context, session, plan, definition)
    best: tuple[float, Target] | None = None
    until = time.monotonic() + TRY_S[context.profile]
    for definition in sorted((one for one in tools if may_be_loaded(context, one)), key=_effort)[:MOST_TRIED]:
        if best is not None and (best[0] <= GOOD_ENOUGH_MS or time.monotonic() > until):
            break
        for arguments in _inputs(context, definition):
            took = _answers(session, str(definition["name"]), arguments)
            if took is not None:
                made = Target("tools/call", str(definition["name"]), arguments)
                best = min(best or (took, made), (took, made), key=lambda one: one[0])
                break
    return best[1] if best else _list(session)


def _named(context: TestContext, session: TestSession, plan: Plan, definition: Mapping[str, Any]) -> Target:
    canaries = not context.may_see_secrets(definition)
    arguments = plan.arguments
    if arguments is None:
        if canaries:
            raise InvalidInput(
                f"{plan.tool} is not marked read-only, so no arguments are made up for it.",
                next_step='Name them: {"tool": …, "arguments": {…}}.',
            )
        arguments = next((one for one in _inputs(context, definition) if _answers(session, plan.tool, one) is not None), None)
        if arguments is None:
            raise InvalidInput(f"No arguments were found that {plan.tool} answers without an error.",
                               next_step='Name them: {"tool": …, "arguments": {…}}.')
    note = "It is not marked read-only and was measured in containers without secrets or network." if canaries else ""
    return Target("tools/call", plan.tool, arguments, canaries, note)


def _list(session: TestSession) -> Target:
    for what in LISTS:
        if what in session.capabilities:
            return Target(f"{what}/list", note="No tool is marked read-only and answers without an error: a list was measured.")
    raise TestError("The server offers no tool, resource or prompt: there is nothing to measure.")


def tools_of(session: TestSession) -> list[Mapping[str, Any]]:
    if "tools" not in session.capabilities:
        return []
    return [one for one in session.listing("tools") if isinstance(one, dict) and isinstance(one.get("name"), str)]


def others(
    context: TestContext, session: TestSession, target: Target, *, reads: bool
) -> tuple[list[Target], dict[str, str]]:
    """Return the other tools of a kind that answer, each with arguments it answers to, and why the rest is left out."""
    found: list[Target] = []
    left: dict[str, str] = {}
    for definition in tools_of(session):
        name = str(definition["name"])
        if name == target.tool or may_be_loaded(context, definition) != reads:
            continue
        if len(found) == MOST_OTHERS:
            left[name] = "There are more tools than there is time for."
            continue
        left[name] = "No input was found that it answers without an error."
        for arguments in _inputs(context, definition):
            took = _answers(session, name, arguments)
            if took is not None and took > SLOW_MS:
                left[name] = "Its calls take too long."
            elif took is not None:
                del left[name]
                found.append(Target("tools/call", name, arguments, canaries=not reads))
            if took is not None:
                break
    return found, left


def may_be_loaded(context: TestContext, definition: Mapping[str, Any]) -> bool:
    """A tool that only reads; with a way out, one that reads nothing outside: others are not to be put under our load."""
    hints = definition.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    inside = context.config.network != "outbound" or hints.get("openWorldHint") is False
    return hints.get("readOnlyHint") is True and inside and context.may_see_secrets(definition)


def _effort(definition: Mapping[str, Any]) -> tuple[int, int]:
    schema = definition.get("inputSchema")
    schema = schema if isinstance(schema, dict) else {}
    required, properties = schema.get("required"), schema.get("properties")
    return len(required) if isinstance(required, list) else 0, len(properties) if isinstance(properties, dict) else 0


def _inputs(context: TestContext, definition: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return a few valid arguments, the smallest first: these differ least from run to run."""
    cases = [case.arguments for case in context.inputs(definition, valid=6, invalid=0) if case.valid]
    return sorted(cases, key=lambda one: (len(json.dumps(one, default=str)), json.dumps(one, sort_keys=True, default=str)))[:3]


def _answers(session: TestSession, tool: str, arguments: Mapping[str, Any]) -> float | None:
    """Return how many milliseconds an answer takes, None for an error. Raises when the session is over."""
    took = 0.0
    for _ in range(2):  # the first call may load what all later ones use
        made = session.load(tool, arguments, calls=1, deadline_s=5.0).calls
        if not made or made[0].outcome != "ok":
            if made and made[0].outcome == "gone":
                raise TestError(f"The server went away when {tool[:60]} was called: {made[0].detail}")
            return None
        took = made[0].latency_ms
        if took > 1000:
            break
    return took


def burst(session: TestSession, method: str, calls: int, concurrency: int, deadline_s: float) -> Load:
    """Make a request without parameters many times, ``concurrency`` at once; latencies are those on the wire."""
    made: list[Timed] = []
    started = time.monotonic()
    while len(made) < calls:
        part = min(CHUNK, calls - len(made))
        made += _part(session, method, part, concurrency, deadline_s)
        if made[-1].outcome in ("gone", "timeout"):
            break
    return Load(tuple(made), time.monotonic() - started)


def _part(session: TestSession, method: str, calls: int, concurrency: int, deadline_s: float) -> list[Timed]:
    under_way: deque[Pending] = deque()
    ended: list[tuple[Any, str, str]] = []
    begun = 0
    while len(ended) < calls:
        try:
            while begun < calls and len(under_way) < concurrency:
                under_way.append(session.begin(method))
                begun += 1
        except Failure as failure:
            ended.append((None, "gone", failure.detail))
            break
        pending = under_way.popleft()
        ended.append((pending.request_id, *_outcome(pending, deadline_s)))
        if ended[-1][1] in ("gone", "timeout"):
            break
    sent: dict[Any, int] = {}
    took: dict[Any, float] = {}
    for frame in session.frames():
        message = frame.message
        if isinstance(message, dict) and isinstance(message.get("id"), str | int):
            if frame.direction == "sent" and "method" in message:
                sent[message["id"]] = frame.at
            elif frame.direction == "received" and message["id"] in sent and "method" not in message:
                took.setdefault(message["id"], (frame.at - sent[message["id"]]) / 1e6)
    return [Timed(took.get(number, deadline_s * 1000), outcome, detail) for number, outcome, detail in ended]  # type: ignore[arg-type]


def _outcome(pending: Pending, deadline_s: float) -> tuple[str, str]:
    try:
        pending.result(deadline_s=deadline_s)
    except RpcError as error:
        return "rpc_error", error.detail
    except ServerTimeout:
        return "timeout", ""
    except Failure as failure:
        return "gone", failure.detail
    return "ok", ""
