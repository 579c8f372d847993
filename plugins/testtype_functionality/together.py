"""F19: calls at the same time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from mcpweb.plugin import CheckResult, Failure, Frame, RpcError, ServerTimeout, TestSession

from .base import Attempt, Bench, Lane, alive, cut, text_of
from .frames import AUTHOR
from .wire import META

AT_ONCE = 16
APART_S = 0.04


def at_once(bench: Bench) -> Iterator[CheckResult]:
    """F19: each of sixteen calls at the same time gets its own answer, once."""
    chosen = _telling(bench)
    lane = Lane(bench.context, trusted=bench.lane(chosen[0]).trusted if chosen else bench.plain.trusted)
    try:
        session = lane.session
        bench.orders.append([str(one.get("name")) for one in session.listing("tools") if isinstance(one, dict)])
        strays = len(session.bad_lines())
        wrong = _mixed(bench, session, lane.trusted) or _kinds_of_ids(bench, session)
        if wrong is None and len(session.bad_lines()) > strays:
            lines = [one.decode(errors="replace")[:200] for one in session.bad_lines()[strays:]]
            wrong = CheckResult(
                "F19", "fail", "Calls at the same time leave lines that are no messages.", evidence={"lines": lines[:5]}
            )
        if wrong is not None:
            yield wrong
            return
        if chosen is None:
            begun = [session.begin("tools/list", {}) for _ in range(AT_ONCE)]
            for pending in begun:
                pending.result(deadline_s=5.0)
            yield _ids(session, [pending.request_id for pending in begun], None, "16 lists at the same time came, each once.")
            return
        definition, inputs = chosen
        name = str(definition["name"])
        alone = {at: text_of(session.call(name, arguments, deadline_s=5.0)) for at, arguments in enumerate(inputs)}
        alone_again = text_of(session.call(name, inputs[0], deadline_s=5.0))
        told_apart = len(set(alone.values())) == len(inputs) and alone_again == alone[0]
        begun = [session.begin("tools/call", {"name": name, "arguments": inputs[at % len(inputs)]}) for at in range(AT_ONCE)]
        numbers = [pending.request_id for pending in begun]
        if not told_apart:
            for pending in begun:
                pending.result(deadline_s=8.0)
            yield _ids(session, numbers, name, "16 calls at the same time were answered, each once.")
            return
        mixed: list[dict[str, Any]] = []
        for at, pending in enumerate(begun):
            try:
                got = text_of(pending.result(deadline_s=8.0))
            except (RpcError, ServerTimeout) as failure:
                mixed.append(
                    {
                        "call": at,
                        "arguments": cut(inputs[at % len(inputs)]),
                        "got": failure.sentence,
                        "whose": "nobody's",
                        "late": isinstance(failure, ServerTimeout),
                    }
                )
                continue
            if got != alone[at % len(inputs)]:
                whose = [str(inputs[other]) for other, text in alone.items() if text == got]
                mixed.append(
                    {"call": at, "arguments": cut(inputs[at % len(inputs)]), "got": got[:200], "whose": whose[:1] or "nobody's"}
                )
        if mixed and any(text_of(session.call(name, inputs[at], deadline_s=5.0)) != text for at, text in alone.items()):
            yield _ids(session, numbers, name, f"{AT_ONCE} calls at the same time were answered, each once.")  # it tells the time
        elif any(one["whose"] != "nobody's" for one in mixed):
            yield CheckResult(
                "F19",
                "fail",
                f"{len(mixed)} of {AT_ONCE} calls at the same time got another call's answer.",
                tool=name,
                evidence={"mixed": mixed[:6]},
                input=[one["arguments"] for one in mixed[:2]],
                next_step=AUTHOR + "answer each request with its own id; keep no request in a shared variable.",
            )
        elif mixed:
            why = bench.context.busy() if all(one.get("late") for one in mixed) else ""
            yield CheckResult(
                "F19",
                "undecided" if why else "fail",
                f"{len(mixed)} of {AT_ONCE} calls at the same time got another answer than alone. {why}".strip(),
                tool=name,
                severity="medium",
                confidence="firm",
                evidence={"mixed": mixed[:6]},
                input=inputs[:2],
            )
        else:
            yield _ids(session, numbers, name, f"{AT_ONCE} calls at the same time got their own answers.")
    finally:
        bench.over(lane)


def _mixed(bench: Bench, session: TestSession, trusted: bool) -> CheckResult | None:
    """Call tools of all kinds at once, those with the same arguments beside each other: each answers as it does alone."""
    alone: list[tuple[str, dict[str, Any], str]] = []
    for tool, arguments in _to_mix(bench, trusted):
        said = [_apart(session, tool, arguments), _whole(session, tool, arguments)]
        if said[0] and said[0] == said[1]:
            alone.append((tool, arguments, said[0]))
        if len(alone) >= AT_ONCE:
            break
    if len({answer for *_, answer in alone}) < 2:
        return None
    burst = [alone[at % len(alone)] for at in range(max(AT_ONCE, len(alone)))]
    begun = [
        session.begin("tools/call", {"name": tool, "arguments": arguments, "_meta": {"progressToken": f"mcpweb-at-once-{at}"}})
        for at, (tool, arguments, _) in enumerate(burst)
    ]
    mixed = []
    for pending, (tool, arguments, answer) in zip(begun, burst, strict=True):
        try:
            got = _canonical(pending.result(deadline_s=8.0))
        except RpcError as failure:
            got = json.dumps(failure.rpc, sort_keys=True)
        except ServerTimeout:
            return None  # who is late shows below
        if got != answer:
            whose = next((f"{name} {given}" for name, given, other in alone if other == got), "")
            mixed.append({"tool": tool, "arguments": cut(arguments), "got": got[:300], "whose": whose})
    mixed = [one for one in mixed if one["whose"]]
    if not mixed or any(_apart(session, tool, arguments) != answer for tool, arguments, answer in alone):
        return None
    return CheckResult(
        "F19",
        "fail",
        f"{len(mixed)} of {len(burst)} calls of several tools at the same time got another call's answer.",
        tool=str(mixed[0]["tool"]),
        evidence={"mixed": mixed[:6]},
        input=[{"name": one["tool"], "arguments": one["arguments"]} for one in mixed[:2]],
        next_step=AUTHOR + "answer each request with its own result; keep none in what others share.",
    )


def _to_mix(bench: Bench, trusted: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield calls that were quick, a few of each tool, and the same arguments for other tools that take them."""
    given: set[str] = set()

    def fresh(tool: str, arguments: Mapping[str, Any]) -> bool:
        key = json.dumps([tool, arguments], sort_keys=True)
        return not (key in given or given.add(key))  # type: ignore[func-returns-value]

    quick = [
        one
        for one in bench.attempts
        if one.valid and one.outcome in ("ok", "is_error") and one.ms < 150 and one.trusted is trusted
    ]
    by_tool: dict[str, list[Attempt]] = {}
    for one in sorted(quick, key=lambda one: one.outcome != "ok"):
        if len(json.dumps(one.arguments)) < 5000:
            by_tool.setdefault(one.tool, []).append(one)
    for at in range(3):
        for tool, tries in by_tool.items():
            if at >= len(tries):
                continue
            if fresh(tool, tries[at].arguments):
                yield tool, dict(tries[at].arguments)
            for other in by_tool:
                rules = next((one.get("inputSchema") for one in bench.tools if one["name"] == other), None)
                takes = rules.get("properties") if isinstance(rules, Mapping) else None
                if other != tool and isinstance(takes, Mapping) and set(tries[at].arguments) <= set(takes):
                    try:
                        fits = not bench.context.value_faults(rules, dict(tries[at].arguments))
                    except Failure:
                        continue
                    if fits and fresh(other, tries[at].arguments):
                        yield other, dict(tries[at].arguments)


