"""All that a server tells about itself before anybody calls it: raw definitions, as they came over the wire."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, RpcError, ServerProtocolError, Severity, TestSession

from .strings import Thing, escaped

LISTS: tuple[tuple[str, str, str], ...] = (
    ("tools", "tool", "tools"),
    ("prompts", "prompt", "prompts"),
    ("resources", "resource", "resources"),
    ("resourceTemplates", "template", "resources"),
)
MOST_RESULTS = 60
_RANK = ("info", "low", "medium", "high", "critical")


@dataclass(frozen=True)
class Surface:
    """The definitions of one look at a server; ``missing`` tells which lists could not be had, and why."""

    things: tuple[Thing, ...]
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def tools(self) -> list[Thing]:
        return [thing for thing in self.things if thing.kind == "tool"]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(thing.name for thing in self.tools)


def look(session: TestSession) -> Surface:
    """Return what a session serves. A list that fails is missing; a session that is over raises."""
    things: list[Thing] = []
    missing: dict[str, str] = {}
    for what, kind, capability in LISTS:
        if capability not in session.capabilities and what != "tools":
            continue
        try:
            items = session.listing(what)  # type: ignore[arg-type]
        except (RpcError, ServerProtocolError) as failure:
            missing[what] = failure.sentence
            continue
        for number, item in enumerate(items):
            name = str(item.get("name") or item.get("uri") or number) if isinstance(item, Mapping) else str(number)
            things.append(Thing(kind, name, item, f"/{what}/{escaped(name)[:120]}"))  # type: ignore[arg-type]
    if session.instructions:
        things.append(Thing("instructions", "instructions", session.instructions, "/instructions"))
    if session.server_info:
        things.append(Thing("server", "serverInfo", dict(session.server_info), "/serverInfo"))
    return Surface(tuple(things), missing)


def properties(definition: Any) -> Mapping[str, Any]:
    """Return the parameters of a tool by name; a definition that is none has none."""
    schema = definition.get("inputSchema") if isinstance(definition, Mapping) else None
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}


_BRANCHES = ("anyOf", "oneOf", "allOf", "prefixItems")
MOST_PARAMETERS = 500


def parameters(definition: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield place, name and schema of a tool's parameters, those inside of objects and lists too; no more than 500."""
    schema = definition.get("inputSchema") if isinstance(definition, Mapping) else None
    waiting = [("/inputSchema", schema)]
    left = MOST_PARAMETERS
    while waiting and left:
        at, one = waiting.pop(0)
        if not isinstance(one, Mapping):
            continue
        inside = [(f"{at}/items", one.get("items"))]
        for word in _BRANCHES:
            if isinstance(branches := one.get(word), list):
                inside += [(f"{at}/{word}/{number}", branch) for number, branch in enumerate(branches[:20])]
        for word in ("$defs", "definitions"):
            if isinstance(named := one.get(word), Mapping):
                inside += [(f"{at}/{word}/{escaped(str(name))}", branch) for name, branch in list(named.items())[:50]]
        found = one.get("properties")
        for name, rules in list(found.items())[:left] if isinstance(found, Mapping) else ():
            left -= 1
            place = f"{at}/properties/{escaped(str(name))}"
            yield place, str(name), rules
            inside.append((place, rules))
        waiting += inside[:MOST_PARAMETERS]
        del waiting[MOST_PARAMETERS:]


def tokens(name: str) -> list[str]:
    """Return the words of a name in lower case: delete_file, deleteFile and delete-file have the same."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def described(definition: Any) -> str:
    """Return the description of a definition, empty when it has none."""
    said = definition.get("description") if isinstance(definition, Mapping) else None
    return said if isinstance(said, str) else ""


def settled(check_id: str, found: Iterable[CheckResult], passed: str, **evidence: Any) -> Iterator[CheckResult]:
    """Yield what was found, the worst first, each once and not without end, or that nothing was."""
    once: dict[tuple[str, str], CheckResult] = {}
    for one in sorted(found, key=lambda one: -_RANK.index(one.severity or "medium")):
        once.setdefault((one.tool, one.key), one)
    results = list(once.values())
    yield from results[:MOST_RESULTS]
    if len(results) > MOST_RESULTS:
        more = results[MOST_RESULTS:]
        yield CheckResult(
            check_id, "fail", f"{len(more)} more were found.", severity=worst(more), evidence=evidence, key="more",
            next_step="See to those that are listed, and test again.",
        )
    if not results:
        yield CheckResult(check_id, "pass", passed, evidence=evidence)


def worst(results: Iterable[CheckResult]) -> Severity:
    """Return the highest severity among results."""
    return max((one.severity or "medium" for one in results), key=_RANK.index, default="info")

