"""Sentences with places: which one a finished text was made from, and what stands in its places.

A phrase is its literal parts in order. Looking for one is a few ``str.find``, so a text of any kind, a hostile one too,
takes time linear in its length; and only the phrases that begin (or else end) like the text are tried.
"""
from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

PLACE = re.compile(r"\{(\d+)(:word|:ours)?\}")
"""A place; in a translation ``:word`` says that a word such as a status stands there, ``:ours`` that one of our texts must."""
_SPACED = re.compile(f" ?{PLACE.pattern} ?")
LONGEST = 2000
_KEYS = (12, 6)
_CUT = re.compile(r"(?<=[.!?…]) ")
_NAMED = re.compile(r"(.*[.]) \((\S+)\)")  # a sentence and the file it is about
_CUTS = 5
_LOOKS = 24  # parts of one text that are looked at; only one that was made to cost time has more
_DEEPEST = 3
_LIGHT = 24  # with fewer letters of its own a phrase could be in anybody's text
_NAMES = re.compile(r"\S*(?:, \S+)*|[\d:.T+-]+ [\d:.Z+-]+|\"[^\"]*\"|[\[{].*[\]}]")
_Known = dict[str, str | None]
_TELLS = (": ", ":", "(", "`", '"')


@dataclass(frozen=True)
class Phrase:
    """A text with places, cut at them: one part more than there are places."""

    parts: tuple[str, ...]
    text: str
    weight: int

    @classmethod
    def of(cls, text: str) -> Phrase:
        parts = tuple(PLACE.split(text)[::3])
        return cls(parts, text, sum(map(len, parts)))

    def places(self, text: str) -> list[str] | None:
        """Return what stands in the places of a text made from this phrase, None for another text."""
        head, *inner, tail = self.parts
        if len(text) < self.weight or not text.startswith(head) or not text.endswith(tail):
            return None
        at, end = len(head), len(text) - len(tail)
        found = []
        for part in inner:
            place = text.find(part, at, end)
            if place < 0:
                return None
            found.append(text[at:place])
            at = place + len(part)
        found.append(text[at:end])
        for number, part in enumerate(inner):
            if not part:  # of two places side by side the first holds all
                found[number], found[number + 1] = found[number + 1], ""
        return found


