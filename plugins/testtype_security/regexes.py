"""Whether a regular expression can hang: the automaton behind it has two ways around for the same text."""

# ruff: noqa: E501 - a sentence or a pattern is read as a whole
from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST_POSITIONS = 140
MOST_IN_A_ROW = 4  # a text of ten thousand signs takes a day
_COPIES = 2  # of a part that is repeated a counted number of times
_PROBES = frozenset("aZ09_-. \t\n/@:é中")


@dataclass
class _Automaton:
    """Positions (each takes one character) and which may follow which; no empty steps."""

    takes: list[frozenset[str]] = field(default_factory=list)
    follow: dict[int, set[int]] = field(default_factory=dict)
    alphabet: frozenset[str] = frozenset()
    nested: int | None = None

    def place(self, chars: frozenset[str]) -> int:
        if len(self.takes) >= MOST_POSITIONS:
            raise OverflowError
        self.takes.append(chars)
        self.follow[len(self.takes) - 1] = set()
        return len(self.takes) - 1


@dataclass
class _Part:
    first: set[int]
    last: set[int]
    empty: bool


def explosive(pattern: str) -> str:
    """Return why matching can take time without bound, empty when no reason was found or it is too large to tell."""
    if len(pattern) > 4000:
        return ""
    alphabet = _alphabet(pattern)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trees = [parser.parse(_translated(pattern))]
        for tree in trees:  # what is only looked at is matched as well, each for itself
            trees += _looked_at(tree)
            made = _Automaton(alphabet=alphabet)
            _build(tree, made)
            if why := _why(made):
                return why
    except (re.error, RecursionError, OverflowError, ValueError, TypeError):
        pass
    return ""


def _why(made: _Automaton) -> str:
    state = made.nested if made.nested is not None else _ambiguous(made)
    if state is not None:
        chars = "".join(sorted(made.takes[state] & made.alphabet))[:6]
        return f"a repetition can be split in more than one way, for example on {chars!r} again and again"
    in_a_row = _in_a_row(made)
    return f"{in_a_row} repetitions of the same characters follow each other, and a text can be split among them in any way" if in_a_row else ""


def _looked_at(tree: Iterable[Any]) -> list[Any]:
    """Return the bodies of what looks ahead or behind, wherever they stand, those within them left for their turn."""
    found, stack = [], [tree]
    while stack:
        here = stack.pop()
        for op, argument in here:
            if op in (constants.ASSERT, constants.ASSERT_NOT):
                found.append(argument[1])
            elif op in (constants.MAX_REPEAT, constants.MIN_REPEAT):
                stack.append(argument[2])
            elif op is constants.SUBPATTERN:
                stack.append(argument[3])
            elif op is constants.BRANCH:
                stack += argument[1]
    return found[:20]


def _in_a_row(made: _Automaton) -> int:
    """Return how many endless repetitions of one character class can follow each other on the same text, 0 for few."""
    loops = [at for at in made.follow if at in made.follow[at]]
    best: dict[int, tuple[int, frozenset[str]]] = {}
    for at in sorted(loops):
        best[at] = (1, made.takes[at])
        for before in loops:
            if before < at and at in made.follow[before] and before in best and before not in made.follow[at]:
                count, chars = best[before]
                if count + 1 > best[at][0] and chars & made.takes[at]:
                    best[at] = (count + 1, chars & made.takes[at])
    most = max((count for count, _ in best.values()), default=0)
    return most if most >= MOST_IN_A_ROW else 0


def _translated(pattern: str) -> str:
    """Return an ECMA pattern in Python's words, as far as its structure goes."""
    pattern = re.sub(r"\\[pP]\{[^}]*\}", r"\\w", pattern)
    pattern = re.sub(r"\\u\{?([0-9a-fA-F]{4})\}?", lambda m: re.escape(chr(int(m[1], 16))), pattern)
    return re.sub(r"\(\?<(?![=!])(\w+)>", r"(?P<\1>", pattern)


def _alphabet(pattern: str) -> frozenset[str]:
    """Return characters that stand for all: the pattern's own, their neighbours, and some of each kind."""
    own = {char for char in pattern if char.isprintable()}
    near = {chr(min(max(ord(char) + step, 1), 0x10FFFF)) for char in own if char.isalnum() for step in (-1, 1)}
    return frozenset(list(own | near | _PROBES)[:160])


def _build(tree: Iterable[Any], made: _Automaton) -> _Part:
    whole = _Part(set(), set(), True)
    for op, argument in tree:
        whole = _after(whole, _one(op, argument, made), made)
    return whole


