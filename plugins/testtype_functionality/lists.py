"""F02 to F04 and F14: names, order, schemas and pages of what is listed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, Failure, RpcError, ServerTimeout, TestSession

from .base import Bench, cut, guarded
from .frames import AUTHOR

METHODS = {
    "tools": "tools/list",
    "resources": "resources/list",
    "resourceTemplates": "resources/templates/list",
    "prompts": "prompts/list",
}
NAMED = {"tools": "name", "resources": "uri", "resourceTemplates": "uriTemplate", "prompts": "name"}
NAME = re.compile(r"[A-Za-z0-9_.\-]{1,128}\Z")
MOST_PAGES = 100
MOST_ITEMS = 10_000
WALK_S = 8.0
BOGUS = "mcpweb-no-such-cursor-7f3a"


@dataclass
class Walk:
    """The way through a list: its items, how many pages, and why it did not come to an end."""

    what: str
    items: list[Any] = field(default_factory=list)
    pages: int = 0
    fault: str = ""
    cursors: list[str] = field(default_factory=list)
    endless: bool = False


def walk(session: TestSession, what: str) -> Walk:
    """Go through all pages. Raises Failure when the first one cannot be had."""
    made = Walk(what)
    cursor: Any = None
    seen: set[str] = set()
    while made.pages < MOST_PAGES and len(made.items) < MOST_ITEMS:
        try:
            page = session.request(METHODS[what], {} if cursor is None else {"cursor": cursor}, deadline_s=WALK_S)
        except Failure as failure:
            if not made.pages:
                raise
            made.fault = f"page {made.pages + 1} cannot be had: {failure.sentence}"
            return made
        made.pages += 1
        items = page.get(what) if isinstance(page, Mapping) else None
        if not isinstance(items, list):
            made.fault = f"page {made.pages} holds no list of {what}"
            return made
        made.items += items
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str):  # an empty text is a cursor like any other
            return made
        made.cursors.append(cursor)
        if cursor in seen:
            made.fault, made.endless = f"the cursor {cursor[:40]!r} comes again, so the list has no end", True
            return made
        seen.add(cursor)
    made.endless = True
    return made


def listed(walked: Walk) -> list[dict[str, Any]]:
    """Return the distinct named items of a list."""
    made: dict[str, dict[str, Any]] = {}
    for item in walked.items:
        name = item.get(NAMED[walked.what]) if isinstance(item, dict) else None
        if isinstance(name, str):
            made.setdefault(name, item)
    return list(made.values())


def fingerprint(items: list[Any]) -> str:
    return hashlib.sha256(json.dumps(items, sort_keys=True).encode()).hexdigest()[:16]


def names_and_order(bench: Bench, walked: Walk | None) -> Iterator[CheckResult]:
    """F02: names a client can use, each once, in an order that three looks agree on, and no change by calls."""
    if walked is None or not (walked.items or "tools" in bench.capabilities):
        if "tools" not in bench.capabilities:
            yield CheckResult("F02", "not_applicable", "The server offers no tools.")
        return
    names = [str(item.get("name")) for item in walked.items if isinstance(item, dict)]
    wrong = sorted({name for name in names if not NAME.match(name)})
    if wrong:
        yield CheckResult(
            "F02",
            "fail",
            f"{len(wrong)} names are not 1 to 128 of A-Z, a-z, 0-9, _, - and .: {', '.join(map(repr, wrong[:5]))}.",
            key="names",
            evidence={"names": wrong[:20]},
            next_step=AUTHOR + "clients and models refuse such names.",
            severity="medium" if bench.protocol >= "2025-11-25" else "low",  # older revisions do not say
        )
    twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 2000 else []
    if twice and not walked.endless:
        yield CheckResult(
            "F02",
            "fail",
            f"Names come twice: {', '.join(twice[:5])}.",
            key="twice",
            evidence={"names": twice[:20]},
            next_step=AUTHOR + "give each tool a name of its own.",
        )
    moved = yield from _stable(bench, walked)
    if not wrong and not (twice and not walked.endless) and not moved:
        yield CheckResult(
            "F02",
            "pass",
            f"{len(names)} names are sound, and three looks show the same list.",
            evidence={"tools": len(names), "hash": fingerprint(walked.items)},
        )


def _stable(bench: Bench, walked: Walk) -> Generator[CheckResult, None, bool]:
    looks = [walked, *(walk(bench.plain.session, "tools") for _ in range(2))]
    hashes = [fingerprint(look.items) for look in looks]
    orders = [[item.get("name") for item in look.items if isinstance(item, dict)] for look in looks]
    if any(look.endless for look in looks) or len(set(hashes)) == 1:
        return False
    evidence = {"hashes": hashes, "orders": cut(orders)}
    if len({json.dumps(sorted(map(str, order))) for order in orders}) == 1 and len({json.dumps(order) for order in orders}) > 1:
        yield CheckResult(
            "F02",
            "fail",
            "The order of the tools changes from look to look.",
            key="order",
            evidence=evidence,
            next_step=AUTHOR + "keep an order; clients that cache prompts pay for each change.",
        )
    else:
        yield CheckResult(
            "F02",
            "fail",
            "The list of tools is another at each look.",
            key="looks",
            evidence=evidence,
            next_step=AUTHOR + "a list changes when something changed, and then that is announced.",
        )
    return True


def changed_by_calls(bench: Bench, before: Walk, session: TestSession) -> Iterator[CheckResult]:
    """F02: the lists after the calls, against the one before; a change that was announced is fine."""
    for lane in bench.lanes():
        current = lane.current
        if current is None or (lane is bench.plain and current is not session):
            continue  # the server that was listed has gone
        after = walk(current, "tools")
        if before.endless or after.endless or fingerprint(after.items) == fingerprint(before.items):
            continue
        announced = any(
            isinstance(frame.message, dict) and frame.message.get("method") == "notifications/tools/list_changed"
            for frame in current.frames()
            if frame.direction == "received"
        )
        old, new = _by_name(before), _by_name(after)
        differ = sorted({*old, *new} - {name for name in old if new.get(name) == old[name]})
        if announced or not differ:
            continue
        yield CheckResult(
            "F02",
            "fail",
            f"Calls changed the list without a word: {', '.join(differ[:5])}.",
            key="calls",
            evidence={"names": differ[:20], "before": fingerprint(before.items), "after": fingerprint(after.items)},
            next_step="Look at what changed: a server that alters its tools after it was approved may mean harm. "
            "An honest one sends notifications/tools/list_changed.",
        )
        return


def _by_name(walked: Walk) -> dict[str, str]:
    return {str(item.get("name")): json.dumps(item, sort_keys=True) for item in walked.items if isinstance(item, dict)}


def schemas(bench: Bench) -> Iterator[CheckResult]:
    """F03: input and output schemas are usable, and have an object at the root."""
    failed = 0
    for definition in bench.declared:
        faults: list[str] = []
        for field_name in ("inputSchema", "outputSchema"):
            schema = definition.get(field_name)
            if schema is None and field_name == "outputSchema":
                continue
            faults += [
                f"/{field_name}{fault if fault.startswith('/') else ': ' + fault}"
                for fault in bench.context.schema_faults(schema)
            ]
            modern_output = field_name == "outputSchema" and bench.era == "modern"
            if isinstance(schema, Mapping) and schema.get("type") != "object" and not modern_output:
                faults.append(f'/{field_name}: The root says no "type": "object".')
        if faults:
            failed += 1
            if failed <= 20:
                yield CheckResult(
                    "F03",
                    "fail",
                    f"{definition['name']}: {faults[0]}",
                    tool=str(definition["name"]),
                    key=faults[0].split(":")[0],
                    evidence={"faults": faults[:10]},
                    next_step=AUTHOR + "clients cannot check input with this schema.",
                )
    if not bench.declared:
        yield CheckResult("F03", "not_applicable", "There are no tools.")
    elif not failed:
        yield CheckResult("F03", "pass", f"The schemas of {len(bench.declared)} tools are usable.")


def pages(bench: Bench, walks: Mapping[str, Walk]) -> Iterator[CheckResult]:
    """F04: each list comes to an end without repeating itself, and a cursor nobody gave is refused."""
    fine = 0
    taken: list[str] = []
    for what, walked in walks.items():
        names = [json.dumps(item, sort_keys=True) for item in walked.items]
        evidence = {"pages": walked.pages, "items": len(names), "cursors": walked.cursors[:10]}
        if walked.fault:
            yield CheckResult(
                "F04",
                "fail",
                f"{METHODS[what]}: {walked.fault}.",
                key=what,
                evidence=evidence,
                input={"method": METHODS[what], "params": {"cursor": (walked.cursors or [""])[-1]}},
                next_step=AUTHOR + "the last page has no nextCursor.",
            )
            continue
        if walked.endless:
            repeats = len(set(names)) < len(names)
            yield CheckResult(
                "F04",
                "fail" if repeats else "undecided",
                f"{METHODS[what]} has no end within {walked.pages} pages" + (", and repeats itself." if repeats else "."),
                key=what,
                evidence=evidence,
            )
            continue
        if len(walked.cursors) and len(set(names)) < len(names):
            yield CheckResult(
                "F04",
                "fail",
                f"{METHODS[what]} shows items on more than one page.",
                key=what,
                evidence=evidence,
                next_step=AUTHOR + "each item stands on one page.",
            )
            continue
        said, whole = yield from _bogus(bench, what, walked)
        fine += said
        taken += [METHODS[what]] if whole else []
    if taken:
        yield CheckResult(
            "F04",
            "fail",
            f"An invented cursor is answered with the whole list, which has one page: {', '.join(taken)}.",
            key="bogus",
            severity="info",
            evidence={"methods": taken},
            input={"method": taken[0], "params": {"cursor": BOGUS}},
            next_step=AUTHOR + "answer -32602 to a cursor that was never given.",
        )
    if not walks:
        yield CheckResult("F04", "not_applicable", "Nothing is listed.")
    elif fine == len(walks):
        yield CheckResult(
            "F04",
            "pass",
            f"{fine} lists come to their end, and invented cursors are refused.",
            evidence={what: {"pages": one.pages, "items": len(one.items)} for what, one in walks.items()},
        )


def _bogus(bench: Bench, what: str, walked: Walk) -> Generator[CheckResult, None, tuple[bool, bool]]:
    """Yield what is wrong with the answer to an invented cursor; return whether nothing is, and whether all was the answer."""
    request = {"method": METHODS[what], "params": {"cursor": BOGUS}}
    try:
        reply = bench.plain.session.request(METHODS[what], {"cursor": BOGUS}, deadline_s=WALK_S)
    except RpcError as failure:
        if failure.rpc.get("code") == -32602:
            return True, False
        yield CheckResult(
            "F04",
            "fail",
            f"{METHODS[what]}: an invented cursor is refused with {failure.rpc.get('code')}, not -32602.",
            key=f"{what}/bogus",
            severity="info",
            evidence={"error": cut(failure.rpc)},
            input=request,
        )
        return False, False
    except ServerTimeout as failure:
        yield CheckResult(
            "F04",
            "fail",
            f"{METHODS[what]}: an invented cursor gets no answer.",
            key=f"{what}/bogus",
            timed_out=True,
            evidence={"error": failure.sentence},
            input=request,
        )
        return False, False
    if walked.pages == 1:
        return False, True
    yield CheckResult(
        "F04",
        "fail",
        f"{METHODS[what]}: an invented cursor is answered with a page.",
        key=f"{what}/bogus",
        evidence={"reply": cut(reply)},
        input=request,
        next_step=AUTHOR + "answer -32602 to a cursor that was never given.",
    )
    return False, False


def ping(bench: Bench) -> Iterator[CheckResult]:
    """F14: a ping is answered with an empty result in the handshake era, and unknown in the modern one."""

    def check() -> Iterator[CheckResult]:
        modern = bench.era == "modern"
        try:
            reply = bench.plain.session.request("ping", {}, deadline_s=5.0)
        except RpcError as failure:
            code = failure.rpc.get("code")
            if modern and code == -32601:
                yield CheckResult("F14", "pass", "The modern era has no ping, and it is refused as unknown.")
            else:
                said = "is refused with -32601" if not modern and code == -32601 else f"is answered with the error {code}"
                yield CheckResult(
                    "F14",
                    "fail",
                    f"A ping {said}.",
                    evidence={"error": cut(failure.rpc)},
                    input={"method": "ping"},
                    severity="info" if modern else None,
                )
            return
        except ServerTimeout:
            yield CheckResult(
                "F14",
                "fail",
                "A ping gets no answer.",
                timed_out=True,
                input={"method": "ping"},
                next_step=AUTHOR + "clients close a session whose server does not answer pings.",
            )
            return
        extra = {key for key in reply if key not in ("_meta", "resultType")} if isinstance(reply, Mapping) else {"no object"}
        if modern:
            yield CheckResult(
                "F14",
                "fail",
                "A ping is answered, although the modern era has none.",
                severity="info",
                evidence={"reply": cut(reply)},
                input={"method": "ping"},
            )
        elif extra:
            yield CheckResult(
                "F14",
                "fail",
                "A ping is answered with more than an empty result.",
                severity="info",
                evidence={"reply": cut(reply)},
                input={"method": "ping"},
            )
        else:
            yield CheckResult("F14", "pass", "A ping is answered.")

    yield from guarded("F14", check)
