"""M01, M02, M03 and M10: what the texts of a server tell a model to do, openly or out of sight.

Wording alone stays at medium and is tentative. High needs a fact beside it: code points that cannot be seen, or a text that is an
order once it is decoded. M01 reads the descriptions of tools and their parameters, M03 every other string there is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcpweb.plugin import CheckResult, Severity

from . import decoding, hidden, preference, utterance
from .strings import Text, Thing
from .surface import Surface, described, properties, settled

CHECKS = ("M01", "M02", "M03", "M10")
SHORTEST = 12  # characters that carry something worth having
LIMIT, LEAST = utterance.LIMIT, utterance.LEAST
SURE = 0.78  # outside of descriptions, where most strings are no sentences
PART = 0.3  # of a text that is about being chosen, to be told as that too
WORDS = 4  # of a name that can say something
_FIX = "Tell the server's author, and do not let a model see this server before the text is gone."
_DESCRIPTIONS = re.compile(r"/(?:description|title)$")


@dataclass(frozen=True)
class Reading:
    """What one text says to a model, plain or once decoded; ``how`` is the encoding."""

    text: Text
    signals: tuple[utterance.Signal, ...]
    how: str = ""
    plain: str = ""  # what it says where that is not what it shows

    @property
    def score(self) -> float:
        return utterance.score(self.signals)


def check(surface: Surface, most_s: float = 60.0) -> Iterator[CheckResult]:
    """Yield the verdicts of M01, M02, M03 and M10 on everything a server serves, or on as much as can be read in time."""
    found: dict[str, list[CheckResult]] = {check_id: [] for check_id in CHECKS}
    until, unread = time.monotonic() + most_s, 0
    for thing in surface.things:
        if time.monotonic() > until:
            unread += 1
            continue
        for result in of_thing(thing, surface.names):
            found[result.check_id].append(result)
    passed = {
        "M01": "No description gives orders to a model.",
        "M02": "No text holds anything that cannot be seen.",
        "M03": "No other text gives orders to a model.",
        "M10": "No text praises its tool above others to be chosen.",
    }
    for check_id, results in found.items():
        evidence = {"definitions": len(surface.things), "missing": dict(surface.missing), "not_read": unread}
        if unread and not results:
            why = f"{unread} of {len(surface.things)} definitions could not be read in time."
            yield CheckResult(check_id, "undecided", why, evidence=evidence)
        else:
            yield from settled(check_id, results, passed[check_id], **evidence)


def of_thing(thing: Thing, own: frozenset[str]) -> Iterator[CheckResult]:
    """Yield what is wrong with the texts of one definition."""
    texts = thing.texts
    told = about(thing, own)
    readings: list[Reading] = []
    for text in [*texts, *_joined(thing)]:
        place = replace(
            told,
            opening=(text.parent == "description" and _main(text, thing))
            or (text.role == "prose" and thing.kind != "instructions"),
            parameter="/properties/" in text.pointer and "/outputSchema/" not in text.pointer,
            here=_parameter(text.pointer),
        )
        plain = _words(text)
        if text.role in ("key", "name") and len(plain.split()) < WORDS:
            plain = ""
        readings.append(Reading(text, tuple(utterance.read(plain, place))))
        for one in _encoded(plain, place, readings[-1].score):
            readings.append(replace(one, text=text))
        yield from _unseen(thing, text, place)
        yield from preference.check(thing, text, own)
    yield from _orders(thing, readings)


def about(thing: Thing, own: frozenset[str], others: frozenset[str] = frozenset()) -> utterance.About:
    """Return what a reader of a definition's texts knows: what it is about, what parameters it has, which tools there are."""
    carriers = frozenset(str(name).lower() for name, schema in properties(thing.definition).items() if _holds_text(schema))
    fixed = frozenset(str(name).lower() for name in properties(thing.definition)) - carriers
    first = re.split(r"(?<=[.!?])\s|(?<=[。！？])|\n|<", described(thing.definition).strip(), maxsplit=1)[0]
    title = thing.definition.get("title") if isinstance(thing.definition, Mapping) else ""
    topic = f"{_spaced(thing.name)} {title if isinstance(title, str) else ''}\n{first}" if thing.kind != "instructions" else ""
    known = frozenset(name.lower() for name in own)
    words = frozenset(text.text.lower() for text in thing.texts if text.role != "prose" and len(text.text) < 64)
    return utterance.About(carriers=carriers, fixed=fixed, own=known, others=others, words=words, topic=topic)


