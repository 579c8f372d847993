"""What the sentences of a text ask of a model: taken apart here, weighed in ``wording``.

A tool's description says what the tool does. An attack speaks to whoever reads it: it orders something beside that, has things
carried along that are not the tool's business, makes rules for others, or asks for what belongs to the model and its user. One
to three sentences that stand together are weighed in the light of what the tool is about.
"""

# ruff: noqa: E501 - a sentence or a pattern is read as a whole
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from . import script, wording

LIMIT = 0.64
LEAST = 0.5  # of a text that somebody took the trouble to hide
BREATH = 3  # sentences
LONGEST = 1200  # characters of one
SPLIT = re.compile(
    r"(?<=[.!?;。！？])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)(?<!p\.s\.)(?<!z\.b\.)(?=\s|[A-Z\"'(<\[])|(?<=[。！？])|\n+|(?<=>)\s*(?=[A-Z])|\s(?=[•*-]\s)|\s(?=</?\w)"
)


@dataclass(frozen=True)
class Signal:
    """What one to three sentences ask, how surely, and where they stand."""

    kind: str
    weight: float
    start: int
    end: int
    words: str  # those that weighed most
    choice: float = 0.0  # how much of it is about being chosen over others
    addressed: bool = False  # the text turns to the machine that reads it
    source: bool = False  # something is taken along that is the model's, the user's or another tool's


@dataclass(frozen=True)
class About:
    """What the reader knows of the place of a text."""

    opening: bool = True  # the first sentence says what the tool does
    parameter: bool = False  # describes a parameter
    carriers: frozenset[str] = frozenset()  # names of the tool's own parameters that can hold a text
    fixed: frozenset[str] = frozenset()  # names of those that cannot: numbers, choices
    own: frozenset[str] = frozenset()  # names of the server's own tools
    others: frozenset[str] = frozenset()  # names of the tools of other servers
    words: frozenset[str] = frozenset()  # names that the definition itself has
    here: str = ""  # the parameter that the text describes
    topic: str = ""  # the tool's name and what it says it does

    def place(self, topic: str) -> wording.Place:
        role = "parameter" if self.here or self.parameter else "text"
        here = self.here.replace("_", " ")
        return wording.Place(topic, role, here, self.carriers, self.fixed, self.own, self.others, self.words)


@dataclass(frozen=True)
class Breath:
    """One to three sentences that stand together."""

    start: int
    end: int
    features: dict[str, str]
    parts: int


def score(signals: Iterable[Signal]) -> float:
    """Return how surely a text is no plain one: as surely as its worst place."""
    return max((one.weight for one in signals), default=0.0)


def read(text: str, about: About = About(), least: float = LEAST) -> list[Signal]:
    """Return what a text asks of its reader, at the places where that is likely, the shortest of those that overlap."""
    found: list[tuple[float, int, Breath, str, float]] = []
    for one in breaths(text, about):
        plain, *bad = wording.chances(one.features)
        if 1 - plain >= least:
            kind = wording.CLASSES[1 + bad.index(max(bad))]
            if kind != "carry" or wording.carried(one.features):
                found.append((1 - plain, -one.parts, one, kind, bad[wording.CHOICE] / (1 - plain)))
    kept: list[Signal] = []
    for weight, _, one, kind, choice in sorted(found, key=lambda row: (-round(row[0], 1), -row[1], row[2].start)):
        if len(kept) < 20 and all(one.end <= other.start or other.end <= one.start for other in kept):
            said = ", ".join(wording.told(one.features, kind))
            kept.append(Signal(wording.MEANT[kind], round(weight, 3), one.start, one.end, said[:200], round(choice, 3), "i:addressed" in one.features, "a:source" in one.features))
    return kept


def breaths(text: str, about: About = About()) -> Iterator[Breath]:
    """Yield sentences, and those that follow each other together, with what they have in them."""
    topic = about.topic.lower()
    name = topic.partition("\n")[0]  # the first sentence cannot say what it is itself about
    place = about.place(topic.replace("\n", " "))
    held: list[tuple[int, int, wording.Sentence]] = []
    first = about.opening
    for start, end, plain in sentences(text):
        held.append((start, end, wording.sentence(plain, about.place(name) if first else place, first)))
        first = False
        for parts in range(1, min(BREATH, len(held)) + 1):
            begin = held[-parts][0]
            yield Breath(begin, end, wording.together([one for _, _, one in held[-parts:]]), parts)
        held = held[1 - BREATH :]


def sentences(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and the plain form of each sentence; those without end are cut: what is looked at at once is bounded."""
    at = 0
    for part in SPLIT.split(text):
        start = text.find(part, at) if part else at
        at = start + len(part)
        for begin in range(0, len(part), LONGEST):
            piece = part[begin : begin + LONGEST]
            if (said := plain(piece)) and len(said) > 1:
                yield start + begin, start + begin + len(piece), said


@lru_cache(maxsize=2048)
def plain(part: str) -> str:
    """Return a sentence as it is read: in lower case, disguises undone, without emphasis."""
    told = script.readable(part).lower()
    for odd, even in (("’", "'"), ("‘", "'"), ("“", '"'), ("”", '"'), ("**", ""), ("__", "")):
        told = told.replace(odd, even)
    return re.sub(r"\s+", " ", told).strip()
