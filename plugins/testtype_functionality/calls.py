"""The calls of F06 and F07: every tool with generated input, within a budget, and what is learned from results on the way."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import Failure, InputCase

from .base import MOST_CALLS, Attempt, Bench

QUICK_S, FULL_S = 6.0, 60.0
FIRST_S = {True: 2.5, False: 20.0}  # what the likeliest input of a tool may take; quick, full
NEXT_S = {True: 1.5, False: 5.0}
MOST_KNOWN = 12
FAST_MS, SLOW_MS = 150.0, 400.0
SLOW_S = {True: 2.0, False: 20.0}  # what further calls of slow tools may take when all others are done; quick, full
MORE = {True: 400, False: 1200}  # further calls of tools that answer at once, after the planned ones; quick, full
MORE_VALID, MORE_INVALID = 36, 90  # of one tool
MORE_S = {True: 2.5, False: 20.0}  # what they may take, where there is enough time left
ENOUGH_S = 35.0
_ID = re.compile(r"(?<![\w/.-])(?=[\w-]*\d)[A-Za-z]{1,12}[-_]?[A-Za-z0-9]{1,12}(?:[-_][A-Za-z0-9]{1,8}){0,3}(?![\w/-])")
_NAMES_IT = ("id", "code", "number", "no", "ref", "reference", "key", "sku", "slug", "isbn")
_LINE = re.compile(r"^(?:\[[A-Z]+\]\s*|[-*•]\s+|\d+[.)]\s+)?(\S.{0,200}?)\s*$")


class Plan:
    """How many cases each tool gets, and how long all may take."""

    def __init__(self, bench: Bench) -> None:
        started = time.monotonic()
        self.until = started + min(QUICK_S if bench.quick else FULL_S, max(1.0, bench.context.remaining_s() * 0.5))
        most = MOST_CALLS // 2 if bench.quick else MOST_CALLS
        self.tools = [one for one in bench.tools if not _as_task(one)]
        each = max(1, most // max(1, len(self.tools)))
        if len(self.tools) > most // 2:
            step = len(self.tools) / (most // 2)  # spread over the list; the seed moves the start
            shift = bench.context.seed % 97 / 97
            self.tools = [self.tools[int((at + shift) * step) % len(self.tools)] for at in range(most // 2)]
            each = 2
        self.valid = min(10, max(1, each * 2 // 5))
        self.invalid = min(15, max(1, each - self.valid))

        self.half = started + (self.until - started) * 0.6  # what the first round may take

    @property
    def over(self) -> bool:
        return time.monotonic() > self.until


def _as_task(definition: Mapping[str, Any]) -> bool:
    """Tell whether a tool can only be called as a task, which this client does not do."""
    execution = definition.get("execution")
    return isinstance(execution, Mapping) and execution.get("taskSupport") == "required"


BY_CALLS = frozenset("F01 F02 F05 F06 F07 F08 F09 F10 F11 F12 F13 F17 F19 F20".split())


def call_all(bench: Bench, chosen: frozenset[str]) -> Iterator[str]:
    """Make the calls the chosen checks need; yields a sentence now and then.

    Tools without required arguments go first, for what they show.
    """
    if not chosen & BY_CALLS:
        return
    plan = Plan(bench)
    plan.valid, plan.invalid = (
        plan.valid if "F06" in chosen else min(2, plan.valid),
        plan.invalid if "F07" in chosen else min(3, plan.invalid),
    )
    quick = bench.quick
    order = sorted(plan.tools, key=lambda definition: (len(_required(definition)), definition.get("name", "")))
    failed: list[Mapping[str, Any]] = []
    for at, definition in enumerate(order):  # each tool once, with what is likeliest to work
        if time.monotonic() > plan.half:
            bench.short_of_time = True
            break
        cases = bench.context.inputs(definition, valid=2, invalid=0, known=bench.known)
        if not cases:
            continue
        meta = {"progressToken": f"mcpweb-{at}"}
        attempt = _call(bench, definition, cases[0], FIRST_S[quick], meta)
        if attempt is None:
            continue
        if attempt.outcome == "ok":
            learn(bench.known, definition, attempt.result)
        elif attempt.outcome == "is_error":
            failed.append(definition)
        if at % 10 == 0:
            yield f"called {at + 1} of {len(order)} tools"
    again = {str(definition["name"]) for definition in failed}
    slow: list[tuple[Mapping[str, Any], list[InputCase]]] = []
    for at, definition in enumerate(order):
        if plan.over:
            break
        cases = bench.context.inputs(definition, valid=plan.valid, invalid=plan.invalid, known=bench.known)
        tried = [one.arguments for one in bench.attempts if one.tool == definition["name"]]
        left = _call_each(
            bench, plan, definition, [case for case in cases if case.arguments not in tried], str(definition["name"]) in again
        )
        slow += [(definition, left)] if left else []
        if at % 10 == 0:
            yield f"checked {at + 1} of {len(order)} tools"
    bench.short_of_time = bench.short_of_time or plan.over
    yield "calling what answers at once with more input"
    if bench.context.remaining_s() > ENOUGH_S:
        plan.until = max(plan.until, time.monotonic() + MORE_S[quick])
    _call_more(bench, plan, order)
    plan.until = max(plan.until, time.monotonic() + SLOW_S[quick]) if slow else plan.until
    for tool, left in slow:
        _call_each(bench, plan, tool, left, str(tool["name"]) in again, patient=True)
    bench.short_of_time = bench.short_of_time or (plan.over and bool(slow))


def _call_each(
    bench: Bench, plan: Plan, definition: Mapping[str, Any], cases: list[InputCase], retry: bool, *, patient: bool = False
) -> list[InputCase]:
    """Make the calls of one tool; return those that are left when a call took long, which others need not wait for."""
    left = list(cases)
    quick, name = bench.quick, str(definition["name"])
    while left and not plan.over and not _hopeless(bench, name):
        case = left.pop(0)
        token = _token(bench) if bench.calls % 2 else None  # every second call: what is told unasked shows, too
        deadline_s = FIRST_S[quick] if case.valid and retry else NEXT_S[quick]
        attempt = _call(bench, definition, rebased(bench, definition, case), deadline_s, token)
        if attempt is not None and attempt.outcome == "ok" and attempt.valid:
            learn(bench.known, definition, attempt.result)
        if attempt is not None and attempt.ms > SLOW_MS and not patient:
            return left
    return []


def _call_more(bench: Bench, plan: Plan, order: Sequence[Mapping[str, Any]]) -> None:
    """Call tools that answer at once with the input there was no room for: one after the other, as long as there is time.

    Not where real secrets are: whatever answers there may be somebody's.
    """
    left: dict[str, list[InputCase]] = {}
    tools = {str(one["name"]): one for one in order}
    for name, definition in tools.items():
        tried = [one for one in bench.attempts if one.tool == name]
        slow = [one for one in tried if one.ms > FAST_MS or one.outcome in ("timeout", "gone")]
        if not tried or 4 * len(slow) > len(tried) or any(one.trusted for one in tried) or plan.over:
            continue
        cases = bench.context.inputs(definition, valid=MORE_VALID, invalid=MORE_INVALID, known=bench.known)
        made = [rebased(bench, definition, case) for case in cases]
        seen = [one.arguments for one in tried]
        left[name] = [case for case in made if case.arguments not in seen]
    budget = MORE[bench.quick]
    while left and budget > 0 and not plan.over:
        for name in list(left):
            cases = left[name]
            if not cases or _hopeless(bench, name):
                del left[name]
                continue
            attempt = _call(bench, tools[name], cases.pop(0), NEXT_S[bench.quick], None)
            budget -= 1
            if attempt is None or plan.over:
                return


def rebased(bench: Bench, definition: Mapping[str, Any], case: InputCase) -> InputCase:
    """Return an invalid case with its fault put into a call that worked: only the fault can be refused then."""
    worked = bench.worked(str(definition["name"]))
    top = case.label[1:].partition("/")[0].partition(":")[0].replace("~1", "/").replace("~0", "~")
    if case.valid or worked is None or not case.label.startswith("/") or not top:
        return case
    made = {key: value for key, value in worked.arguments.items() if key != top}
    if top in case.arguments:
        made[top] = case.arguments[top]
    if made == case.arguments:
        return case
    try:
        faults = bench.context.value_faults(definition["inputSchema"], made)
    except Failure:
        return case
    return InputCase(case.label, made, False) if faults else case


def _token(bench: Bench) -> dict[str, Any]:
    """Return a token for progress, a text and a number in turn."""
    return {"progressToken": f"mcpweb-{bench.calls}" if bench.calls % 4 == 1 else 1_000_000 + bench.calls}


def _call(
    bench: Bench, definition: Mapping[str, Any], case: InputCase, deadline_s: float, meta: Mapping[str, Any] | None
) -> Attempt | None:
    try:
        return bench.call(definition, case.arguments, deadline_s=deadline_s, label=case.label, valid=case.valid, meta=meta)
    except Failure:
        return None  # no container to be had for it: the tool stays without calls, and its checks say so


def _hopeless(bench: Bench, tool: str) -> bool:
    """Tell whether a tool took the server with it, or our time, twice: enough is known."""
    bad = [one for one in bench.attempts if one.tool == tool and one.outcome in ("gone", "timeout")]
    return len(bad) >= 2


def _required(definition: Mapping[str, Any]) -> Sequence[Any]:
    schema = definition.get("inputSchema")
    given = schema.get("required") if isinstance(schema, Mapping) else None
    return given if isinstance(given, list) else ()


def learn(known: dict[str, list[Any]], definition: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Note values a result shows, by the name they have there; what a list holds is named after the tool's last words."""
    values: list[Any] = [result.get("structuredContent")]
    content = result.get("content")
    for block in content if isinstance(content, list) else []:
        if not isinstance(block, dict):
            continue
        if isinstance(block.get("uri"), str):
            _note(known, "uri", block["uri"])
        text = block.get("text")
        if isinstance(text, str) and len(text) < 200_000:
            try:
                values.append(json.loads(text))
            except (ValueError, RecursionError):
                _lines(known, definition, text)
    for value in values:
        _walk(known, value, _noun(definition), 0)


