"""D07, D08: secrets in what the server says, and on the network. Canaries stand in the place of every secret; one more stands
in a variable nobody asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from mcpweb.plugin import CheckResult, Severity, SinkEvent

from . import marks
from .lab import CANARY_VARIABLE, Asked, Stand, short

MASK = "Leave secrets out of results, errors and logs; name the variable instead of its value."

KNOWN = re.compile(
    r"\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{40,}|\bglpat-[A-Za-z0-9_-]{20,}|\bsk-[A-Za-z0-9_-]{32,}"
    r"|\b[sr]k_live_[A-Za-z0-9]{16,}|\bxox[abprs]-[A-Za-z0-9-]{20,}|\bAIza[0-9A-Za-z_-]{35}|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[A-Za-z0-9_-]{40,}"
    r"|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}"
)
PAIR = re.compile(
    r"(?i)[\"']?\b([a-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|access[_-]?token|client[_-]?secret))"
    r"[\"']?\s*(?:[=:]|\bis\b)\s*[\"']?([^\s\"',;}{<>]{8,200})"
)
LOGIN = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,60}:([^\s/:@]{4,80})@[\w.-]+")
PLACEHOLDER = re.compile(
    r"(?i)^[*x•.…-]+$|\*{3}|…|example|your|placeholder|redacted|masked|hidden|change.?me|<|>|\$\{|null|none|undefined|xxx|string|required|function"
)


def told(stands: Iterable[Stand]) -> Iterator[CheckResult]:
    """Yield the failures of D07: each secret of each surface once, and those in logs."""
    seen: set[tuple[str, str]] = set()
    for stand in stands:
        for asked in stand.asked:
            for result in _in_answer(stand, asked):
                if (result.tool, result.key) not in seen:
                    seen.add((result.tool, result.key))
                    yield result
        for variable, value in stand.canaries.items():
            form = marks.seen(value, stand.beside())
            if form and ("*", variable) not in seen:
                seen.add(("*", variable))
                yield CheckResult(
                    "D07",
                    "fail",
                    f"The value of {variable} stands in what the server writes to standard error.",
                    key=variable,
                    severity="medium",
                    evidence={"variable": variable, "span": _masked(marks.span(stand.beside(), form), form)},
                    next_step=MASK,
                    reproduce=f"Start the server with a marked value in {variable}, use its tools and read its log.",
                )


def _in_answer(stand: Stand, asked: Asked) -> Iterator[CheckResult]:
    text, request = asked.reply.text, str(asked.arguments)
    where = "an error" if asked.reply.outcome != "ok" else "a result"
    for variable, value in stand.canaries.items():
        form = marks.seen(value, text)
        if form:
            what = f"the environment, {variable} among it" if variable == CANARY_VARIABLE else f"the secret {variable}"
            yield _leak(
                asked, f"{where[:1].upper()}{where[1:]} of the tool holds {what}.", variable, marks.span(text, form), form, "high"
            )
    if len(text) > 200_000 or any(marks.seen(value, text) for value in stand.canaries.values()):
        return
    for found in KNOWN.finditer(text):
        if found[0] not in request:
            yield _leak(
                asked,
                f"{where[:1].upper()}{where[1:]} of the tool holds what looks like a credential ({found[0][:4]}…).",
                f"format:{found[0][:4]}",
                marks.span(text, found[0]),
                found[0],
                "medium",
                "firm",
            )
            return
    for pattern in (PAIR, LOGIN):
        for found in pattern.finditer(text):
            value = found[found.re.groups]
            if value in request or PLACEHOLDER.search(value) or not _random(value):
                continue
            name = found[1] if pattern is PAIR else "login in a URL"
            yield _leak(
                asked,
                f"{where[:1].upper()}{where[1:]} of the tool holds a value named {name}.",
                f"pair:{name.lower()}",
                marks.span(text, value),
                value,
                "medium",
                "tentative",
            )
            return


def _leak(
    asked: Asked, summary: str, key: str, span: str, value: str, severity: Severity, confidence: str = "certain"
) -> CheckResult:
    method, params = asked.surface.request(asked.arguments)
    return CheckResult(
        "D07",
        "fail",
        summary,
        tool=asked.surface.title,
        key=key,
        severity=severity,
        confidence=confidence,  # type: ignore[arg-type]
        evidence={"outcome": asked.reply.outcome, "span": _masked(span, value)},
        next_step=MASK,
        input={"method": method, "params": {**params, "arguments": short(asked.arguments)} if "arguments" in params else params},
        reproduce="Give the variable a value of your own in a container for tests, send this request, and look for the value.",
    )


def _masked(span: str, value: str) -> str:
    return span.replace(value, f"{value[:6]}…({len(value)} characters)")


def _random(value: str) -> bool:
    """Tell whether a text looks made up by a machine or by somebody who was asked for signs: not a word, not a path."""
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]"))
    entropy = -sum(value.count(sign) / len(value) * math.log2(value.count(sign) / len(value)) for sign in set(value))
    return (
        not value.startswith(("/", "http"))
        and entropy > 2.7
        and (kinds >= 3 or (kinds >= 2 and len(value) >= 12 and entropy > 3))
    )


# On the network

_HEADER = re.compile(
    r"(?i)^(authorization|proxy-authorization|cookie|.*(api|access|auth)[-_]?(key|token).*|x-.*(key|token|secret))$"
)
_QUERY = re.compile(
    r"(?i)[?&](api[_-]?key|key|token|access[_-]?token|appid|auth)=[^&]*$|[?&](api[_-]?key|key|token|access[_-]?token|appid|auth)="
)


def on_the_network(stands: Iterable[Stand], events: Iterable[SinkEvent]) -> Iterator[CheckResult]:
    """Yield the failures of D08: each secret that was seen, by the place it went to."""
    canaries = {value: variable for stand in stands for variable, value in stand.canaries.items()}
    seen: dict[tuple[str, str], CheckResult] = {}
    events = list(events)
    for event in [*events, *_in_pieces(events)]:
        carried = _carried(event)
        for value, variable in canaries.items():
            place = next((name for name, text in carried.items() if marks.seen(value, text) or _split(value, text)), "")
            if not place:
                continue
            target = event.name or event.address
            target = ".".join(target.split(".")[-3 if event.at else -2:]) if event.kind == "dns" else target
            usual = variable != CANARY_VARIABLE and (_HEADER.match(place) or place == "query")
            found = CheckResult(
                "D08",
                "fail",
                f"The secret {variable} is sent to {target} without encryption ({place})."
                if usual
                else f"The value of {variable} leaves the server: it was seen on the way to {target} ({place}).",
                key=f"{variable}>{target}",
                severity="medium" if usual else "critical",
                evidence={
                    "variable": variable,
                    "kind": event.kind,
                    "name": event.name[:100],
                    "address": event.address,
                    "port": event.port,
                    "place": place,
                    "span": _masked(marks.span(carried[place], value), value),
                },
                next_step="Use https for requests that carry a secret."
                if usual
                else "Do not use this server. Replace every secret it had, and find out what else it sends.",
                reproduce="Start the server without a way out, with marked values for its secrets and a name server of your own, "
                "and read what it asks for.",
            )
            before = seen.get((variable, target))
            if before is None or (before.severity == "medium" and not usual):
                seen[variable, target] = found
    yield from seen.values()


def _in_pieces(events: list[SinkEvent]) -> Iterator[SinkEvent]:
    """Yield the names that were asked for below one domain as one long name: what is sent by names is sent in pieces."""
    below: dict[str, list[str]] = {}
    for event in events:
        *labels, domain, top = ["", *event.name.split(".")][-12:] if event.kind == "dns" and event.name.count(".") else ["", ""]
        if labels:
            below.setdefault(f"{domain}.{top}", []).append(max(labels, key=len))
    for domain, pieces in below.items():
        if len(pieces) > 1:
            yield SinkEvent(at=0, kind="dns", name=f"{''.join(dict.fromkeys(pieces))}.{domain}")


def _carried(event: SinkEvent) -> dict[str, str]:
    path, _, query = event.path.partition("?")
    usual = bool(_QUERY.search(f"?{query}"))
    return {
        "name": event.name,
        "path": path,
        "query" if usual else "query of another kind": query,
        "body": event.body,
        **dict(event.headers),
    }


def _split(value: str, text: str) -> bool:
    """Tell whether a text holds a value in pieces, as names of a name server do."""
    joined = text.replace(".", "").replace("-", "").replace("_", "").lower()
    bare = value.replace("_", "").lower()
    return (len(joined) >= len(bare) and bare in joined) or any(
        form.lower() in joined for form in marks.forms(value)[2:] if len(form) > 20
    )