def _apart(session: TestSession, tool: str, arguments: Mapping[str, Any]) -> str:
    """Ask after a moment: what is kept for so long under the arguments alone is not taken for the tool's own answer."""
    time.sleep(APART_S)
    return _whole(session, tool, arguments)


def _whole(session: TestSession, tool: str, arguments: Mapping[str, Any]) -> str:
    try:
        return _canonical(session.call(tool, arguments, deadline_s=3.0))
    except RpcError as failure:
        return json.dumps(failure.rpc, sort_keys=True)
    except ServerTimeout:
        return ""


def _canonical(result: Any) -> str:
    """Return all of a result but what is about it."""
    return json.dumps(
        {key: value for key, value in result.items() if key != "_meta"} if isinstance(result, Mapping) else result, sort_keys=True
    )


def _kinds_of_ids(bench: Bench, session: TestSession) -> CheckResult | None:
    """Send two requests whose ids are a number and the same number as a text: each has its own answer, with its own id."""
    if bench.context.config.transport != "stdio":
        return None
    meta = {META + "protocolVersion": bench.protocol, META + "clientInfo": {"name": "mcpweb", "version": "1"}}
    params = {"_meta": {**meta, META + "clientCapabilities": {}}} if bench.era == "modern" else {}
    numbers: tuple[int | str, ...] = (70_000_001, "70000001")
    methods = ("tools/list", "mcpweb/no-such-method")
    sent = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, method in zip(numbers, methods, strict=True)
    ]
    session.send_raw("".join(json.dumps(one) + "\n" for one in sent).encode())
    alive(session)
    got: dict[int | str, Any] = {}
    for number in numbers:
        frame = session.wait_frame(partial(_answers, number), deadline_s=1.0)
        got[number] = frame.message if frame is not None else None
    listed, unknown = (got[number] for number in numbers)
    crossed = (listed is not None and "error" in listed) or (unknown is not None and "result" in unknown)
    if not crossed and (listed is None) == (unknown is None):
        return None
    return CheckResult(
        "F19",
        "fail",
        "Ids that are a number and the same number as a text are taken for one.",
        severity="high" if crossed else "medium",
        evidence={"answers": cut([listed, unknown])},
        input=sent,
        next_step=AUTHOR + "give back ids as they came.",
    )