def _holds_text(schema: Any) -> bool:
    """Tell whether a parameter can carry a text: no number, no choice, nothing a few characters long."""
    if not isinstance(schema, Mapping):
        return True
    longest = schema.get("maxLength")
    short = isinstance(longest, int | float) and longest < SHORTEST
    return (
        schema.get("type") not in ("integer", "number", "boolean", "null")
        and "enum" not in schema
        and "const" not in schema
        and not short
    )


def _parameter(pointer: str) -> str:
    """Return the name of the parameter that a text describes, empty for other texts."""
    match = re.search(r"/inputSchema(?:/.*)?/properties/([^/]+)/(?:description|title|default|examples/\d+)$", pointer)
    return match[1].lower() if match else ""


def _main(text: Text, thing: Thing) -> bool:
    return text.pointer == f"{thing.pointer}/description"


def _words(text: Text) -> str:
    return _spaced(text.shown) if text.role in ("key", "name") else text.shown


def _spaced(name: str) -> str:
    """Return a name as words."""
    return re.sub(r"[_\-./]+|(?<=[a-z])(?=[A-Z])", " ", name) if not re.search(r"\s", name) else name


def _joined(thing: Thing) -> Iterator[Text]:
    """Yield lists of strings as one text each, and names of parameters in a row: an order may be cut into pieces."""
    stack: list[tuple[Any, str, str]] = [(thing.definition, thing.pointer, "")]
    seen = 0
    while stack and seen < 5000:
        here, at, key = stack.pop()
        seen += 1
        if isinstance(here, Mapping):
            if key == "properties" and len(here) > 1 and "/inputSchema" in at:
                yield Text(at, " ".join(_spaced(str(name)) for name in list(here)[:60]), "value", key)
                yield Text(at, " ".join(filter(None, map(described, list(here.values())[:60]))), "value", key)
            stack.extend((inner, f"{at}/{name}", str(name)) for name, inner in here.items())
        elif isinstance(here, Sequence) and not isinstance(here, str | bytes):
            parts = [item for item in here if isinstance(item, str)]
            if len(parts) > 1 and key != "required":
                yield Text(at, " ".join(_spaced(part) for part in parts[:200]), "value", key)
            stack.extend((inner, f"{at}/{number}", key) for number, inner in enumerate(here) if not isinstance(inner, str))


def _encoded(text: str, told: utterance.About, shown: float) -> Iterator[Reading]:
    """Yield the orders that stand encoded in a text."""
    place = replace(told, opening=False)
    for one in decoding.decoded(text):
        signals = tuple(utterance.read(one.text, place))
        if utterance.score(signals) >= LEAST:
            yield Reading(Text("", text, "value"), signals, one.how, one.text)
    if shown < LIMIT:
        yield from _turned(text, place, shown)
    for found in hidden.finds(text):
        if found.codes and found.text and utterance.score(signals := tuple(utterance.read(found.text, place))) >= LEAST:
            yield Reading(Text("", text, "value"), signals, found.kind, found.text)


def _turned(text: str, place: utterance.About, shown: float) -> Iterator[Reading]:
    """Yield what a text says once its letters are turned, where that is much more than what it says as it stands."""
    base, place = -1.0, replace(place, here="", carriers=frozenset())  # turned around, any word may look like a name
    for one in decoding.turned(text):
        signals = tuple(utterance.read(one.text, place))
        score = utterance.score(signals)
        if score >= LIMIT:
            base = utterance.score(utterance.read(text, place, 0.0)) if base < 0 else base
            if score >= base + 0.3:
                yield Reading(Text("", text, "value"), signals, one.how, one.text)


def _orders(thing: Thing, readings: list[Reading]) -> Iterator[CheckResult]:
    """Yield M01 and M03: each text that is no plain one, the worst first."""
    by_pointer: dict[tuple[str, str], Reading] = {}
    for one in readings:
        enough = LEAST if one.how else LIMIT if _told(thing, one.text) else SURE
        key = (one.text.pointer, one.how)
        if one.score >= enough and (key not in by_pointer or one.score > by_pointer[key].score):
            by_pointer[key] = one
    told = [one for one in by_pointer.values() if not any(other.startswith(f"{one.text.pointer}/") for other, _ in by_pointer)]
    for one in sorted(told, key=lambda one: -one.score)[:5]:  # what is one order in pieces is told of its piece
        yield from _order(thing, one)


def _told(thing: Thing, text: Text) -> bool:
    """Tell whether a text describes something to whoever calls it."""
    return text.role == "prose" and "/outputSchema/" not in text.pointer and bool(_DESCRIPTIONS.search(text.pointer))


