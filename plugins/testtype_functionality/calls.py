"""The calls of F06 and F07: every tool with generated input, within a budget, and what is learned from results on the way."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import Failure, InputCase

from .base import MOST_CALLS, Attempt, Bench

QUICK_S, FULL_S = 5.0, 60.0
FIRST_S = {True: 2.5, False: 20.0}  # what the likeliest input of a tool may take; quick, full
NEXT_S = {True: 1.5, False: 5.0}
MOST_KNOWN = 12
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
    for at, definition in enumerate(order):
        if plan.over:
            bench.short_of_time = True
            return
        cases = bench.context.inputs(definition, valid=plan.valid, invalid=plan.invalid, known=bench.known)
        tried = [one.arguments for one in bench.attempts if one.tool == definition["name"]]
        for case in cases:
            if plan.over or _hopeless(bench, str(definition["name"])):
                break
            if case.arguments in tried:
                continue
            retry = case.valid and str(definition["name"]) in again
            _call(bench, definition, case, FIRST_S[quick] if retry else NEXT_S[quick], None)
        if at % 10 == 0:
            yield f"checked {at + 1} of {len(order)} tools"


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
    elif isinstance(value, list):
        for inner in value[:20]:
            _walk(known, inner, name, depth + 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        _note(known, name, value)


def _lines(known: dict[str, list[Any]], definition: Mapping[str, Any], text: str) -> None:
    lines = [match.group(1) for line in text.splitlines()[:40] if (match := _LINE.match(line))]
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