def _walk(known: dict[str, list[Any]], value: Any, name: str, depth: int) -> None:
    if depth > 5:
        return
    if isinstance(value, dict):
        for key, inner in list(value.items())[:50]:
            _walk(known, inner, str(key), depth + 1)
            if str(key).lower() in _NAMES_IT and isinstance(inner, str | int) and not isinstance(inner, bool):
                _note(known, name, inner)
                _note(known, f"{name}_{key}", inner)
    elif isinstance(value, list):
        for inner in value[:20]:
            _walk(known, inner, name[:-1] if name.endswith("s") and len(name) > 3 else name, depth + 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        _note(known, name, value)


def _lines(known: dict[str, list[Any]], definition: Mapping[str, Any], text: str) -> None:
    lines = [match.group(1) for line in text.splitlines()[:40] if (match := _LINE.match(line))]
    for found in _ID.findall(text[:20_000])[:MOST_KNOWN]:
        _note(known, f"{_noun(definition)}_id", found)
        _note(known, "id", found)
    for line in lines if len(lines) > 1 else []:
        if line.startswith(("/", "./")) and " " not in line:
            _note(known, "path", line)
        elif re.fullmatch(r"\S{1,80}", line):
            _note(known, _noun(definition), line)
    for path in re.findall(r"(?:^|[\s\"'])(/[\w.\-]+(?:/[\w.\-]+)*)", text)[:MOST_KNOWN]:
        _note(known, "path", path)


def _noun(definition: Mapping[str, Any]) -> str:
    words = re.findall(r"[a-z]+|[A-Z][a-z]*|\d+", str(definition.get("name", "")))
    noun = words[-1].lower() if words else "value"
    return noun[:-1] if noun.endswith("s") and len(noun) > 3 else noun


def _note(known: dict[str, list[Any]], name: str, value: Any) -> None:
    if isinstance(value, str) and not 0 < len(value) <= 300:
        return
    values = known.setdefault(name[:80], []) if len(known) < 300 or name in known else []
    if value not in values and len(values) < MOST_KNOWN:
        values.append(value)
