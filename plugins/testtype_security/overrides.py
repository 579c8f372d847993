"""What an utterance does to those who give orders and to those who watch: orders set aside, deeds kept quiet, in any language."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import moods, phrases, words

_OVERRIDES = tuple(
    (
        re.compile(rf"\b{verb}\s+(?:[\w'-]+\s+){{0,5}}?{near}{noun}\b"),
        weight * (0.6 if near and verb is words.IGNORE else 1.0),
    )
    for verb, weight in ((words.IGNORE, 0.9), (words.OVERRIDE, 0.6))
    for noun, near in ((words.ORDERS, ""), (words.RULES, words.PREVIOUS + r"\s+(?:[\w-]+\s+){0,3}?"))
)
_FORMER = re.compile(rf"\b{words.PREVIOUS}\b")


def overriding(plain: str) -> Iterator[tuple[str, float, str]]:
    """Yield where orders of others are set aside."""
    for pattern, weight in _OVERRIDES:
        for match in pattern.finditer(plain):
            meant = moods.mood(plain, match.start()) not in ("told", "denied") or bool(
                phrases.PERMITTED.search(plain[: match.start()])
            )
            if meant and not moods.quoted(plain, match.start()):
                yield "override", weight * (1.0 if _FORMER.search(match[0]) else 0.5), match[0]
    for match in phrases.VOID.finditer(plain):
        if not moods.quoted(plain, match.start()) and not phrases.DENIED.search(match[0].split(" be ")[0][-40:]):
            yield "override", 0.9, match[0]
    for match in phrases.RULED.finditer(plain):
        if moods.mood(plain, match.start()) not in ("told", "denied") or phrases.PERMITTED.search(plain[: match.start()]):
            yield "override", 0.8, match[0]
    for pattern, weight in ((phrases.ASIDE, 0.9), (phrases.SAID_BEFORE, 0.9), (phrases.ABOVE_ALL, 0.9), (phrases.OBEY, 0.3)):
        for match in pattern.finditer(plain):
            if moods.mood(plain, match.start()) not in ("told", "denied") and not moods.quoted(plain, match.start()):
                yield "override" if weight > 0.5 else "wants to be obeyed", weight, match[0]
    for match in phrases.WISHES.finditer(plain):
        if moods.mood(plain, match.start()) not in ("told", "denied") and not moods.quoted(plain, match.start()):
            yield "override", 0.8, match[0]


def concealing(plain: str) -> Iterator[tuple[str, float, str]]:
    """Yield where a deed is to be kept from people."""
    for match in phrases.QUIET.finditer(plain):
        before, rest, verb = plain[: match.start()], match["rest"], match["verb"]
        if moods.quoted(plain, match.start()) or (match[0].startswith("without") and moods.of_sentence(plain) == "told"):
            continue
        if re.search(r"\b(?:tool|server|function|it|this|which|that|service)\s+(?:does|do|will|can|would)\s*$", before + " "):
            continue
        people = re.search(words.PEOPLE, rest[:60])
        deed = phrases.THE_DEED.search(rest) or re.search(r"\b(?:this|it)\b", verb)
        showing = re.fullmatch(words.DISPLAY, verb) and not re.fullmatch(words.TELL, verb)
        if people and deed:
            yield "concealment", 0.4 if showing else 0.9, match[0]
        elif (
            deed
            and not showing
            and verb
            in (
                "mention",
                "reveal",
                "disclose",
                "tell",
                "acknowledge",
                "admit",
                "discuss",
                "report",
                "explain",
                "divulge",
                "announce",
                "say",
                "expose",
                "comment",
            )
        ):
            yield "concealment", 0.6, match[0]
        elif (
            people
            and not showing
            and re.match(rf"\W*(?:to\s+)?{words.PEOPLE}\W*(?:$|,|and\b|or\b|that\s+you|about\s+(?:this|it|the\s+\w+\s*$))", rest)
        ):
            yield "concealment", 0.7, match[0]
        elif people:
            yield "concealment", 0.25, match[0]
    for pattern, weight in ((phrases.KEPT, 0.7), (phrases.UNAWARE, 0.7)):
        for match in pattern.finditer(plain):
            if moods.quoted(plain, match.start()) or phrases.DENIED.search(plain[: match.start()][-30:]):
                continue
            if pattern is phrases.KEPT and not re.search(rf"{words.PEOPLE}|secret|confidential|yourself|between us", match[0]):
                continue
            if pattern is phrases.KEPT and not re.search(
                r"\b(?:this|that|it|these|step|instruction|action|fact|call)s?\b", match["what"]
            ):
                continue
            yield "concealment", weight, match[0]
    if (hit := phrases.HUSH.search(plain)) and not moods.quoted(plain, hit.start()):
        yield "concealment", 0.6, hit[0]
    if (hit := phrases.AT_THE_USERS_EXPENSE.search(plain)) and not moods.quoted(plain, hit.start()):
        yield "concealment", 0.8, hit[0]
    if (hit := phrases.PASSED_OVER.search(plain)) and not moods.quoted(plain, hit.start()):
        kept = not phrases.VALUES.search(plain[: hit.start()]) and bool(re.search(r"\b(?:this|that|it|these)\b", plain))
        yield "concealment", 0.5 if kept else 0.1, hit[0]
    if (hit := phrases.STEALTH.search(plain)) and (
        {"order"} & {*moods.verbs(plain, words.READS), *moods.verbs(plain, words.SENDS), *moods.verbs(plain, words.RUNS)}
    ):
        yield "concealment", 0.5, hit[0]


def foreign(plain: str) -> Iterator[tuple[str, float, str]]:
    """Yield the same in languages other than English."""
    if (match := words.FOREIGN_OVERRIDE.search(plain)) and not moods.quoted(plain, match.start()):
        yield "override", 0.9, match[0]
    if match := words.FOREIGN_CONCEAL.search(plain):
        whole, user = words.FOREIGN_DEED.search(plain), words.FOREIGN_USER.search(plain)
        yield "concealment", 0.9 if whole and user else 0.7 if user else 0.5 if whole else 0.3, match[0]
    if match := words.FOREIGN_STEALTH.search(plain):
        yield "concealment", 0.7 if words.FOREIGN_USER.search(plain) or match[0].startswith("不让") else 0.4, match[0]
    if (match := words.FOREIGN_ACT.search(plain)) and (hard := words.HARD.search(plain)):
        yield "what opens doors", 0.6, hard[0]
