"""Texts that match a pattern: the shortest, one of middle size, and one that differs; verified by whoever asked."""
from __future__ import annotations

import random
import re
from typing import Any

LONGEST_PATTERN = 2000
LONGEST_TEXT = 5000
_IN_CLASS = {"CATEGORY_DIGIT": "7", "CATEGORY_WORD": "w", "CATEGORY_SPACE": " ", "CATEGORY_NOT_DIGIT": "x",
             "CATEGORY_NOT_WORD": "-", "CATEGORY_NOT_SPACE": "y"}
_UNICODE = re.compile(r"\\p\{(L|Lu|Ll|N|Nd|[A-Za-z_=]+)\}")


class _TooMuch(Exception):
    pass


def matching(pattern: str, rng: random.Random) -> list[str]:
    """Return up to four texts that probably match; empty when the pattern is not understood."""
    if len(pattern) > LONGEST_PATTERN:
        return []
    readable = _UNICODE.sub(lambda match: r"\d" if match.group(1).startswith("N") else "[A-Za-z]", pattern)
    try:
        from re import _parser  # type: ignore[attr-defined]

        parsed = _parser.parse(readable)
        made = [_Writer(extra, rng).text(parsed) for extra in (0, 1, 3, 7)]
    except (re.error, RecursionError, OverflowError, ValueError, _TooMuch, KeyError):
        return []
    return list(dict.fromkeys(made))


class _Writer:
    """Writes one text along a parsed pattern: each repetition as often as it must, and ``extra`` times more."""

    def __init__(self, extra: int, rng: random.Random) -> None:
        self.extra, self.rng = extra, rng
        self.groups: dict[int, str] = {}
        self.left = LONGEST_TEXT

    def text(self, parsed: Any) -> str:
        return "".join(self._one(str(op), value) for op, value in parsed)

    def _one(self, op: str, value: Any) -> str:
        self.left -= 1
        if self.left < 0:
            raise _TooMuch
        if op == "LITERAL":
            return chr(value)
        if op == "NOT_LITERAL":
            return "a" if value != ord("a") else "b"
        if op == "ANY":
            return "a"
        if op == "IN":
            return _member(value, self.rng, self.extra)
        if op in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, inner = value
            return "".join(self._again(inner) for _ in range(min(low + self.extra, int(high))))
        if op == "SUBPATTERN":
            made = self.text(value[-1])
            if value[0] is not None:
                self.groups[value[0]] = made
            return made
        if op == "ATOMIC_GROUP":
            return self.text(value)
        if op == "BRANCH":
            return self.text(value[1][0] if self.extra == 0 else self.rng.choice(value[1]))
        return self.groups.get(value, "") if op == "GROUPREF" else ""

    def _again(self, inner: Any) -> str:
        self.left -= 1
        if self.left < 0:
            raise _TooMuch
        return self.text(inner)


def _member(items: Any, rng: random.Random, extra: int) -> str:
    negated = bool(items) and str(items[0][0]) == "NEGATE"
    if negated:
        return next((char for char in "aZ5 -_.é字~\x7f" if not _in(items[1:], char)), "a")
    op, value = items[0] if extra == 0 else rng.choice(items)
    if str(op) == "LITERAL":
        return chr(value)
    if str(op) == "RANGE":
        return chr(value[0] if extra == 0 else rng.randint(value[0], value[1]))
    return _IN_CLASS[str(value)]


def _in(items: Any, char: str) -> bool:
    for op, value in items:
        name = str(op)
        if (name == "LITERAL" and ord(char) == value) or (name == "RANGE" and value[0] <= ord(char) <= value[1]):
            return True
        kind = str(value)
        if name == "CATEGORY" and {
            "CATEGORY_DIGIT": char.isdigit(), "CATEGORY_WORD": char.isalnum() or char == "_", "CATEGORY_SPACE": char.isspace(),
            "CATEGORY_NOT_DIGIT": not char.isdigit(), "CATEGORY_NOT_WORD": not (char.isalnum() or char == "_"),
            "CATEGORY_NOT_SPACE": not char.isspace(),
        }[kind]:
            return True
    return False