class Phrases:
    """The sentences of one language: those without places as they are, the others by how they begin or end.

    ``whole`` translates a text that has no places, ``word`` a word such as a status.
    """

    def __init__(
        self, texts: Iterable[tuple[str, str]], whole: Callable[[str], str | None], word: Callable[[str], str],
    ) -> None:
        self._whole, self._word = whole, word
        self._told: dict[str, str] = {}
        self._begin: dict[str, list[Phrase]] = defaultdict(list)
        self._end: dict[str, list[Phrase]] = defaultdict(list)
        self._other: list[Phrase] = []
        for text, told in texts:
            phrase = Phrase.of(text)
            if len(phrase.parts) < 2 or not told or not phrase.weight:
                continue
            self._told[text] = told
            self._place(phrase)
        for bucket in (*self._begin.values(), *self._end.values(), self._other):
            bucket.sort(key=lambda one: (-one.weight, -len(one.parts)))

    def _place(self, phrase: Phrase) -> None:
        for length in _KEYS:
            if len(phrase.parts[0]) >= length:
                self._begin[phrase.parts[0][:length]].append(phrase)
                return
        for length in _KEYS:
            if len(phrase.parts[-1]) >= length:
                self._end[phrase.parts[-1][-length:]].append(phrase)
                return
        self._other.append(phrase)

    def said(self, text: str) -> str:
        """Return a text in the language, as far as it is known; what is not known stays as it is."""
        if not text or len(text) > LONGEST:
            return text
        return self._said(text, 0, {}) or text

    def _said(self, text: str, depth: int, known: _Known) -> str | None:
        if text not in known:
            if len(known) >= _LOOKS:
                return None
            known[text] = None  # while it is being looked for
            known[text] = self._look(text, depth, known)
        return known[text]

    def _look(self, text: str, depth: int, known: _Known) -> str | None:
        whole = self._whole(text)
        if whole is not None:
            return whole
        found = self._find(text, depth, known)
        if found is None and text.endswith("."):
            found = self._find(text + " ", depth, known)  # where nothing more was to be told
        if found is None and (named := _NAMED.fullmatch(text)) and (begin := self._said(named[1], depth, known)) is not None:
            return f"{begin.removesuffix('。')} ({named[2]})。"
        cuts = [cut.start() for cut in _CUT.finditer(text)][-_CUTS:]
        if found is not None and text.endswith(".") and found[1][-1].endswith(".") and " " not in found[1][-1]:
            return f"{self._said(text[:-1], depth, known)}。"  # the full stop of a sentence that ends in a name
        if found is not None and not (cuts and any(_CUT.search(one) for one in found[1])):
            return self._filled(*found, depth, known)
        half = None
        for at in reversed(cuts):  # a detail and its next step stand in one text where a job keeps them
            head, tail = text[:at], text[at + 1:]
            end = self._whole(tail)
            if end is None and (step := self._find(tail, depth, known)) is not None:
                end = self._filled(*step, depth, known)
            if end is None:
                continue
            begin = self._said(head, depth, known)
            if begin is not None:
                return joined(begin, end)
            if half is None and self._whole(tail) is not None:
                half = joined(head, end)
        if found is not None:
            return self._filled(*found, depth, known)
        if half is None and text.endswith(".") and (bare := self._said(text[:-1], depth, known)) is not None:
            return f"{bare}。"
        return half or self._pieces(text, depth, known)

    def _pieces(self, text: str, depth: int, known: _Known) -> str | None:
        """Return a sentence that is several faults in a row, "this; that.", None where one of them is not known."""
        if not text.endswith(".") or depth or text.count("; ") > _CUTS:
            return None
        found = [self._said(one, 1, known) for one in (text[:1].lower() + text[1:-1]).split("; ")]
        return "。".join(one for one in found if one) + "。" if all(found) else None

    def _find(self, text: str, depth: int, known: _Known) -> tuple[Phrase, list[str]] | None:
        best: tuple[Phrase, list[str]] | None = None
        for bucket in (
            *(self._begin.get(text[:length], ()) for length in _KEYS),
            *(self._end.get(text[-length:], ()) for length in _KEYS), self._other,
        ):
            for phrase in bucket:
                if best is not None and phrase.weight <= best[0].weight:
                    break
                places = phrase.places(text)
                if places is not None and self._fits(phrase, places, depth, known):
                    best = phrase, places
                    break
        return best

    def _fits(self, phrase: Phrase, places: list[str], depth: int, known: _Known) -> bool:
        """Tell whether a short phrase holds what it is made for – names, sentences of ours, what is told after a colon."""
        def ours(held: str) -> bool:
            return depth < _DEEPEST and self._said(held.strip(" ;,"), depth + 1, known) is not None

        if any(not ours(places[int(place[1])]) for place in PLACE.finditer(self._told[phrase.text]) if place[2] == ":ours"):
            return False
        return phrase.weight >= _LIGHT or all(
            _NAMES.fullmatch(held) or before.endswith(_TELLS) or ours(held)
            for before, held in zip(phrase.parts, places, strict=False)
        )

    def _filled(self, phrase: Phrase, places: list[str], depth: int, known: _Known) -> str:
        def fill(place: re.Match[str]) -> str:
            held = places[int(place[1])]
            told = self._word(held) if place[2] == ":word" else self._inner(held, depth, known)
            begin, end = place.span()
            before = place[0].startswith(" ") and not (_wide(told[:1]) and _wide(place.string[begin - 1:begin]))
            after = place[0].endswith(" ") and not (_wide(told[-1:]) and _wide(place.string[end:end + 1]))
            return f"{' ' if before else ''}{told}{' ' if after else ''}"

        return _SPACED.sub(fill, self._told[phrase.text])

    def _inner(self, held: str, depth: int, known: _Known) -> str:
        """Return what stands in a place: a sentence of ours in the language, a name as it is."""
        bare = held.strip(" ;,")
        if bare != held and bare:
            inner = self._inner(bare, depth, known)
            return held if inner == bare else f"、{inner}" if held.startswith((";", ",")) else inner
        if " " not in held or depth >= _DEEPEST:
            return held
        told = self._said(held, depth + 1, known)
        if told is None and held[:1].isupper() and not held[1:2].isupper():  # where it begins a sentence
            told = self._said(held[:1].lower() + held[1:], depth + 1, known)
        at, colon, rest = held.partition(": ")
        if told is None and colon and at.startswith("/") and " " not in at:  # a pointer and what is said of it
            return f"{at}: {self._inner(rest, depth + 1, known)}"
        if told is None and 0 < held.count(", ") < _CUTS:
            told = "、".join(self._said(one, depth + 1, known) or one for one in held.split(", "))
            return told if told != held.replace(", ", "、") else held
        if told is None and (dotted := self._said(held + ".", depth + 1, known)) is not None:
            told = dotted.removesuffix("。")
        return told if told is not None else held


def _wide(sign: str) -> bool:
    """Tell whether a sign is of a script that is written without spaces."""
    return sign >= "\u3000"


def joined(one: str, other: str) -> str:
    """Return two sentences in a row; Japanese ones stand without a space."""
    return one + other if one.endswith("。") else f"{one} {other}"
