"""F02 and F03: names, order and schemas of what is listed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, Failure, TestSession

from .base import Bench, cut
from .frames import AUTHOR

METHODS = {
    "tools": "tools/list",
    "resources": "resources/list",
    "resourceTemplates": "resources/templates/list",
    "prompts": "prompts/list",
}
NAMED = {"tools": "name", "resources": "uri", "resourceTemplates": "uriTemplate", "prompts": "name"}
NAME = re.compile(r"[A-Za-z0-9_.\-]{1,128}\Z")
KINDS: Mapping[str, Any] = {
    "string": str,
    "integer": int | float,
    "number": int | float,
    "boolean": bool,
    "array": list,
    "object": dict,
}
MOST_PAGES = 100
MOST_ITEMS = 10_000
WALK_S = 8.0


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


def same_elsewhere(bench: Bench) -> Iterator[CheckResult]:
    """F02: the order in which other containers of the same image list the same tools."""
    here = [str(one["name"]) for one in bench.declared]
    other = next((order for order in bench.orders if order != here and sorted(order) == sorted(here)), None)
    if other is not None:
        yield CheckResult(
            "F02",
            "fail",
            "The order of the tools is another after a start.",
            key="start",
            evidence={"orders": cut([here, other])},
            next_step=AUTHOR + "keep an order; clients that cache prompts pay for each change.",
        )


def others_stable(bench: Bench, walks: Mapping[str, Walk]) -> Iterator[CheckResult]:
    """F02: what holds for tools holds for resources and prompts: each once, in an order that stays."""
    for what in ("resources", "resourceTemplates", "prompts"):
        walked = walks.get(what)
        if walked is None or walked.endless or walked.fault or not walked.items:
            continue
        names = [str(item.get(NAMED[what])) for item in walked.items if isinstance(item, dict)]
        looks = [walk(bench.plain.session, what) for _ in range(2)]
        orders = [[str(item.get(NAMED[what])) for item in look.items if isinstance(item, dict)] for look in looks]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 2000 else []
        moved = any(order != names and sorted(order) == sorted(names) for order in orders)
        if twice or moved:
            yield CheckResult(
                "F02",
                "fail",
                f"{METHODS[what]} lists twice: {', '.join(twice[:3])}."
                if twice
                else f"The order of {METHODS[what]} changes from look to look.",
                key=what,
                severity="low",
                evidence={"orders": cut([names, *orders])},
                next_step=AUTHOR + "list each once, and keep an order.",
            )


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
            faults += [f"/{field_name}{fault}" for fault in (() if faults else impossible(schema))]
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


def impossible(schema: Any, at: str = "", depth: int = 0) -> Iterator[str]:
    """Yield what no value can satisfy: bounds that cross, options of another type, what is required and forbidden."""
    if not isinstance(schema, Mapping) or depth > 6:
        return
    for low, high in (
        ("minimum", "maximum"),
        ("minLength", "maxLength"),
        ("minItems", "maxItems"),
        ("minProperties", "maxProperties"),
    ):
        least, most = schema.get(low), schema.get(high)
        if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
            yield f"{at}/{low}: {least} is more than {high}, {most}."
    kinds, options = schema.get("type"), schema.get("enum")
    if isinstance(kinds, str) and isinstance(options, list) and options and kinds in KINDS:
        fit = [one for one in options if isinstance(one, KINDS[kinds]) and isinstance(one, bool) == (kinds == "boolean")]
        if not fit:
            yield f"{at}/enum: no option is of the type {kinds}."
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        if schema.get("additionalProperties") is False and not schema.get("patternProperties"):
            needed = schema.get("required")
            for name in needed if isinstance(needed, list) else ():
                if isinstance(name, str) and name not in properties:
                    yield f"{at}/required: {name[:80]!r} is required, and not allowed."
        for name, inner in properties.items():
            yield from impossible(inner, f"{at}/properties/{str(name)[:80]}", depth + 1)
    yield from impossible(schema.get("items"), f"{at}/items", depth + 1)
