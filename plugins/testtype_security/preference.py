"""M10: a text that wants its tool to be chosen, not for what it does but over others."""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re
from collections.abc import Iterator

from mcpweb.plugin import CheckResult

from . import script, utterance
from .strings import Text, Thing

_TOOLS = r"(?:tools?|functions?|commands?|actions?|operations?|plugins?|servers?|integrations?|capabilit(?:y|ies)|api\s+calls?)"
_MODEL = r"(?:ai(?:\s+(?:model|assistant|agent|system|client)s?)?|(?:language\s+)?models?|llms?|assistants?|agents?|claude|chat\s?gpt|gpt(?:-\w+)?|gemini|copilot|cursor|chatbots?)"
_CHOOSE = r"(?:use|prefer|choose|select|pick|call|invoke|favou?r|rely\s+on|recommend|suggest|prioriti[sz]e|default\s+to|turn\s+to|route)"
_ALL = r"(?:always|only|exclusively|must|solely|every\s+time|whenever\s+possible|in\s+all\s+cases|at\s+all\s+times|no\s+matter|regardless|without\s+exception|under\s+any\s+circumstances)"
_RIVALS = (
    rf"(?:(?:any|all|every|the|each)\s+(?:of\s+the\s+)?other\s+(?:\w+\s+){{0,2}}?(?:{_TOOLS}|options?|alternatives?|providers?|solutions?|services?|sources?|means)|other\s+(?:\w+\s+){{0,2}}?(?:{_TOOLS}|options?|alternatives?|providers?|services?)"
    r"|(?:any|all|the)\s+alternatives?|competitors?|competing\s+\w+|alternatives\b|anything\s+else|any\s+other\b|others\b|similar\s+(?:tools?|functions?|services?)|built-?in\s+\w+|(?:its|their)\s+rivals?|the\s+rest\b"
    r"|(?:comparable|equivalent|rival|rivalling|similar(?:ly\s+named)?|like-named)\s+\w+s\b|\w+s\s+(?:of\s+(?:this|that|its|the\s+same|a\s+similar)\s+(?:kind|sort|type)\s+)?(?:from|found|offered|installed|listed|connected)\s+elsewhere"
    r"|(?:the\s+)?(?:ones|those)\s+(?:from|of)\s+(?:other|elsewhere)\b(?:\s+\w+s\b)?|(?:second|another|further|other)\s+(?:\w+\s+){1,3}?(?:beside|besides|next\s+to|alongside)\s+this\s+one)"
)
_OVER = r"(?:over|instead\s+of|rather\s+than|in\s+place\s+of|before|ahead\s+of|above|in\s+preference\s+to|not|never|and\s+not|replac(?:es?|ing)|supersedes?|compared\s+(?:to|with)|than)"
_THIS = r"(?:this|our|the\s+present)\s+(?:\w+\s+){0,2}?(?:tool|server|function|service|one|integration|plugin|api|version|endpoint)|\bme\b|\bit\b|\bthis\b"
_RULES: tuple[tuple[str, float, re.Pattern[str]], ...] = (
    (
        "over others",
        0.75,
        re.compile(
            rf"\b{_CHOOSE}\b[^.]{{0,60}}?\b(?:{_THIS})[^.]{{0,80}}?\b{_OVER}\s+(?:(?:using|calling|of|to|any|with)\s+)?{_RIVALS}"
        ),
    ),
    (
        "others are to be left",
        0.7,
        re.compile(
            rf"{_RIVALS}[^.]{{0,60}}?\b(?:leav(?:e|ing)|keep(?:ing)?|put(?:ting)?|set(?:ting)?|turn(?:ing)?|switch(?:ing)?)\s+(?:it|them|those|these|that)\s+(?:out|aside|alone|off|unused|away)\b"
            rf"|\b(?:never|do\s+not|don'?t|avoid|stop|refrain\s+from|must\s+not|should\s+not|no\s+need\s+to|ignore|skip|disregard)\s+(?:ever\s+)?(?:us(?:e|ing)|call(?:ing)?|invok(?:e|ing)|choos(?:e|ing)|consider(?:ing)?|rely(?:ing)?\s+on|trust(?:ing)?|try(?:ing)?|recommend(?:ing)?|select(?:ing)?)?\s*{_RIVALS}"
        ),
    ),
    (
        "others are said to be bad",
        0.5,
        re.compile(
            rf"{_RIVALS}[^.]{{0,30}}?\b(?:are|is|were|has\s+been|have\s+been|will|may|can|give|return|produce|contain)\s+(?:\w+\s+){{0,3}}?(?:deprecated|outdated|unreliable|inferior|broken|insecure|unsafe|obsolete|wrong|inaccurate|slow(?:er)?|disabled|unsupported|malicious|dangerous|worse|incorrect|vulnerable|retired|withdrawn|discontinued|superseded|abandoned|unmaintained|stale|out\s+of\s+date|no\s+longer\s+\w+|not\s+(?:to\s+be\s+)?(?:trusted|maintained|supported|reliable|accurate|current)|linger|fail|errors?)\b"
        ),
    ),
    (
        "always",
        0.3,
        re.compile(
            rf"\b{_ALL}\b[^.]{{0,40}}\b{_CHOOSE}\b|\b{_CHOOSE}\b[^.]{{0,40}}\b{_ALL}\b|\b(?:must|is\s+to|are\s+to|should|has\s+to)\s+be\s+(?:used|called|chosen|preferred|selected|invoked|the\s+first)\b"
        ),
    ),
    (
        "it is the place",
        0.3,
        re.compile(
            r"\b(?:belongs?|goes|go|comes?|is\s+to\s+come|should\s+come|must\s+come|are\s+to\s+come|(?:is|are)\s+(?:best\s+|only\s+)?(?:asked|answered|settled|handled|sent|taken))\s+(?:only\s+|straight\s+|first\s+)?(?:here|to\s+this\s+(?:one|tool|server))\b"
            r"|\b(?:send|route|bring|put|pass|direct|take|run)\s+(?:every|all|each|any)\s+(?:\w+\s+){1,3}?(?:here|(?:through|to|by)\s+(?:here|this\s+(?:one|tool|server)|us|it))\b"
        ),
    ),
    (
        "for everything",
        0.35,
        re.compile(
            r"\b(?:for|to|with)\s+(?:any|all|every)\s+(?:\w+\s+){0,2}?(?:requests?|tasks?|questions?|quer(?:y|ies)|purposes?|needs?|things?|messages?|prompts?|problems?)\b|\bregardless\s+of\s+(?:the\s+)?(?:user'?s?\s+)?(?:request|task|question|query|topic|intent|choice|preference)|\beven\s+(?:if|when|though)\s+(?:the\s+)?(?:user|another|other|they|a\s+different)\b[^.]{0,60}"
        ),
    ),
    (
        "a first place",
        0.45,
        re.compile(
            r"\b(?:first\s+choice|highest\s+priority|top\s+priority|priority\s+over|takes?\s+(?:precedence|priority)|preferred\s+over|superior\s+to|better\s+than|(?:the\s+)?(?:only|sole)\s+(?:\w+\s+){0,2}?(?:correct|valid|approved|trusted|official|reliable|authori[sz]ed|safe|secure|certified)\s+(?:\w+\s+)?(?:tool|server|service|way|source|option|method)|(?:best|number\s+one|#\s?1|most\s+(?:\w+)|leading|ultimate|greatest|finest)\s+(?:\w+\s+){0,3}?(?:tool|server|choice|option|function|plugin|integration)(?:\s+(?:available|of\s+all|there\s+is|ever|in\s+the\s+world))?)\b"
        ),
    ),
    (
        "speaks of choosing",
        0.2,
        re.compile(
            rf"\b{_MODEL}\s+(?:must|should|always|will|need|have\s+to)|\bwhen\s+(?:choosing|selecting|deciding|picking|ranking)\b|\btool\s+(?:selection|choice|ranking)\b|\byou\s+(?:must|should|have\s+to|will)\b"
        ),
    ),
)
_LIMIT = 0.75
NEXT = "Tell the server's author to say what the tool does; who chooses is the model and its user."
_SIBLING = re.compile(r"(?<![a-z0-9_-])[a-z]++(?:[_-][a-z0-9]++)+")


