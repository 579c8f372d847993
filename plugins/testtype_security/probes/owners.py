"""D13: may one identity see or change what belongs to another? Both are given by who runs the test, and so are the objects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, Failure, TestContext

from . import named
from .lab import Lab, Reply, Stand, listings, short
from .surfaces import Surface, surfaces

CHECK = "D13"
HOW = (
    'Give the run the parameter {"authorisation": {"identities": {"ann": {"arguments": {"token": "…"}}, "bob": {"arguments": '
    '{"token": "…"}}}, "objects": [{"owner": "ann", "tool": "get_note", "arguments": {"id": "1"}}]}}; an identity may have '
    "environment in place of arguments."
)
FIX = "Look up the object together with who asks for it, and answer as if it did not exist for everybody else."
_CHANGING = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+\S*|\b[0-9a-f]{8}-[0-9a-f-]{27}\b")


def verdicts(context: TestContext, lab: Lab, offered: Sequence[Surface] = ()) -> Iterator[CheckResult]:
    """Yield the verdicts of D13, one for each object, or for what is offered where identities are arguments."""
    given = context.parameters.get("authorisation")
    given = given if isinstance(given, Mapping) else {}
    identities, objects = given.get("identities"), given.get("objects")
    if not isinstance(identities, Mapping) or len(identities) < 2 or not isinstance(objects, list) or not objects:
        yield from _by_arguments(lab, offered)
        return
    stands: dict[str, Stand] = {}
    try:
        for at, thing in enumerate(objects[:40]):
            yield from _one(lab, stands, identities, thing, at)
    finally:
        for stand in {id(stand): stand for stand in stands.values()}.values():
            stand.close()


def _by_arguments(lab: Lab, offered: Sequence[Surface]) -> Iterator[CheckResult]:
    """Yield what can be told without identities given: where they are arguments, and the server names or takes two."""
    seen = named.Compared(0, ())
    if named.worth(offered):  # else no container is needed
        try:
            stand = lab.stand("as others")
            try:
                seen = named.compare(offered, stand.ask, CHECK, FIX, lab.worked)
            finally:
                stand.close()
        except Failure as failure:
            yield CheckResult(CHECK, "undecided", f"Nobody could be compared: {failure.sentence}", next_step=HOW)
            return
    yield from seen.found
    if not seen.asked:
        yield CheckResult(CHECK, "not_applicable", "No two identities were given to compare.", next_step=HOW)
    elif not seen.found:
        yield CheckResult(
            CHECK, "pass", "What one identity's list has is not shown to another.", next_step=HOW, evidence={"asked": seen.asked}
        )


def _one(lab: Lab, stands: dict[str, Stand], identities: Mapping[str, Any], thing: Any, at: int) -> Iterator[CheckResult]:
    thing = thing if isinstance(thing, Mapping) else {}
    owner, tool, arguments = str(thing.get("owner")), str(thing.get("tool")), thing.get("arguments") or {}
    if owner not in identities or not isinstance(arguments, Mapping):
        yield CheckResult(
            CHECK, "undecided", f"Object {at + 1} names no owner among the identities.", tool=tool, key=str(at), next_step=HOW
        )
        return
    try:
        own = _ask(lab, stands, identities, owner, tool, arguments)
    except Failure as failure:
        yield CheckResult(
            CHECK, "undecided", f"As {owner} the tool could not be called: {failure.sentence}", tool=tool, key=str(at)
        )
        return
    key = f"{owner}:{short(arguments)}"[:150]
    if not own.ok or not own.text.strip():
        yield CheckResult(
            CHECK,
            "undecided",
            f"Its owner {owner} does not get the object either: {own.outcome}.",
            tool=tool,
            key=key,
            evidence={"answer": own.text[:300]},
            next_step="Check the identity and the arguments of the object.",
        )
        return
    for other in identities:
        if other == owner:
            continue
        try:
            foreign = _ask(lab, stands, identities, str(other), tool, arguments)
            repeated = _ask(lab, stands, identities, str(other), tool, arguments) if foreign.ok else foreign
        except Failure as failure:
            yield CheckResult(
                CHECK, "undecided", f"As {other} the tool could not be called: {failure.sentence}", tool=tool, key=key
            )
            return
        writes = bool(thing.get("writes"))
        same = foreign.ok and (writes or _plain(foreign.text) == _plain(own.text) or _holds(own.text, foreign.text))
        if same and repeated.ok:
            yield CheckResult(
                CHECK,
                "fail",
                f"{other} {'may change' if writes else 'gets'} what belongs to {owner}.",
                tool=tool,
                key=key,
                evidence={
                    "owner": {"identity": owner, "answer": own.text[:400]},
                    "other": {"identity": other, "answer": foreign.text[:400]},
                },
                input={"method": "tools/call", "params": {"name": tool, "arguments": short(arguments)}},
                next_step=FIX,
                reproduce=f"Send the request once as {owner} and once as {other}, and compare the answers.",
            )
            return
    yield CheckResult(CHECK, "pass", f"What belongs to {owner} is given to nobody else.", tool=tool, key=key)


def _ask(
    lab: Lab, stands: dict[str, Stand], identities: Mapping[str, Any], who: str, tool: str, arguments: Mapping[str, Any]
) -> Reply:
    identity = identities[who] if isinstance(identities[who], Mapping) else {}
    environment = identity.get("environment")
    place = who if isinstance(environment, Mapping) and environment else "*"
    if place not in stands:
        stands[place] = lab.stand(f"as {place}", environment={str(n): str(v) for n, v in (environment or {}).items()})
    more = identity.get("arguments")
    stand = stands[place]
    known = next(
        (one for one in surfaces(listings(stand.session)) if one.kind == "tool" and one.name == tool),
        Surface("tool", tool, {}, {}),
    )
    return stand.ask(known, {**(more if isinstance(more, Mapping) else {}), **arguments})


def _plain(text: str) -> str:
    return _CHANGING.sub("…", text).strip()


def _holds(own: str, foreign: str) -> bool:
    """Tell whether the other's answer holds the lines that make up the owner's."""
    lines = [line for line in own.split("\n") if len(line) > 11]
    return bool(lines) and all(line in foreign for line in lines)
