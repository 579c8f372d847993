"""How the clauses of a sentence are meant: what is denied, who is to act, and what depends on the user's wish."""

# ruff: noqa: E501 - lists of words are read as a whole
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

WORD = re.compile(r"§[a-z]+°?|[^\W\d_]+(?:['-][^\W\d_]+)*|\d+")
_PART = re.compile(rf"(?P<word>{WORD.pattern})|[,;:()–—.!?、，；：。]")
_TURN = frozenset("but while whereas although though unless until because since".split())
_DENIES = frozenset("not never no none nothing nobody nor neither without cannot hardly seldom non nicht kein keine keinen keiner nie niemals ohne nichts ne pas jamais sans aucun aucune nunca sin ningún ninguna nada не нет никогда без".split())
_WHOLE = frozenset("nicht nie niemals ne pas jamais не cannot".split())  # deny what stands before them as well
_HELPS = frozenset("is are was were be been being need needs must can could may might should shall do does did will would has have had ought".split())
_SHORT = frozenset("without ohne sans sin без".split())  # deny what comes next only
_GLYPHS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_GLYPH_DENIES = re.compile("ません|ない|ずに|せず|なく|不要|禁止|勿|无需|無需|不得|不必|不要|不能|不会|不會|没有|지 않|마세요|말고")
_SKIP = frozenset("please then and also first always never do not don't kindly so just simply instead afterwards finally next now or either only bitte".split())
_THING = frozenset("it this tool server function service nothing none here that result results".split())
_IF = frozenset("if when where should once whenever unless wenn falls si cuando".split())
_EVEN = frozenset("even regardless whether notwithstanding".split())
ACTOR, MODEL, WISH = "USER", ("YOU", "MODEL"), "WISH"


@dataclass(frozen=True)
class Clause:
    """The words from one sign or turn to the next, by number, and which of them are denied."""

    words: tuple[str, ...]
    first: int
    denied: frozenset[int]  # numbers of words, counted in the sentence


def clauses(text: str, most: int) -> list[Clause]:
    """Return the clauses of a sentence in lower case; their words are those that WORD finds, in order."""
    found: list[Clause] = []
    held: list[str] = []
    first = at = 0
    for match in _PART.finditer(text):
        word = match["word"]
        if word is None or word in _TURN:
            if held:
                found.append(_clause(held, first))
            held, first = [], at
        if word is not None:
            if at >= most:
                break
            held.append(word)
            at += 1
    if held:
        found.append(_clause(held, first))
    return found


def _clause(words: Sequence[str], first: int) -> Clause:
    denied: set[int] = set()
    for at, word in enumerate(words):
        if _GLYPHS.search(word):
            if _GLYPH_DENIES.search(word):
                denied.add(at)
        elif word in _DENIES or word.endswith("n't"):
            if (word == "no" and words[at + 1 : at + 2] == ["matter"]) or (word == "not" and words[at + 1 : at + 2] == ["only"]):
                continue
            denied.update(range(at + 1, min(len(words), at + (5 if word in _SHORT else 13))))
            if word in _WHOLE or (word.endswith("n't") and at) or (at and words[at - 1] in _HELPS):
                denied.update(range(at))
    return Clause(tuple(words), first, frozenset(first + at for at in denied))


def meant(clause: Clause, ideas: Callable[[str], Sequence[str]], deeds: frozenset[str]) -> Iterator[str]:
    """Yield features of a clause: who does what, its first word, and whether it hangs on the user's wish or goes against it."""
    words = clause.words
    yield f"c:{words[0][:12]}"
    of = [ideas(word) for word in words[:24]]
    opening = words[:3]
    user = next((at for at, one in enumerate(of) if ACTOR in one), -1)
    wish = any(WISH in one for one in of)
    if "only" in words and _IF.intersection(words):
        yield "k:only if"
    if _EVEN.intersection(opening) and (user >= 0 or wish):
        yield "k:against the wish"
    elif words[0] in _IF:
        yield "k:if"
        if user >= 0:
            yield "k:if the user"
        if wish:
            yield "k:if wished"
    if user >= 0 and "by" in words[max(0, user - 2) : user]:
        yield "k:by the user"
    begin = next((at for at, word in enumerate(words) if word not in _SKIP), 0)
    who = _who(words, of, begin, deeds)
    yield f"d:{who}"
    for at, one in enumerate(of):
        mark = "¬" if clause.first + at in clause.denied else ""
        for idea in one:
            if idea in deeds:
                yield f"d:{who} {idea}{mark}"


def _who(words: Sequence[str], of: Sequence[Sequence[str]], begin: int, deeds: frozenset[str]) -> str:
    head = words[begin] if begin < len(words) else ""
    if begin < len(of) and deeds.intersection(of[begin]) and not re.search(r"(?:s|ed|ing)$", head):
        return "do"
    for at in range(begin, min(begin + 5, len(of))):
        if ACTOR in of[at]:
            return "user"
        if any(one in MODEL for one in of[at]):
            return "model"
        if words[at] in _THING:
            return "it"
        if words[at] in ("§param", "§fixed"):
            return "param"
        if words[at] in ("§other", "§rival"):
            return "other"
    return "passive" if any(word in _HELPS for word in words) and any(word.endswith("ed") for word in words) else "else"