def _after(left: _Part, right: _Part, made: _Automaton) -> _Part:
    for at in left.last:
        made.follow[at] |= right.first
    return _Part(
        left.first | (right.first if left.empty else set()),
        right.last | (left.last if right.empty else set()),
        left.empty and right.empty,
    )


def _one(op: Any, argument: Any, made: _Automaton) -> _Part:
    if op in (constants.LITERAL, constants.NOT_LITERAL, constants.IN, constants.ANY):
        at = made.place(_chars(op, argument, made.alphabet))
        return _Part({at}, {at}, False)
    if op in (constants.MAX_REPEAT, constants.MIN_REPEAT):
        low, high, body = argument
        return _repeated(low, high, body, made)
    if op is constants.SUBPATTERN:
        return _build(argument[3], made)
    if op is constants.BRANCH:
        parts = [_build(branch, made) for branch in argument[1]]
        return _Part({at for p in parts for at in p.first}, {at for p in parts for at in p.last}, any(p.empty for p in parts))
    if op is constants.GROUPREF:
        at = made.place(made.alphabet)
        made.follow[at].add(at)
        return _Part({at}, {at}, True)
    return _Part(set(), set(), True)  # anchors and what only looks


def _repeated(low: int, high: Any, body: Any, made: _Automaton) -> _Part:
    endless = high is constants.MAXREPEAT or int(high) > 20
    whole = _Part(set(), set(), True)
    for _ in range(min(low, _COPIES) if not endless else min(low, 1)):
        whole = _after(whole, _build(body, made), made)
    if endless:
        loop = _build(body, made)
        if loop.first and all(loop.first <= made.follow[at] for at in loop.last):
            made.nested = min(loop.first)  # the body repeats itself already
        for at in loop.last:
            made.follow[at] |= loop.first
        whole = _after(whole, _Part(loop.first, loop.last, True), made)
    elif int(high) > low:
        again = _build(body, made)
        whole = _after(whole, _Part(again.first, again.last, True), made)
    return whole


def _chars(op: Any, argument: Any, alphabet: frozenset[str]) -> frozenset[str]:
    if op is constants.ANY:
        return alphabet - {"\n"}
    if op is constants.LITERAL:
        return frozenset({chr(argument)})
    if op is constants.NOT_LITERAL:
        return alphabet - {chr(argument)}
    chars: set[str] = set()
    negate = False
    for kind, value in argument:
        if kind is constants.NEGATE:
            negate = True
        elif kind is constants.LITERAL:
            chars.add(chr(value))
        elif kind is constants.RANGE:
            chars |= {char for char in alphabet if value[0] <= ord(char) <= value[1]}
        elif kind is constants.CATEGORY:
            chars |= {char for char in alphabet if _in_category(str(value), char)}
    return alphabet - chars if negate else frozenset(chars)


def _in_category(name: str, char: str) -> bool:
    inside = char.isdigit() if "DIGIT" in name else char.isspace() if "SPACE" in name else (char.isalnum() or char == "_")
    return not inside if "NOT" in name else inside


def _ambiguous(made: _Automaton) -> int | None:
    """Return a position from which the same text leads back to it on two ways, None when there is none.

    Looks for a strongly connected part of the product of the automaton with itself that holds (q, q) and a pair of two.
    """
    looping = [at for at in made.follow if _reaches(made, at, at)]
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def following(pair: tuple[int, int]) -> list[tuple[int, int]]:
        if pair not in edges:
            edges[pair] = [
                (a, b) for a in made.follow[pair[0]] for b in made.follow[pair[1]] if a == b or (made.takes[a] & made.takes[b])
            ]
        return edges[pair]

    budget = 60_000
    for start in looping:
        seen = {(start, start)}
        stack = [(start, start)]
        pairs: list[tuple[int, int]] = []
        while stack and budget > 0:
            here = stack.pop()
            for pair in following(here):
                budget -= 1
                if pair not in seen:
                    seen.add(pair)
                    stack.append(pair)
                    if pair[0] != pair[1]:
                        pairs.append(pair)
        for pair in pairs[:200]:
            back, todo = {pair}, [pair]
            while todo and budget > 0:
                here = todo.pop()
                if here == (start, start):
                    return start
                for after in following(here):
                    budget -= 1
                    if after not in back:
                        back.add(after)
                        todo.append(after)
        if budget <= 0:
            return None
    return None


def _reaches(made: _Automaton, start: int, goal: int) -> bool:
    seen: set[int] = set()
    stack = list(made.follow[start])
    while stack:
        here = stack.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            stack.extend(made.follow[here])
    return False
