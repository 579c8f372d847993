"""D07, D08: secrets in what the server says, and on the network. Canaries stand in the place of every secret; one more stands
in a variable nobody asked for."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from mcpweb.plugin import CheckResult, Severity, SinkEvent

from . import marks
from .lab import BAITS, CANARY_VARIABLE, Asked, Stand, short
from .surfaces import strings

LEAST = 12  # signs of a secret that are no chance
LOOK_S = 8.0  # in which answers, logs and the network are looked through
_DIGITS = re.compile(r"\d+")
MASK = "Leave secrets out of results, errors and logs; name the variable instead of its value."

_NAMES = (
    r"passw(?:or)?d|passphrase|passcode|pwd|secret|credentials?|bearer"
    r"|(?:api|access|private|signing|encryption|master|admin|root|shared|webhook|hmac|deploy|db|auth)"
    r"[_-]?key|(?:auth|access|refresh|api|bearer|service|admin|bot|deploy|db|[a-z]{2,12}_api)[_-]?token"
)
NAMED = re.compile(rf"(?i)(?:^|_)(?:{_NAMES}|token|key)$")
KNOWN = re.compile(
    r"\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{40,}|\bglpat-[A-Za-z0-9_-]{20,}|\bsk-[A-Za-z0-9_-]{32,}"
    r"|\b[sr]k_live_[A-Za-z0-9]{16,}|\bxox[abprs]-[A-Za-z0-9-]{20,}|\bAIza[0-9A-Za-z_-]{35}|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[A-Za-z0-9_-]{40,}"
    r"|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}"
)
PAIR = re.compile(
    rf"(?i)[\"']?(?<![a-z0-9_.-])([a-z0-9_.-]{{0,60}}(?:{_NAMES}))"
    r"[\"']?\s*(?:[=:]|\bis\b)\s*[\"']?(?:(?:bearer|basic|token)\s+)?([^\s\"',;}{<>]{8,200})"
)
SCHEME = re.compile(
    r"(?i)\b((?:proxy-)?authorization)[\"']?\s*[=:]\s*[\"']?(?:(?:bearer|basic|token|apikey)\s+)?([^\s\"',;}{<>]{8,400})"
)
_HARMLESS = r"(?!\w{0,40}(?:progress|page|next|continuation|csrf))"
LOG_TOKEN = re.compile(
    rf"(?i)(?<![a-z0-9_.-])({_HARMLESS}[a-z0-9_.-]{{0,60}}token)[\"']?\s*[=:]\s*[\"']?([^\s\"',;}}{{<>]{{12,400}})"
)
NESTED = re.compile(
    r"(?i)(?:signing|encryption|hmac|jwt|auth\w{0,20}|api|tls|credentials?|secrets?|login)[\"']?\s*:\s*\{[^{}]{0,200}?"
    rf"[\"']((?:\w{{1,40}}[_-])?(?:key|value|token|{_NAMES}))[\"']\s*:\s*[\"']([^\s\"',;}}{{<>]{{8,200}})"
)
LOGIN = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,60}:([^\s/:@]{4,80})@[\w.-]+")
PLACEHOLDER = re.compile(
    r"(?i)^[*x•.…-]+$|\*{3}|…|example|your|placeholder|redacted|masked|hidden|change.?me|<|>|\$\{|null|none|undefined|xxx|string|required|function"
)


def told(stands: Iterable[Stand], seconds: float = LOOK_S) -> Iterator[CheckResult]:
    """Yield the failures of D07: each secret of each surface once, and those in logs; what there was no time for is told, too."""
    seen: set[tuple[str, str]] = set()
    until, left = time.monotonic() + seconds, 0
    for stand in stands:
        looked: set[tuple[str, int]] = set()
        for asked in stand.asked:
            same = (asked.surface.title, hash(_shape(asked)))
            if same in looked:
                continue
            looked.add(same)
            if time.monotonic() > until:
                left += 1
                continue
            for result in _in_answer(stand, asked):
                if (result.tool, result.key) not in seen:
                    seen.add((result.tool, result.key))
                    yield result
        beside = _beside(stand)
        logged = {name: marks.seen(value, beside) or marks.pieces(value, beside) for name, value in stand.canaries.items()}
        for variable, form in _told_once({name: form for name, form in logged.items() if form}):
            if ("*", variable) not in seen:
                seen.add(("*", variable))
                yield CheckResult(
                    "D07",
                    "fail",
                    f"The value of {variable} stands in what the server writes to standard error or sends as a notice.",
                    key=variable,
                    severity="medium",
                    evidence={"variable": variable, "span": _masked(marks.span(beside, form), form)},
                    next_step=MASK,
                    reproduce=f"Start the server with a marked value in {variable}, use its tools and read its log.",
                )
        sent = " ".join(str(asked.arguments) for asked in stand.asked[:2000])
        named = [(f"what looks like a credential ({found[0][:4]}…)", found[0]) for found in KNOWN.finditer(beside)]
        named += [(f"a value named {name}", value) for name, value in _named(beside, sent)]
        named += [(f"a value named {name}", value) for name, value in _named(stand.beside(), sent, (LOG_TOKEN,))]
        for what, value in named[:3]:
            bait = any(value in one or one in value for one in stand.canaries.values())
            if not bait and value not in sent and ("*", value) not in seen:
                seen.add(("*", value))
                yield CheckResult(
                    "D07",
                    "fail",
                    f"In what the server writes to standard error or sends as a notice stands {what}.",
                    key=f"log:{what[:60]}",
                    severity="medium",
                    confidence="tentative",
                    evidence={"span": _masked(marks.span(beside, value), value)},
                    next_step=MASK,
                    reproduce="Start the server, use its tools and read its log.",
                )
    if left:
        yield _unfinished("D07", f"{left} answers were not looked through for secrets: the time was used up.")


def _shape(asked: Asked) -> str:
    """Return an answer without what it repeats of its request and without numbers: those that are alike hold the same."""
    text = asked.reply.text
    for given in sorted(set(strings(asked.arguments)), key=len, reverse=True):
        text = text.replace(given, "…") if len(given) > 3 else text
    return _DIGITS.sub("0", text)


def _unfinished(check: str, why: str) -> CheckResult:
    return CheckResult(check, "undecided", why, key="coverage", next_step="Run the full profile.")


def _beside(stand: Stand) -> str:
    """Return what a server said without being asked: its log, and messages that are no answers, with what is packed in them."""
    notices = [str(frame.message) for frame in stand.session.frames() if frame.direction == "received" and unasked(frame.message)]
    text = f"{stand.beside()}\n" + "\n".join(notices[:500])[:200_000]
    return f"{text}\n{marks.decoded([text])}"


def unasked(message: object) -> bool:
    return isinstance(message, dict) and "method" in message


def _in_answer(stand: Stand, asked: Asked) -> Iterator[CheckResult]:
    text, request = asked.reply.text, str(asked.arguments)
    where = "an error" if asked.reply.outcome != "ok" else "a result"
    shown = {variable: marks.seen(value, text) or marks.pieces(value, text) for variable, value in stand.canaries.items()}
    held = {variable: form for variable, form in shown.items() if form}
    for variable, form in _told_once(held):
        what = f"the environment, {variable} among it" if variable == CANARY_VARIABLE else f"the secret {variable}"
        yield _leak(
            asked, f"{where[:1].upper()}{where[1:]} of the tool holds {what}.", variable, marks.span(text, form), form, "high"
        )
    if len(text) > 200_000 or held:
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
    for name, value in _named(f"{text}\n{asked.reply.pairs}", request):
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


def _named(text: str, request: str, more: tuple[re.Pattern[str], ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the values of a text that have the name of a secret and look like one."""
    for pattern in (PAIR, SCHEME, NESTED, LOGIN, *more):
        for found in pattern.finditer(text):
            value = found[found.re.groups]
            if value not in request and not PLACEHOLDER.search(value) and _random(value):
                yield found[1] if pattern is not LOGIN else "login in a URL", value