def _order(thing: Thing, first: Reading) -> Iterator[CheckResult]:
    """Yield what a text is told of as: an order, a wish to be chosen over others, or both where it has of both."""
    described_one = thing.kind == "tool" and bool(_DESCRIPTIONS.search(first.text.pointer)) and first.text.role == "prose"
    signals = sorted(first.signals, key=lambda one: -one.weight)
    worst, said = signals[0], first.plain or first.text.shown
    evidence: dict[str, Any] = {
        "pointer": first.text.pointer,
        "chance": worst.weight,
        "limit": LIMIT,
        "signals": [
            {
                "kind": signal.kind,
                "chance": signal.weight,
                "span": [signal.start, signal.end],
                "sentence": said[signal.start : signal.end].strip()[:400],
                "words": signal.words,
            }
            for signal in signals
        ],
        "text": first.text.shown[:600],
    }
    severity: Severity = "medium"
    told = worst.kind
    if first.how:
        evidence |= {"encoding": first.how, "decoded": first.plain[:600]}
        severity, told = "high", f"{worst.kind}, in {first.how}"
    result = CheckResult(
        "M01" if described_one else "M03",
        "fail",
        f"{_named(thing)} {told}: {said[worst.start : worst.end].strip()[:200]!r} ({worst.words}).",
        tool=thing.tool,
        severity=severity,
        evidence=evidence,
        confidence="firm" if first.how else "tentative",
        key=first.text.pointer,
        reproduce=f"Read {first.text.pointer} in the raw answer to {_method(thing)}"
        + (f" and decode it: {first.how}." if first.how else "."),
        next_step=_FIX,
    )
    if first.how or worst.choice <= 1 - PART:
        yield result
    if any(one.choice >= PART for one in signals):
        yield replace(result, check_id="M10", next_step=preference.NEXT)


def _unseen(thing: Thing, text: Text, told: utterance.About) -> Iterator[CheckResult]:
    """Yield M02 for what a text hides, and M03 where that is not a description."""
    found = hidden.finds(text.shown, name=text.role in ("name", "key"))
    if not found:
        return
    place = replace(told, opening=False)
    weighed = [(one, utterance.score(utterance.read(one.text, place)) if one.text else 0.0) for one in found]
    disguised = not text.shown.isascii() and utterance.score(utterance.read(text.shown, told)) >= LIMIT
    severities: list[Severity] = [
        "high" if one.weight == "high" or said >= LEAST or (disguised and one.codes) else one.weight for one, said in weighed
    ]
    rank = ("low", "medium", "high")
    severity = max(severities, key=rank.index)
    if severity == "low":
        return
    kinds = list(dict.fromkeys(one.kind for one in found))
    evidence = {
        "pointer": text.pointer,
        "finds": [
            {
                "kind": one.kind,
                "span": [one.start, one.end],
                "code_points": list(one.codes),
                "says": one.text[:600],
                "order": said >= LEAST,
            }
            for one, said in weighed
        ][:20],
        "text": ascii(text.shown[:300]),
    }
    said = max((one.text for one, _ in weighed), key=len)
    summary = f"{_named(thing)} holds {', '.join(kinds)} in {text.pointer}" + (f": {said[:120]!r}." if said.strip() else ".")
    result = CheckResult(
        "M02",
        "fail",
        summary,
        tool=thing.tool,
        severity=severity,
        evidence=evidence,
        confidence="firm",
        key=text.pointer,
        reproduce=f"Look at the code points of {text.pointer} in the raw answer to {_method(thing)}.",
        next_step=_FIX,
    )
    yield result
    if severity == "high" and not (thing.kind == "tool" and _DESCRIPTIONS.search(text.pointer)):
        yield replace(result, check_id="M03")


def _named(thing: Thing) -> str:
    if thing.kind in ("instructions", "server"):
        return "What the server says of itself"
    return f"The {thing.kind} {thing.name[:80]!r}"


def _method(thing: Thing) -> str:
    return {
        "tool": "tools/list",
        "prompt": "prompts/list",
        "resource": "resources/list",
        "template": "resources/templates/list",
    }.get(thing.kind, "initialize or server/discover")


def orders(texts: Iterable[str]) -> float:
    """Return how much of an order the heaviest of some texts is: for results and changes, where nothing else is known."""
    heaviest = 0.0
    for text in texts:
        place = utterance.About(opening=False)
        scores = [utterance.score(utterance.read(text, place))]
        scores += [one.score for one in _encoded(text, place, scores[0])]
        heaviest = max(heaviest, *scores)
    return heaviest