def check(thing: Thing, text: Text, own: frozenset[str]) -> Iterator[CheckResult]:
    """Yield M10 for a text that orders a choice; comparing with tools of the same server is how tools are explained."""
    if text.role != "prose" or len(text.text) < 20:
        return
    found = weigh(text.shown, own)
    total = round(sum(weight for _, weight, _ in found), 2)
    if total < _LIMIT or not any(kind in _ABOUT_OTHERS for kind, _, _ in found):
        return
    yield CheckResult(
        "M10",
        "fail",
        f"The {thing.kind} {thing.name[:80]!r} wants to be chosen over others: {found[0][2][:100]!r}.",
        tool=thing.tool,
        severity="medium",
        confidence="tentative",
        key=text.pointer,
        evidence={
            "pointer": text.pointer,
            "score": total,
            "limit": _LIMIT,
            "signals": [{"kind": kind, "weight": weight, "words": said} for kind, weight, said in found],
            "text": text.shown[:600],
        },
        reproduce=f"Read {text.pointer} in the raw answer to the list.",
        next_step=NEXT,
    )


_ABOUT_OTHERS = frozenset(
    {"over others", "others are to be left", "others are said to be bad", "for everything", "a first place"}
)


def weigh(text: str, own: frozenset[str]) -> list[tuple[str, float, str]]:
    """Return kind, weight and words of what a text says about being chosen, the heaviest first."""
    plain = re.sub(r"\s+", " ", script.readable(text).lower().replace("’", "'"))
    best: dict[str, tuple[str, float, str]] = {}
    for _, _, sentence in utterance.sentences(plain):
        named = _SIBLING.findall(sentence)
        if named and all(name in own for name in named) and not re.search(r"\b(?:any|all|every)\s+other\b", sentence):
            continue  # tells apart tools of its own server
        for kind, weight, pattern in _RULES:
            match = pattern.search(sentence)
            if match and (kind not in best or best[kind][1] < weight):
                best[kind] = (kind, weight, match[0].strip()[:200])
    return sorted(best.values(), key=lambda one: -one[1])