def _told_once(held: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what of canaries is told: each secret of the server, and one of those that were only put there to be found."""
    baits = [name for name in held if _bait(name)]
    first = CANARY_VARIABLE if CANARY_VARIABLE in held else next(iter(baits), "")
    return [(name, one) for name, one in held.items() if name not in baits or name == first]


def _bait(name: str) -> bool:
    return name == CANARY_VARIABLE or name in BAITS or name.startswith("~/")


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


def on_the_network(stands: Iterable[Stand], events: Iterable[SinkEvent], seconds: float = LOOK_S) -> Iterator[CheckResult]:
    """Yield the failures of D08: each secret that was seen, by the place it went to; what there was no time for is told, too."""
    canaries = {value: variable for stand in stands for variable, value in stand.canaries.items()}
    seen: dict[tuple[str, str], CheckResult] = {}
    events = list(events)
    until, clean, left = time.monotonic() + seconds, set[str](), 0
    for event in [*events, *_in_pieces(events)]:
        carried = {name: text for name, text in _carried(event).items() if len(text) >= LEAST and text not in clean}
        left += bool(carried) and time.monotonic() > until
        held = {
            variable: (value, place) for value, variable in (canaries.items() if not left else ())
            if (place := next((name for name, text in carried.items() if _holds(value, text)), ""))
        }
        if not held:
            clean.update(carried.values())
        for variable, (value, place) in _told_once(held):
            target = event.name or event.address
            target = ".".join(target.split(".")[-3 if event.at else -2:]) if event.kind == "dns" else target
            usual = not _bait(variable) and (_HEADER.match(place) or place == "query")
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
    if left:
        yield _unfinished("D08", f"{left} messages on the network were not looked through for secrets: the time was used up.")


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


def _holds(value: str, text: str) -> bool:
    """Tell whether a text holds a secret: as it is, in a coat, in pieces, packed, or turned."""
    if marks.seen(value, text) or _split(value, text) or marks.pieces(value, text, LEAST):
        return True
    packed, turned = _inside(text)
    if packed and (marks.seen(value, packed) or marks.pieces(value, packed, LEAST)):
        return True
    return any(marks.unmasked(one, turned) for one in (value, value.rpartition("_")[2]))


@lru_cache(maxsize=512)
def _inside(text: str) -> tuple[str, tuple[bytes, ...]]:
    """Return what is packed in a text, and what does not change where all its bytes are turned by one same."""
    bare = unquote_plus(text)
    return (marks.decoded([text, bare]) if len(text) >= 24 else ""), (marks.turned(bare) if len(text) > 16 else ())


def _split(value: str, text: str) -> bool:
    """Tell whether a text holds a value in pieces, as names of a name server do."""
    joined = text.replace(".", "").replace("-", "").replace("_", "").lower()
    bare = value.replace("_", "").lower()
    return (len(joined) >= len(bare) and bare in joined) or any(
        form.lower() in joined for form in marks.forms(value)[2:] if len(form) > 20
    )
