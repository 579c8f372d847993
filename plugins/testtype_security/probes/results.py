"""D10: does what a tool returns speak to the model, or hide something, at once or only after some calls?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.plugin import CheckResult, Confidence, Severity

from .. import hidden, utterance
from . import marks
from .lab import Reply, short
from .plain import Plain, Used
from .surfaces import strings

MOST_TEXT = 20_000
PART = 600
LIMIT = 0.75  # texts of all kinds come back: less than sure is nothing, but where they turn to the machine that reads them
TURNED = 0.25  # of what an answer says that the same call did not say before
_CHANGING = re.compile(r"\d+|[0-9a-f]{8,}")


@dataclass(frozen=True)
class Found:
    """What is wrong with a text: orders for the reader, or signs nobody sees."""

    what: str
    span: str
    unseen: bool
    codes: tuple[str, ...] = ()
    sure: bool = True


def verdicts(plain: Plain) -> Iterator[CheckResult]:
    """Yield the verdicts of D10 on results, errors and resources of plain use."""
    failed = False
    own = frozenset(str(tool.get("name")).lower() for tool in plain.lists.get("tools", ()) if isinstance(tool, Mapping))
    given = frozenset(
        text for used in plain.used for arguments in (used.arguments, *(one for one, _ in (*used.others, *used.series)))
        for text in strings(arguments) if 3 < len(text) < 2000
    )
    for used in plain.used:
        result = _of_tool(used, own, given)
        if result is not None:
            failed = True
            yield result
    for uri, text in plain.read:
        found = look(text, own)
        if found is not None:
            failed = True
            severity: Severity = "high" if found.unseen else "medium"
            yield CheckResult(
                "D10",
                "fail",
                f"The resource {uri[:100]} {found.what}.",
                tool="*",
                key=f"resource:{uri[:150]}",
                severity=severity,
                confidence="certain" if found.unseen else "tentative",
                evidence={"span": found.span, "codes": list(found.codes)},
                input={"method": "resources/read", "params": {"uri": uri}},
                next_step=_FIX,
                reproduce="Read the resource.",
            )
    for notice in notices(plain, own):
        failed = True
        yield notice
    if not failed:
        calls = sum(len(used.replies) + len(used.others) for used in plain.used)
        yield CheckResult(
            "D10",
            "pass",
            f"Nothing that was returned in {calls} calls gives orders or hides anything.",
            evidence={"calls": {used.surface.title: len(used.replies) for used in plain.used[:60]}, "resources": len(plain.read)},
        )


_FIX = "Do not use the tool; what it returns is read by the model as if you had written it."


def look(text: str, own: frozenset[str] = frozenset(), limit: float = LIMIT) -> Found | None:
    """Return what is wrong with a text, None for one that only says something; ``own`` are the names of the server's tools."""
    text = text[:MOST_TEXT]
    for one in hidden.finds(text):
        if one.weight == "high":
            span = marks.span(text, text[one.start : one.end]).encode("ascii", "backslashreplace").decode()
            says = f": it says {one.text[:80]!r}" if one.text else ""
            return Found(f"hides something ({one.kind}){says}", span[:400], True, tuple(one.codes[:20]))
    for part in _parts(text):
        for said in utterance.read(part, utterance.About(opening=False, own=own), min(limit, utterance.LEAST)):
            if said.weight < limit and not said.addressed:
                continue
            span = part[said.start : min(said.end, said.start + 400)]
            return Found(f"{said.kind} ({said.words})", span, False, sure=said.weight >= LIMIT or said.addressed)
    return None


def _parts(text: str) -> Iterator[str]:
    """Yield pieces that are read at once: an order stands in one paragraph, a long document has a bit of everything."""
    if len(text) <= PART:
        yield text
        return
    lines = [line[at:at + PART] for line in text.split("\n") for at in range(0, max(len(line), 1), PART)]
    for at, line in enumerate(lines):
        part = line
        for after in lines[at + 1:at + 4]:
            if len(part) + len(after) > PART or not after.strip():
                break
            part = f"{part}\n{after}"
        if len(part.strip()) > 20:
            yield part


