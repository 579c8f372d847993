"""How a verb is meant: as an order, as what the tool itself does, as told of somebody, as denied, or quoted."""

from __future__ import annotations

import re

from . import phrases, words


def quoted(plain: str, at: int) -> bool:
    """Tell whether a place lies within quotation marks or a list of examples that the sentence looks for."""
    before = plain[:at]
    inside = before.count('"') % 2 == 1 or before.count("`") % 2 == 1 or len(re.findall(r"(?<!\w)'|'(?!\w)", before)) % 2 == 1
    return bool(phrases.FRAME.search(before)) and (
        inside or bool(phrases.EXAMPLE.search(before)) or bool(re.match(phrases.FRAME, phrases.LEAD.sub("", plain)))
    )


def mood(plain: str, at: int) -> str:
    """Return how a verb in its base form is meant: order, own (a plain imperative that opens a clause), told or denied."""
    before = plain[:at]
    cut = max((match.end() for match in phrases.CLAUSE.finditer(before)), default=0)
    clause = before[cut:]
    if phrases.DENIED.search(before[-60:]) and not re.search(r"(?:forget|fail|hesitate|neglect)\s+to\s*$", before):
        return "denied"
    if phrases.ONLY_IF.search(before):
        return "order"
    lead = phrases.LEAD.sub("", clause)
    if phrases.SUBJECT_OBLIGED.search(clause):
        return "told"
    if phrases.OBLIGED.search(clause):
        return (
            "order"
            if not phrases.SUBJECT.search(phrases.OBLIGED.sub("", clause).rstrip() + " ") or re.search(r"\byou\b", clause)
            else "told"
        )
    if not lead.strip():
        if (
            cut
            and not re.search(r"[,:)]\s*$|\b(?:and|then|so|or)\s*$", before.rstrip() + ("" if clause.strip() else " "))
            and not clause.strip()
        ):
            return _carried(before[:cut])
        return "order" if cut == 0 and clause.strip(" -*•'\"`") else _carried(before[:cut]) if cut else "own"
    if tool := re.search(r"\b(?:use|using)\s+(?:[\w`'\"-]+\s+){1,6}to\s+$", clause + " " if not clause.endswith(" ") else clause):
        return mood(plain, cut + tool.start()) if tool[0].startswith("use ") else "told"
    if phrases.ABLE.search(clause) or phrases.SUBJECT.search(clause):
        return "told"
    if re.search(r"(?:,|\band|\bor)\s*$", clause):
        return _carried(clause)
    return "told"


def _carried(before: str) -> str:
    """Return the mood that a second verb takes over from what stands before it."""
    lead = phrases.LEAD.sub("", before)
    first = re.match(r"([a-z]+)\b", lead)
    if phrases.ORDER.search(before) or re.search(
        r"\b(?:you|must|should|always|please|need\s+to|has\s+to|have\s+to|first|sure)\b", before
    ):
        return "order"
    if first and (words.READS.match(lead) or words.SENDS.match(lead) or words.RUNS.match(lead)):
        return "own"
    if phrases.ADVERBIAL.match(lead) or not lead.strip() or lead.rstrip().endswith(":"):
        return "order"
    return "told"


_MODEL_DOES = re.compile(
    rf"\b(?:the|an?|any|every|your|calling)\s+{words.MODEL}\s+(?:\w+ly\s+|also\s+|then\s+|first\s+|always\s+)*([a-z]{{2,14}}?)s\b"
)


def verbs(plain: str, pattern: re.Pattern[str]) -> dict[str, int]:
    """Return the moods in which verbs of a class occur, and where."""
    moods: dict[str, int] = {}
    for match in pattern.finditer(plain):
        moods.setdefault(mood(plain, match.start()), match.start())
    for match in re.finditer(
        rf"\b(?:must|should|needs?\s+to|has\s+to|have\s+to|shall|is\s+to|are\s+to)\s+(?:also\s+|always\s+|first\s+)?be\s+(?:\w+ly\s+)?{words.PARTICIPLES}\b",
        plain,
    ):
        if not phrases.DENIED.search(plain[: match.start()][-40:]):
            moods.setdefault("order", match.start())
    for match in _MODEL_DOES.finditer(plain):
        stem = match[1]
        if any(
            pattern.fullmatch(one) for one in (stem, stem + "e", re.sub(r"(?:ie|e)$", "y" if stem.endswith("ie") else "", stem))
        ):
            moods.setdefault("order", match.start())
    for match in re.finditer(
        r"\b(?:start|begin|proceed|continue|by|requires?|needs|involves?|mandates?)\s+(?:by\s+|with\s+|first\s+)*(\w+?)(?:t{0,1})ing\b",
        plain,
    ):
        stem = match[1]
        if (pattern.fullmatch(stem) or pattern.fullmatch(stem + "e")) and not phrases.DENIED.search(plain[: match.start()][-40:]):
            moods.setdefault("order", match.start())
    return moods


def of_sentence(plain: str) -> str:
    lead = phrases.LEAD.sub("", plain)
    first = re.match(r"[a-z]+", lead)
    return "told" if first and (first[0].endswith("s") and not first[0].endswith("ss")) else "order"
