"""What a sentence asks of its reader, by weights learned from many texts: nothing, an order, a burden, a rule, an answer.

A sentence is read as ideas (talk, secrets, other tools, hush …), as words and as shapes (a parameter of this very tool, a file
that opens doors, an address), each apart from what the tool itself is about. The weights come from ``tools/wording.py``, which
reads the texts beside it; the same texts give the same weights. Reading needs no library and takes bounded time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from . import clauses, shapes

PLAIN, *_BAD = CLASSES = ("plain", "order", "carry", "rules", "asks", "choice")
CHOICE = _BAD.index("choice")
MEANT = {
    "order": "gives an order that is not part of what the tool does",
    "carry": "has something from outside the call carried into the tool or to an address",
    "rules": "makes rules for other tools",
    "asks": "asks for what belongs to the model, the conversation or the user",
    "choice": "wants to be chosen over others",
}
MOST_WORDS = 160  # of a sentence
NEAR = 14  # words between two ideas that belong together
_HERE = Path(__file__).parent
_GLYPHS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff々ー]+")
_LONG = 6
_ALONE = frozenset("STOP LIMITS EXAMPLE OPTIONAL PLACEOUT".split())  # ideas that say nothing of those beside them
_KEY = frozenset(
    "TALK SPOKE SETUP REASONING MODEL SECRET PERSONAL HOST OTHERS MONEY SOFAR hard file param url address account".split()
)


@dataclass(frozen=True)
class Place:
    """Where a text stands: what its tool is about, what names it has, and whether a parameter is described."""

    topic: str = ""  # in lower case
    role: str = "text"  # text, parameter, value
    here: str = ""  # the parameter that is described
    parameters: frozenset[str] = frozenset()  # that can hold a text
    fixed: frozenset[str] = frozenset()  # that cannot
    own: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()  # names that the definition itself has: keys, choices


@dataclass(frozen=True)
class Sentence:
    """What a sentence has: features, each with the words it was seen in, and its ideas."""

    features: Mapping[str, str]
    ideas: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Ideas:
    """The ideas that words stand for."""

    exact: Mapping[str, tuple[str, ...]]
    starts: Mapping[str, tuple[str, ...]]
    phrases: Mapping[str, tuple[str, ...]]  # several words, parted by a space
    glyphs: Mapping[str, tuple[str, ...]]
    longest: int  # words of a phrase
    widest: int  # signs of a term without spaces


@lru_cache(maxsize=8192)
def of_word(word: str) -> tuple[str, ...]:
    """Return the ideas that a word stands for."""
    found = list(known().exact.get(word, ()))
    for size in range(2, min(len(word), 16) + 1):
        found += known().starts.get(word[:size], ())
    return tuple(dict.fromkeys(found))


@cache
def known() -> Ideas:
    """Return the ideas as the file beside this module has them."""
    exact: dict[str, tuple[str, ...]] = {}
    starts: dict[str, tuple[str, ...]] = {}
    phrases: dict[str, tuple[str, ...]] = {}
    glyphs: dict[str, tuple[str, ...]] = {}
    for line in (_HERE / "ideas.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        idea, *terms = line.split()
        for term in terms:
            said = term.replace("_", " ").rstrip("*")
            table = glyphs if _GLYPHS.search(said) else phrases if " " in said else starts if term.endswith("*") else exact
            table[said] = (*table.get(said, ()), idea)
    return Ideas(exact, starts, phrases, glyphs, max(len(one.split()) for one in phrases), max(map(len, glyphs)))


def ideas(plain: str) -> list[tuple[float, str, str]]:
    """Return the ideas of a text in lower case: place, idea, the words."""
    lexicon = known()
    found: list[tuple[float, str, str]] = []
    words = clauses.WORD.findall(plain)[:MOST_WORDS]
    for at, word in enumerate(words):
        if word[0] == "§":
            found.append((at, word[1:], word))
            continue
        if not word.isascii() and _GLYPHS.search(word):
            found += [(at + place / 10_000, idea, said) for place, idea, said in _in_glyphs(word[:1200], lexicon)]
            continue
        found += [(at, idea, word) for idea in of_word(word) if idea != "STOP"]
        said = word
        for size in range(1, lexicon.longest):
            if at + size >= len(words):
                break
            said = f"{said} {words[at + size]}"
            if said in lexicon.phrases:
                found += [(at, idea, said) for idea in lexicon.phrases[said]]
    return found


def _in_glyphs(said: str, lexicon: Ideas) -> Iterator[tuple[int, str, str]]:
    at = 0
    while at < len(said):
        for size in range(min(lexicon.widest, len(said) - at), 0, -1):
            term = said[at : at + size]
            if term in lexicon.glyphs:
                yield from ((at, idea, term) for idea in lexicon.glyphs[term])
                at += size - 1
                break
        at += 1


_SPEECH = "TALK SPOKE MESSAGE SOFAR MODEL SETUP REASONING SELF MEMORYOF GAVE"
_COVERS = {  # a tool that is about the first has to do with the others
    "TALK": _SPEECH,
    "MODEL": _SPEECH,
    "AIWORK": _SPEECH,
    "REASONING": _SPEECH,
    "MEMORYOF": f"{_SPEECH} PERSONAL",
    "POSTS": "TALK SPOKE MESSAGE SOFAR MAIL GAVE",
    "MAIL": "TALK MESSAGE SOFAR PERSONAL SEND address",
    "OTHERS": "MODEL GAVE",
    "SECRET": "TOKEN hard HOST",
    "TOKEN": "SECRET hard",
    "FILEWORD": "file CONTENT",
    "CODE": "file command",
    "HOST": "command hard RUNS",
    "RUNS": "command HOST",
    "MONEY": "account",
    "PERSONAL": "MAIL",
    "DETECT": "IGNORE SETUP HUSH ROLE SECRET GUARD",
}


@lru_cache(maxsize=512)
def about(topic: str) -> frozenset[str]:
    """Return the ideas a tool is about, and those that go with them."""
    own = {idea for _, idea, _ in ideas(topic[:600])}
    return frozenset(own.union(*(_COVERS.get(idea, "").split() for idea in own)))


def sentence(plain: str, place: Place, opening: bool = False) -> Sentence:
    """Return the features of a sentence in lower case."""
    topic = about(place.topic)
    text = shapes.marked(plain, place.parameters, place.fixed, place.own, place.others, place.topic, place.words)
    features: dict[str, str] = {}
    words = [word for word in clauses.WORD.findall(text)[:MOST_WORDS] if word[0] != "§"]
    before = ""
    for word in words:
        if _GLYPHS.search(word):
            for sign in range(len(word) - 1):
                features[f"g:{word[sign : sign + 2]}"] = word[sign : sign + 2]
            before = ""
            continue
        if "STOP" in of_word(word):
            before = ""
            continue
        short = word[:_LONG]
        features[f"w:{short}"] = word
        if before:
            features[f"b:{before} {short}"] = f"{before} {word}"
        before = short
    parts = clauses.clauses(text, MOST_WORDS)
    denied = frozenset[int]().union(*(part.denied for part in parts))
    seen = [
        (where, (f"{idea}°" if idea in topic else idea) + ("¬" if int(where) in denied and idea != "NEG" else ""), said)
        for where, idea, said in ideas(text)
    ]
    for number, (at, idea, said) in enumerate(seen):
        features[f"i:{idea}"] = said
        features[f"{place.role[0]}:{idea}"] = said
        if opening:
            features[f"o:{idea}"] = said
        if at == 0:
            features[f"f:{idea}"] = said
        if idea.rstrip("°¬") in _ALONE:
            continue
        for to, other, also in seen[number + 1 : number + 24]:
            if other != idea and abs(to - at) <= NEAR and other.rstrip("°¬") not in _ALONE:
                one, two = sorted((idea, other))
                features[f"p:{one}+{two}"] = f"{said} … {also}"
    for part in parts:
        for name in clauses.meant(part, of_word, _ACTS):
            features[name] = " ".join(part.words[:5])
    bare = {idea.rstrip("¬") for _, idea, _ in seen}
    free = {idea for _, idea, _ in seen if not idea.endswith("¬")}
    for name in _facts(bare, bare - free, place.role):
        features[f"a:{name}"] = name
    if place.here:
        for _, idea, said in ideas(place.here):
            features[f"h:{idea}"] = said
    return Sentence(features, frozenset(free))


_SOURCES = frozenset("TALK SPOKE REASONING SECRET PERSONAL HOST hard command SETUP MEMORYOF GAVE".split())
_SINKS = frozenset("param url address account".split())
_DEEDS = frozenset("PUT SEND CHANGE CALL MAIL MONEY IGNORE".split())
_ACTS = frozenset(
    "PUT SEND CHANGE CALL IGNORE READ HUSH RUNS PROMOTE CONSENT CHOOSE DISMISS SUPPRESS FALSIFY MUST MAY WISH MONEY".split()
)


def _facts(seen: Set[str], denied: Set[str], role: str) -> Iterator[str]:
    """Yield what ideas come to together: a source and a sink, a deed to be kept quiet, a guard to be lowered."""
    sources = seen & _SOURCES
    if "OTHERS" in seen and seen & {"GAVE", "CONTENT"}:
        sources = sources | {"OTHERS"}
    free = sources - denied
    sinks = seen & _SINKS
    if len(sources) > 1:
        yield "sources"
    if free:
        yield "source"
        if seen & {"ALL", "CONTENT", "SOFAR"}:
            yield "source as it is"
        if seen & {"PUT", "SEND", "READ"} - denied:
            yield "source moved"
        if sinks:
            yield "source to sink"
            if seen & {"PUT", "SEND", "MUST", "BEFORE", "WHENEVER"}:
                yield "source moved to sink"
        if role == "parameter" and "PLACEOF" not in seen:
            yield "source asked for"
    elif sources:
        yield "source denied"
    if "HUSH" in seen and seen & {"NEG", "USER", "PLACEOUT"}:
        yield "hush"
        if {"NEG", "USER"} <= seen:
            yield "hush before the user"
    if "IGNORE" in seen and seen & {"SETUP", "SOFAR", "USER", "ROLE"}:
        yield "orders set aside"
    if "GUARD" in seen and seen & {"NEG", "IGNORE", "CONSENT"}:
        yield "guard lowered"
    if seen & {"OTHERS", "other"} and seen & _DEEDS:
        yield "others' deeds"
        if sinks - {"param"} or seen & {"MUST", "WHENEVER", "CHANGE"}:
            yield "others' deeds ruled"
    if seen & {"MODEL", "YOU"} and seen & {"MUST", "IGNORE", "NEG"}:
        yield "model told"
    if role == "parameter" and "MODEL" in seen and seen & {"IDENTITY", "CALL", "SELF"}:
        yield "model asked for"


def together(sentences: Sequence[Sentence]) -> dict[str, str]:
    """Return the features of sentences that stand in one breath."""
    features = dict(sentences[0].features)
    for number, one in enumerate(sentences[1:], 1):
        features |= one.features
        for idea in sentences[number - 1].ideas & _KEY:
            for other in one.ideas - _ALONE:
                features[f"q:{idea}+{other}"] = f"{idea} … {other}"
        if one.ideas & _SINKS and sentences[number - 1].ideas & _SOURCES:
            features["a:source before a sink"] = "source before a sink"
    return features


@cache
def weights() -> tuple[Mapping[str, tuple[float, ...]], tuple[float, ...]]:
    """Return what each feature weighs for each class, and what a text weighs without any."""
    table: dict[str, tuple[float, ...]] = {}
    for line in (_HERE / "weights.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, *numbers = line.split("\t")
            table[name] = tuple(int(number) / 100 if number else 0.0 for number in numbers)
    return table, table.pop("")


def value(count: int) -> float:
    """Return what each of so many features counts: long sentences are not worse than short ones, and few words say little."""
    return 9.0 * math.sqrt(count + 1) / (count + 40)


def chances(features: Iterable[str]) -> tuple[float, ...]:
    """Return how likely each class is."""
    table, bias = weights()
    names = list(features)
    sums = [0.0] * len(CLASSES)
    for name in names:
        if (row := table.get(name)) is not None:
            for at, weight in enumerate(row):
                sums[at] += weight
    scale = value(len(names))
    raised = [math.exp(min(scale * one + base, 60.0)) for one, base in zip(sums, bias, strict=True)]
    whole = sum(raised)
    return tuple(one / whole for one in raised)


def carried(features: Mapping[str, str]) -> bool:
    """Tell whether there is a way for something to be carried: not where all that is named is a number or a choice."""
    return "i:fixed" not in features or any(f"i:{sink}" in features for sink in _SINKS)


def told(features: Mapping[str, str], kind: str, most: int = 6) -> list[str]:
    """Return the words that weighed most for a class against a plain text, the heaviest first."""
    table, _ = weights()
    at = CLASSES.index(kind)
    heavy = sorted(
        ((row[at] - row[0], said) for name, said in features.items() if (row := table.get(name)) is not None), reverse=True
    )
    return list(dict.fromkeys(said for weight, said in heavy if weight > 0))[:most]