def _of_tool(used: Used, own: frozenset[str], given: frozenset[str]) -> CheckResult | None:
    """Look at the repeated answers and the others; one that turns after some calls has a second fact beside its words."""
    for arguments, replies in ((used.arguments, used.replies), *used.series):
        result = _of_series(used, arguments, replies, own, given)
        if result is not None:
            return result
    for arguments, reply in used.others:
        found = look(_without(reply, arguments), own)
        if found is not None:
            return _result(used, found, "", False, 1, arguments)
    return None


def _of_series(
    used: Used, arguments: Mapping[str, Any], replies: Sequence[Reply], own: frozenset[str], given: frozenset[str]
) -> CheckResult | None:
    """Look at answers to one same call: what a later one says anew is weighed alone, and less of it is enough.

    What was ``given`` to other tools meanwhile may come back, and nobody said it but we.
    """
    known: set[str] = set()
    for at, reply in enumerate(replies):
        text = _without(reply, arguments)
        new = [one for one in _pieces(text) if _CHANGING.sub("0", one) not in known]
        if at and new:
            found = look("\n".join(one for one in new if not any(mine in one for mine in given)), own, TURNED)
            if found is not None:
                turned = look(_without(replies[0], arguments), own) is None
                when = f" from call {at + 1} on, where it did not before" if turned else ""
                return _result(used, found, when, turned, at + 1, arguments)
        found = look(text, own) if new else None
        if found is not None:
            return _result(used, found, "", False, at + 1, arguments)
        known.update(_CHANGING.sub("0", one) for one in new)
    return None


def _pieces(text: str) -> list[str]:
    """Return the sentences and lines of a text."""
    return [one.strip() for one in utterance.SPLIT.split(text[:MOST_TEXT]) if one and one.strip()]


def notices(plain: Plain, own: frozenset[str] = frozenset()) -> Iterator[CheckResult]:
    """Yield what messages that nobody asked for say to the model."""
    texts = ["\n".join(strings(frame.message)) for frame in plain.frames[:200] if isinstance(frame.message, Mapping)]
    for text in dict.fromkeys(texts):
        found = look(text, own)
        if found is not None:
            yield CheckResult(
                "D10",
                "fail",
                f"A message that nobody asked for {found.what}.",
                tool="*",
                key="notice",
                severity="high" if found.unseen else "medium",
                confidence="certain" if found.unseen else "tentative",
                evidence={"span": found.span, "codes": list(found.codes)},
                next_step=_FIX,
                reproduce="Use the tools of the server and read its notifications.",
            )
            return


def _result(used: Used, found: Found, when: str, turned: bool, call: int, arguments: object) -> CheckResult:
    severity: Severity = "high" if found.unseen or (turned and found.sure) else "medium"
    confidence: Confidence = "certain" if found.unseen else "firm" if turned and found.sure else "tentative"
    method, params = used.surface.request(dict(arguments) if isinstance(arguments, dict) else {})
    return CheckResult(
        "D10",
        "fail",
        f"The answer of the tool {found.what}{when}.",
        tool=used.surface.title,
        key=f"prompt:{used.surface.name[:150]}" if used.surface.kind == "prompt" else "",
        severity=severity,
        confidence=confidence,
        evidence={"span": found.span, "codes": list(found.codes), "call": call, "turned": turned},
        input={
            "method": method,
            "params": {**params, "arguments": short(params.get("arguments", {}))} if "arguments" in params else params,
        },
        next_step=_FIX,
        reproduce=f"Send this request {call} times to a fresh container.",
    )


def _without(reply: Reply, arguments: Mapping[str, Any]) -> str:
    """Return an answer without what it repeats of the request."""
    text = reply.plain
    for given in sorted(set(strings(arguments)), key=len, reverse=True):
        text = text.replace(given, "…") if len(given) > 3 else text
        text = "".join(sign for sign in text if sign not in given or sign.isascii()) if not given.isascii() else text
    return text