def _answers(number: int | str, frame: Frame) -> bool:
    message = frame.message
    return (
        isinstance(message, dict)
        and "method" not in message
        and type(message.get("id")) is type(number)
        and message["id"] == number
    )


def _ids(session: TestSession, numbers: list[Any], tool: str | None, said: str) -> CheckResult:
    counts = dict.fromkeys(numbers, 0)
    for frame in session.frames():
        message = frame.message
        if frame.direction == "received" and isinstance(message, dict) and "method" not in message:
            number = message.get("id")
            if isinstance(number, str | int) and number in counts:
                counts[number] += 1
    wrong = {str(number): count for number, count in counts.items() if count > 1}
    if wrong:
        return CheckResult(
            "F19",
            "fail",
            f"{len(wrong)} requests were answered more than once.",
            tool=tool or "*",
            evidence={"answers": wrong},
            next_step=AUTHOR + "answer each request once.",
        )
    return CheckResult("F19", "pass", said, tool=tool or "*", evidence={"ids": len(counts)})


def _telling(bench: Bench) -> tuple[Mapping[str, Any], list[dict[str, Any]]] | None:
    """Return a tool whose answers tell their calls apart, and up to four inputs for it."""
    for definition in bench.tools:
        worked = bench.worked(str(definition["name"]))
        if worked is None or worked.ms > 300:
            continue
        made: list[dict[str, Any]] = []
        for name, value in worked.arguments.items():
            if isinstance(value, str):
                made = [{**worked.arguments, name: f"{value}{mark}"} for mark in ("", "-one", "-two", "-three")]
            elif isinstance(value, int | float) and not isinstance(value, bool):
                made = [{**worked.arguments, name: value + step} for step in range(4)]
            if made and _fits(bench, definition, made) and _differ(bench, definition, made):
                return definition, made
        told = {
            one.words: dict(one.arguments)
            for one in bench.attempts
            if one.tool == definition["name"] and one.valid and one.outcome == "ok" and one.ms < 300 and len(one.words) < 10_000
        }
        if len(told) > 1:
            return definition, list(told.values())[:4]
    return None


def _fits(bench: Bench, definition: Mapping[str, Any], inputs: list[dict[str, Any]]) -> bool:
    try:
        return not any(bench.context.value_faults(definition["inputSchema"], one) for one in inputs)
    except Failure:
        return False


def _differ(bench: Bench, definition: Mapping[str, Any], inputs: list[dict[str, Any]]) -> bool:
    tries = [bench.lane(definition).call(str(definition["name"]), one, deadline_s=2.0) for one in inputs[:2]]
    return all(one.outcome == "ok" for one in tries) and tries[0].words != tries[1].words
