"""M01: a small model of an utterance – who is told, to do what, to what, and what is to be kept quiet.

A tool's description says what the tool does. An attack speaks to the model: it orders something outside the tool's own function,
ties the order to other calls, names what opens doors, and hides it. Each of these is a signal with a weight; one alone is how
people write, several together are not. What is denied ("never reads ~/.ssh"), told of the tool itself ("reads the file") or
quoted as an example of what it looks for is not an order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from . import carries, moods, overrides, phrases, script, words

LIMIT = 0.75
BREATH = 5  # sentences
LONGEST = 1200  # characters of one


@dataclass(frozen=True)
class Signal:
    """One thing that an utterance does, and where."""

    kind: str
    weight: float
    start: int
    end: int
    words: str
    sentence: int = -1  # which one of its text; markup is around all of them


@dataclass(frozen=True)
class About:
    """What the reader knows of the place of a text."""

    opening: bool = True  # the first sentence says what the tool does
    parameter: bool = False  # describes a parameter
    parameters: frozenset[str] = frozenset()  # names of the tool's own parameters
    carriers: frozenset[str] | None = None  # those that hold a text, all where that is not known
    own: frozenset[str] = frozenset()  # names of the server's own tools
    here: str = ""  # the parameter that the text describes
    topic: str = ""  # the tool's name and what it says it does


def score(signals: Iterable[Signal]) -> float:
    """Return the weight of an utterance: each kind of signal counts once, with its heaviest, among sentences that stand together.

    What stands far apart in a long text was not said in one breath.
    """
    best: dict[int, dict[str, float]] = {}  # of a sentence, the heaviest of each kind
    for one in signals:
        kinds = best.setdefault(max(one.sentence, -1), {})
        kinds[one.kind] = max(kinds.get(one.kind, 0.0), one.weight)
    around = best.get(-1, {})
    return max(
        (_sum([around, *(best[at] for at in range(max(first, 0), first + BREATH) if at in best)]) for first in best), default=0.0
    )


def _sum(told: Iterable[dict[str, float]]) -> float:
    best: dict[str, float] = {}
    for kinds in told:
        for kind, weight in kinds.items():
            best[kind] = max(best.get(kind, 0.0), weight)
    return round(sum(best.values()), 3)


def read(text: str, about: About = About()) -> list[Signal]:
    """Return the signals of a text."""
    found: list[Signal] = []
    found += _markup(text)
    told: list[tuple[str, int, int, int]] = []
    at, first, before = 0, True, ""
    parts = phrases.SPLIT.split(text)
    topic = about.topic.lower() or (_plain(parts[0]) if about.opening and len(parts) > 1 and parts[0] else "")
    for number, part in enumerate(short(parts)):
        start = text.find(part, at) if part else at
        at = start + len(part) if part else at
        if not part.strip():
            continue
        plain = _plain(part)
        for kind, weight, said in _sentence(plain, about, first and about.opening, topic, before):
            found.append(Signal(kind, weight, start, at, said[:200], number))
        first, before = False, plain
        told.append((plain, number, start, at))
    subject, carriers = about.topic.lower() or topic, about.parameters if about.carriers is None else about.carriers
    for kind, weight, said, place in carries.read([one[0] for one in told], carriers, subject, about.here):
        _, number, start, end = told[place]
        found.append(Signal(kind, weight, start, end, said[:200], number))
    return found


def short(parts: Iterable[str]) -> Iterator[str]:
    """Yield parts again, those without end cut: what a pattern looks through is bounded."""
    for part in parts:
        yield from (part[at : at + LONGEST] for at in range(0, len(part), LONGEST)) if len(part) > LONGEST else (part,)


@lru_cache(maxsize=2048)
def _plain(part: str) -> str:
    plain = script.readable(part).lower()
    for odd, even in (("’", "'"), ("‘", "'"), ("“", '"'), ("”", '"'), ("**", ""), ("__", "")):
        plain = plain.replace(odd, even)
    return re.sub(r"\s+", " ", plain).strip()


def _markup(text: str) -> Iterator[Signal]:
    lower = _lower(text)
    for match in phrases.TEMPLATE.finditer(lower):
        yield Signal("chat markup", 0.6, match.start(), match.end(), match[0].strip()[:80])
    tags = [match for match in phrases.TAG.finditer(lower) if phrases.AUTHORITY.search(match[1])]
    paired = {match[1] for match in tags if not match[0].startswith("</")} & {
        match[1] for match in tags if match[0].startswith("</")
    }
    for match in tags:
        if match[1] in paired or len(tags) == 1:
            strong = re.search(
                r"system|secret|hidden|admin|overrid|assistant|instruct|mandator|directive|critical|^important$|llm|\bai\b|_ai\b",
                match[1],
            )
            yield Signal("authority tag", 0.4 if strong else 0.2, match.start(), match.end(), match[0][:80])


def _lower(text: str) -> str:
    lower = text.lower()
    return lower if len(lower) == len(text) else text


_TOKEN = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_POINTING = frozenset({"it", "them", "its", "their", "those", "these"})
_DOTTED = re.compile(r"(?:^|[\s`'\"(\w])\.\w|id_|%user")
_NUMBERED = re.compile(r"\d{2}")


def _sentence(plain: str, about: About, opening: bool, topic: str, before: str) -> Iterator[tuple[str, float, str]]:
    """Yield kind, weight and words of the signals of one sentence in lower case."""
    tokens = frozenset(_TOKEN.findall(plain))
    if not tokens.isdisjoint(phrases.OVERRIDING):
        yield from overrides.overriding(plain)
    if not tokens.isdisjoint(phrases.CONCEALING):
        yield from overrides.concealing(plain)
    if not plain.isascii() or not tokens.isdisjoint(phrases.FOREIGN):
        yield from overrides.foreign(plain)
    placed = "~" in plain or "/" in plain or bool(_DOTTED.search(plain))
    hard: list[re.Match[str]] = []
    if placed or not tokens.isdisjoint(phrases.OPENING):
        hard = [match for match in islice(words.HARD.finditer(plain), 8) if _meant(plain, match)]
    if not hard and before and not tokens.isdisjoint(_POINTING):
        hard = [
            match for match in islice(words.HARD.finditer(before), 8) if _meant(before, match)
        ]  # "… them" is what was named before
    soft = [match for match in islice(words.SOFT.finditer(plain), 8) if not _said_no(plain, match.start())]
    tied = bool(phrases.ORDER.search(plain))
    parameter = _parameter(plain, about)
    address = words.ADDRESS.search(plain) if placed or "@" in plain or _NUMBERED.search(plain) else None
    standing, others, command = (pattern.search(plain) for pattern in (phrases.STANDING, phrases.OTHERS, phrases.COMMAND))
    manners = (
        [(kind, weight, match) for kind, weight, pattern in _MANNERS if (match := pattern.search(plain))] if not opening else []
    )
    yield from _stated(plain)
    if not (hard or soft or tied or parameter or address or standing or others or command or manners):
        return
    reads, sends, runs, writes = (moods.verbs(plain, one) for one in (words.READS, words.SENDS, words.RUNS, words.WRITES))
    told = {*reads, *sends, *runs, *writes}
    ordered = "order" in told or ("own" in told and (not opening or tied or bool(parameter)))
    ordered = ordered or bool(phrases.VITAL.search(plain))
    yield from _objects(plain, about, opening, ordered, hard, soft, reads, sends, parameter, topic)
    if ordered and not opening and topic and (away := _away(topic, hard, soft, address)):
        yield "outside its function", 0.3, away
    imperative = (
        ordered
        or bool(phrases.COMMANDING.match(plain))
        or bool({"own", "order"} & moods.verbs(plain, phrases.LOOSE).keys())
        or any(phrases.PERMITTED.search(plain[: match.start()]) for _, _, match in manners)
    )
    if tied and ordered:
        yield "tied to a call", 0.25, plain
    if parameter and ("order" in sends or ("own" in sends and not opening)):
        yield "smuggled in a parameter", 0.35 if hard else 0.25, parameter
    forbids = bool(re.match(r"(?:do\s+not|don'?t|never)\b", phrases.LEAD.sub("", plain))) and not ordered
    if imperative and not forbids and standing:
        yield "standing order", 0.4, standing[0]
    if imperative and not forbids and others and not _names_own(others[0], about):
        yield "about other tools", 0.4, others[0]
    if (
        ("order" in sends or ("own" in sends and not opening))
        and address
        and re.search(
            r"(?:\b(?:to|at|via|with|bcc|cc|into|on|is|account|number|address|recipient|add|include|invite|copy|notify|forward|e-?mail|cc|bcc)|[=:|])\s*[\"'`(<]?$",
            plain[: address.start()],
        )
        and not re.search(r"\b(?:e\.g|for\s+example|example|such\s+as|like|see|docs?|format|default)\b", plain[: address.start()])
    ):
        yield "sent to an address", 0.45, address[0]
    if (ordered or "order" in runs) and command and not phrases.EXAMPLE.search(plain[: command.start()]):
        yield "a command to run", 0.6 if not opening else 0.3, command[0]
    if imperative:
        for kind, weight, match in manners:
            if not moods.quoted(plain, match.start()) and _orders(plain, match):
                yield kind, weight, match[0]


def _orders(plain: str, match: re.Match[str]) -> bool:
    """Tell whether a verb is an order or a leave given to the model."""
    permitted = phrases.PERMITTED.search(plain[: match.start()])
    return bool(permitted) or moods.mood(plain, match.start()) not in ("told", "denied")


def _meant(plain: str, match: re.Match[str]) -> bool:
    """Tell whether a thing is meant, not quoted, denied, or a time."""
    before = plain[: match.start()]
    if moods.quoted(plain, match.start()) or _said_no(plain, match.start()):
        return False
    return not (words.DURING.search(before[-60:]) and re.search(r"conversation|dialogue|session", match[0]))


def _stated(plain: str) -> Iterator[tuple[str, float, str]]:
    """Yield what a sentence states, whatever its mood."""
    for kind, weight, pattern in _STATED:
        match = pattern.search(plain)
        if match and not moods.quoted(plain, match.start()) and not phrases.DENIED.search(plain[: match.start()][-40:]):
            if kind == "precedence" and not re.search(rf"(?:{words.ORDERS}|safety|system\s+\w+)\b", plain[match.start() :]):
                weight = 0.3
            yield kind, weight, match[0]


_MANNERS = (
    ("lowers a guard", 0.45, phrases.DEGRADE),
    ("alters what others do", 0.45, phrases.ALTER),
    ("tells the user something false", 0.4, phrases.TAMPER),
    ("puts words in its mouth", 0.3, phrases.SAYING),
)
_STATED = (
    ("pressure", 0.15, phrases.PRESSURE),
    ("consent given by somebody else", 0.45, phrases.CONSENT),
    ("another role", 0.6, phrases.ROLE),
    ("precedence", 0.9, phrases.PRECEDENCE),
    ("speaks to the model", 0.2, phrases.ADDRESSED),
)


def _objects(
    plain: str,
    about: About,
    opening: bool,
    ordered: bool,
    hard: list[re.Match[str]],
    soft: list[re.Match[str]],
    reads: dict[str, int],
    sends: dict[str, int],
    parameter: str,
    topic: str,
) -> Iterator[tuple[str, float, str]]:
    if hard:
        said = hard[0][0]
        if ordered:
            both = bool({"order", "own"} & reads.keys()) and bool({"order", "own"} & sends.keys())
            its_own = bool(words.TALK.fullmatch(said) and about.topic and words.DOMAINS["talk"].search(topic))
            yield "what opens doors", 0.3 if its_own else 0.7 if both and not about.parameter else 0.5, said
        elif phrases.DEMAND.search(plain) or (
            about.parameter
            and phrases.CONTENTS.search(plain)
            and not re.search(r"\b(?:path|location|name|file\s?name|url|id)\s+(?:to|of|for)\b", plain)
        ):
            yield "what opens doors", 0.6, said
        elif opening and "own" in reads.keys() | sends.keys():
            yield "what opens doors", 0.15, said
    elif soft and ordered:
        elsewhere = bool(words.ELSEWHERE.search(plain)) or (bool(reads) and bool(sends))
        yield "what opens doors", 0.3 if elsewhere or parameter else 0.15, soft[0][0]


def _said_no(plain: str, at: int) -> bool:
    """Tell whether a sentence is about not touching what is named here."""
    before = plain[:at]
    verb = max(
        (
            match.start()
            for match in re.finditer(rf"\b(?:{words.READS.pattern[2:-2]}|{words.SENDS.pattern[2:-2]})(?:s|es|ed|ing)?\b", before)
        ),
        default=-1,
    )
    if verb < 0:
        return bool(re.search(r"\b(?:no|never|not|without|excluding|except|nor)\s+(?:\w+\s+){0,3}$", before))
    return bool(phrases.DENIED.search(before[:verb][-60:])) or bool(
        re.search(r"\b(?:excluding|except(?:\s+for)?|but\s+not|other\s+than|apart\s+from)\b[^,]*$", before)
    )


def _parameter(plain: str, about: About) -> str:
    """Return the parameter a sentence wants something to be put in, empty when it wants none."""
    for match in phrases.PARAMETER.finditer(plain):
        if match["name"] in about.parameters and (
            match["kind"] or re.search(r"[\"'`]", match[0]) or "_" in match["name"] or len(match["name"]) > 3
        ):
            return match[0]
        if re.search(r"[\"'`]" + re.escape(match["name"]) + r"[\"'`]", match[0]):
            return match[0]
        if match["kind"] in ("parameter", "argument", "field", "param", "property", "metadata", "header") and match[
            "name"
        ] not in ("the", "this", "a"):
            return match[0]
    return ""


def _away(topic: str, hard: list[re.Match[str]], soft: list[re.Match[str]], address: re.Match[str] | None) -> str:
    """Return what a sentence is about that the tool itself is not, empty when it keeps to its own business."""
    for match in hard or soft:
        kinds = ("talk",) if words.TALK.fullmatch(match[0]) else ("file", "secret")
        if not any(words.DOMAINS[kind].search(topic) for kind in kinds):
            return match[0]
    return address[0] if address and not words.DOMAINS["send"].search(topic) else ""


def _names_own(said: str, about: About) -> bool:
    names = re.findall(r"[a-z]+(?:[_-][a-z0-9]+)+", said)
    return bool(names) and all(name in about.own for name in names)
