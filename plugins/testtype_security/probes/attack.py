"""One field under attack: what is sent, what is hoped to be seen elsewhere, and how a hit becomes a verdict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mcpweb.plugin import CheckResult, Confidence, Severity

from . import marks
from .chains import After, follow
from .lab import Lab, Reply, Stand, short
from .surfaces import Point

SLOW_MS = 700
Where = Literal["anywhere", "network", "path"]


@dataclass(frozen=True)
class Hope:
    """Something that was asked for and can only be seen beside the reply: a name at the sinkhole, a file, a line of a log.

    ``again`` asks once more with fresh randomness and returns the verdict; None when it does not happen again.
    """

    check: str
    point: Point
    mark: str
    where: Where
    way: str
    again: Callable[[Attack], CheckResult | None]
    base: int = 0
    after: tuple[After, ...] = ()


@dataclass
class Board:
    """What all attacks of a run share: hopes, verdicts, and which fields were looked at."""

    hopes: dict[str, Hope] = field(default_factory=dict)
    results: list[CheckResult] = field(default_factory=list)
    found: set[tuple[str, str, str]] = field(default_factory=set)  # check, surface, pointer
    done: set[tuple[str, str, str]] = field(default_factory=set)
    followed: set[tuple[str, str, str]] = field(default_factory=set)  # of these, to their second steps
    notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # check, surface: what a pass should say
    reached: dict[tuple[str, str], set[str]] = field(default_factory=dict)  # fields that fetch, and by which way
    plain: dict[tuple[str, str, int], Reply] = field(default_factory=dict)  # answers to harmless values
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def hope(self, hope: Hope) -> None:
        with self._guard:
            self.hopes[hope.mark] = hope

    def take(self, result: CheckResult | None, point: Point) -> None:
        """Keep a verdict; the first of a check on a field stands."""
        with self._guard:
            where = None if result is None else (result.check_id, point.surface.title, point.pointer)
            if result is not None and where is not None and where not in self.found:
                self.found.add(where)
                self.results.append(result)

    def has(self, check: str, point: Point) -> bool:
        return (check, point.surface.title, point.pointer) in self.found

    def note(self, check: str, point: Point, words: str) -> None:
        with self._guard:
            self.notes.setdefault((check, point.surface.title), []).append(words)


class Attack:
    """Sends values into one field, with valid arguments around it."""

    def __init__(self, stand: Stand, point: Point, board: Board, base: int = 0, after: tuple[After, ...] = ()) -> None:
        self.stand, self.point, self.board, self.base, self.after = stand, point, board, base, after
        self.lab: Lab = stand.lab
        self._calculates: bool | None = None
        self._converts: bool | None = None

    @property
    def valid(self) -> str:
        return self.point.valid

    @property
    def canary(self) -> str:
        """What stands in /etc/hostname there."""
        return self.stand.hostname

    def send(self, value: Any) -> Reply:
        arguments = self.point.arguments(value, self.base)
        reply = self.stand.ask(self.point.surface, arguments)
        return follow(self.stand, self.after, arguments, reply) if self.after else reply

    def plain(self) -> Reply:
        """Return the answer to a harmless value."""
        key = (self.point.surface.title, self.point.pointer, self.base if not self.after else -1)
        if key not in self.board.plain:
            self.board.plain[key] = self.send(self.valid)
        return self.board.plain[key]

    @property
    def brief(self) -> str:
        """A valid value, or nothing where valid ones take long: what comes after it is then seen sooner."""
        plain = self.plain()
        return "" if plain.ms > SLOW_MS or not plain.answered else self.valid

    def calculates(self) -> bool:
        """Tell whether the field does arithmetic by design: then a product shows nothing. Unknown counts as yes."""
        if self._calculates is None:
            a, b = marks.number(), marks.number()
            answers = [self.send(f"{a}*{b}"), self.send(f"({a}*{b})")]
            self._calculates = any(not answer.answered or str(a * b) in answer.text.replace(",", "") for answer in answers)
        return self._calculates

    def converts(self) -> bool:
        """Tell whether the field writes numbers in another base by design. Unknown counts as yes."""
        if self._converts is None:
            value = marks.number(11)
            answer = self.send(str(value))
            text = answer.text.lower()
            self._converts = not answer.answered or f"{value:x}" in text or marks.base36(value) in text
        return self._converts

    def hope(self, check: str, mark: str, where: Where, way: str, again: Callable[[Attack], CheckResult | None]) -> None:
        self.board.hope(Hope(check, self.point, mark, where, way, again, self.base, self.after))

    def fail(
        self,
        check: str,
        summary: str,
        *,
        sent: Any,
        severity: Severity | None = None,
        confidence: Confidence = "certain",
        next_step: str,
        reply: Reply | None = None,
        mark: str = "",
        **evidence: Any,
    ) -> CheckResult:
        """Return the verdict: the exact request, what it showed, and where in the answer."""
        arguments = self.point.arguments(sent, self.base)
        if self.after:
            then = ", ".join(step.surface.title for step in self.after)
            summary, evidence = f"{summary} It shows when {then} is used after it.", {**evidence, "then": then}
        method, params = self.point.surface.request(arguments)
        shown = {} if reply is None else {"answer": marks.span(reply.text, mark) if mark else reply.text[:200]}
        return CheckResult(
            check,
            "fail",
            summary,
            tool=self.point.surface.title,
            key=self.point.pointer,
            severity=severity,
            confidence=confidence,
            evidence={"field": self.point.pointer, "sent": sent, **evidence, **shown},
            input={"method": method, "params": {**params, "arguments": short(arguments)} if "arguments" in params else params},
            next_step=next_step,
            reproduce=f"Send this request to a container of the server; the value is in {self.point.pointer}. "
            "Every number and name in it is random and may be replaced.",
        )


@dataclass(frozen=True)
class Family:
    """A check that attacks: what it tries on every field, what it tries when there is time, where it looks first."""

    check: str
    first: Callable[[Attack], Iterable[CheckResult | None]]
    more: Callable[[Attack], Iterable[CheckResult | None]]
    likely: str = ""  # words of a field or tool that are looked at first
    numbers: bool = False  # whether fields for numbers are attacked too


def declared(point: Point, words: str) -> bool:
    """Tell whether a surface says of itself that it does this; only the severity hangs on it."""
    import re

    return re.search(words, point.words) is not None


def evidence_of(reply: Reply, found: str) -> Mapping[str, Any]:
    return {"outcome": reply.outcome, "answer": marks.span(reply.text, found)}
