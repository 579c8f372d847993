"""A session in a container of its own, with canaries for secrets, in which a server is used as clients use it.

What it prints, announces and survives shows in use, not in a handshake: lists are walked, tools called, resources read, prompts
had, a call is cancelled that is over, and many small requests follow one another.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mcpweb.plugin import Cancelled, Failure, RpcError, ServerExited, TestContext, TestSession

What = Literal["tools", "resources", "resourceTemplates", "prompts"]
LISTS: tuple[What, ...] = ("tools", "resources", "prompts")
NAMED = {"tools": "name", "resources": "uri", "prompts": "name"}
MOST_TOOLS, MOST_ITEMS, REQUESTS, CALLS = 16, 6, 60, 30
USE_S = 8.0
LASTS_S = 1.2  # one that does its calls in turn has the rest of the two seconds to see that its input has ended
TIMED = re.compile(
    r"(?:^|_)(ms|millis\w*|sec\w*|minutes?|hours?|duration|delay|sleep|wait|pause|hold|interval|timeout)(?:$|_)", re.I
)
IDENTIFIER = re.compile(r"(?<![\w.-])(?=[\w-]*\d)[A-Za-z]{1,12}[-_]?[A-Za-z0-9]{1,12}(?:[-_][A-Za-z0-9]{1,8}){0,3}(?![\w-])")
UNITS = (
    (re.compile(r"\bms\b|_ms$|milli", re.I), 1000.0),
    (re.compile(r"minute", re.I), 1 / 60),
    (re.compile(r"hour", re.I), 1 / 3600),
)


@dataclass
class Used:
    """What was seen while a server was used: answers by method, the lists before and after, and why it ended, if it did."""

    session: TestSession
    before: dict[str, list[Any]] = field(default_factory=dict)
    after: dict[str, list[Any]] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)  # method: {"request": …, "error" or "result": …}
    worked: dict[str, dict[str, Any]] = field(default_factory=dict)
    unmade: frozenset[str] = frozenset()  # tools no input could be made for
    ended: str = ""

    @property
    def tools(self) -> list[Mapping[str, Any]]:
        return [one for one in self.before.get("tools", ()) if isinstance(one, dict) and isinstance(one.get("name"), str)]

    def ask(self, method: str, params: Mapping[str, Any], deadline_s: float = 3.0) -> dict[str, Any]:
        """Send a request and keep the first answer of its method. Raises ServerExited when the session is over."""
        try:
            said: dict[str, Any] = {"result": self.session.request(method, params, deadline_s=deadline_s)}
        except RpcError as failure:
            said = {"error": dict(failure.rpc)}
        except (ServerExited, Cancelled):
            raise
        except Failure as failure:
            said = {"failure": failure.detail}
        self.told.setdefault(method, {"request": {"method": method, "params": dict(params)}, **said})
        return said


def used(context: TestContext, session: TestSession) -> Used:
    """Use the server; returns what was seen, also when it did not survive that."""
    made = Used(session)
    until = time.monotonic() + USE_S
    try:
        _use(context, made, until)
    except Cancelled:
        raise
    except Failure as failure:
        made.ended = failure.detail
    return made


def _use(context: TestContext, made: Used, until: float) -> None:
    for what in LISTS:
        made.before[what] = _listing(made.session, what)
    _call_tools(context, made, until)
    for one in _named(made, "resources"):
        made.ask("resources/read", {"uri": one["uri"]})
    for one in _named(made, "prompts"):
        given = [
            each["name"] for each in one.get("arguments") or () if isinstance(each, dict) and isinstance(each.get("name"), str)
        ]
        made.ask("prompts/get", {"name": one["name"], "arguments": dict.fromkeys(given, "example")})
    over = made.session.begin("tools/list", {})
    with contextlib.suppress(RpcError):
        over.result(deadline_s=3.0)
    made.session.notify("notifications/cancelled", {"requestId": over.request_id, "reason": "too late"})
    made.session.notify("notifications/cancelled", {"requestId": "mcpweb-never-sent"})
    for at in range(REQUESTS):
        if time.monotonic() > until + USE_S:
            break
        made.ask("tools/list" if at % 2 or made.session.era == "modern" else "ping", {})
    for name, arguments in list(made.worked.items())[:2]:
        for _ in range(CALLS):
            if time.monotonic() > until + USE_S or "failure" in made.ask(
                "tools/call", {"name": name, "arguments": arguments}, 1.0
            ):
                break
    for what in LISTS:
        made.after[what] = _listing(made.session, what)


def _listing(session: TestSession, what: What) -> list[Any]:
    try:
        return session.listing(what)
    except (ServerExited, Cancelled):
        raise
    except Failure:
        return []


def _named(made: Used, what: str) -> list[dict[str, Any]]:
    items = [one for one in made.before.get(what, ()) if isinstance(one, dict) and isinstance(one.get(NAMED[what]), str)]
    return items[:MOST_ITEMS]


def _call_tools(context: TestContext, made: Used, until: float) -> None:
    """Call each tool with likely input, with input its schema forbids, and one that is not there.

    Those that need nothing go first: what they tell of makes the others work.
    """
    unmade = set()
    known: dict[str, list[Any]] = {}
    for one in made.before.get("resources", ()):
        _learn(known, "resource", json.dumps(one))
    for definition in sorted(made.tools[:MOST_TOOLS], key=lambda one: len((one.get("inputSchema") or {}).get("required") or ())):
        name = str(definition["name"])
        cases = context.inputs(definition, valid=2, invalid=2, known=known)
        if not cases:
            unmade.add(name)
        for at, case in enumerate(cases):
            if time.monotonic() > until:
                return
            if case.valid and at and name in made.worked:
                continue  # the likeliest did; what is at a bound may cost more than it tells here
            said = made.ask("tools/call", {"name": name, "arguments": dict(case.arguments)}, 1.0)
            result = said.get("result")
            if case.valid and isinstance(result, dict) and result.get("isError") is not True:
                made.worked.setdefault(name, dict(case.arguments))
                _learn(known, re.split(r"[_\W]|(?<=[a-z])(?=[A-Z])", name)[-1], json.dumps(result, ensure_ascii=False))
    made.unmade = frozenset(unmade)
    made.ask("tools/call", {"name": "mcpweb-no-such-tool", "arguments": {}})


def _learn(known: dict[str, list[Any]], noun: str, words: str) -> None:
    """Note what looks like an identifier, under what the tool is about."""
    noun = noun.lower()
    noun = noun[:-1] if noun.endswith("s") and len(noun) > 3 else noun
    for found in IDENTIFIER.findall(words[:50_000].replace("\\n", " "))[:12]:
        for name in (f"{noun}_id", noun, "id"):
            if found not in (values := known.setdefault(name, [])) and len(values) < 12:
                values.append(found)


def lasting(context: TestContext, made: Used, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield calls that may take a while: where an argument says how long, then how much, then any that worked."""
    much = []
    for definition in made.tools:
        name, schema = str(definition["name"]), definition.get("inputSchema")
        properties = schema.get("properties") if isinstance(schema, dict) else None
        for key, rules in properties.items() if isinstance(properties, dict) else ():
            if not isinstance(rules, dict) or rules.get("type") not in ("integer", "number"):
                continue
            most = rules.get("maximum")
            most = most if isinstance(most, int | float) else None
            if not TIMED.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key)):
                if name in made.worked and most is not None and most <= 10_000:
                    parts = dict.fromkeys(max(1, int(most) // part) for part in (64, 16, 4, 1))  # each lasts four times as long
                    much += [(name, {**made.worked[name], key: part}) for part in parts]
                continue
            unit = next((value for shape, value in UNITS if shape.search(f"{key} {rules.get('description', '')}")), 1.0)
            value = seconds * unit if most is None else min(seconds * unit, most)
            base = made.worked.get(name)
            if base is None:
                base = next((dict(case.arguments) for case in context.inputs(definition, valid=1, invalid=0)), {})
            arguments = {**base, key: int(value) if rules["type"] == "integer" else value}
            with contextlib.suppress(Failure):
                if not context.value_faults(schema, arguments):
                    yield name, arguments
    yield from much[:16]
    yield from list(made.worked.items())[:1]


def announced_changes(made: Used) -> set[str]:
    """Return of which lists the server said that they changed."""
    return {
        str(frame.message.get("method")).split("/")[1]
        for frame in made.session.frames()
        if frame.direction == "received"
        and isinstance(frame.message, dict)
        and "id" not in frame.message
        and str(frame.message.get("method", "")).endswith("/list_changed")
    }


def same(one: list[Any], other: list[Any]) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
