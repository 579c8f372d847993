"""M07, M08 and M09: what a tool's schema and annotations promise; M09, parameters for what is none of a tool's business, here."""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mcpweb.plugin import CheckResult

from . import breadth, hints, metadata, utterance
from .strings import Thing
from .surface import Surface, described, parameters, settled, tokens

CHECKS = ("M07", "M08", "M09")
ASKED = 0.56  # of what describes a parameter: few words, and what they ask for is asked of whoever fills it in
_INNER = {
    "system prompt": re.compile(
        r"sys(?:tem)?_?(?:prompt|message|instruction)s?|initial_?(?:instructions?|prompt)|developer_?(?:prompt|message)"
        r"|^(?:agent|assistant|ai|llm|model|bot)_(?:instructions?|prompt|rules|guidelines|briefing|persona|config(?:uration)?|settings|setup)$"
        r"|^(?:your|base|active|current)_(?:instructions|prompt|persona)$|^pre_?prompt$|^meta_?prompt$"
    ),
    "conversation": re.compile(
        r"(?:conversation|chat|message|dialog(?:ue)?|session|prompt|context)_?(?:history|log|transcript|so_far|window)|(?:previous|prior|all|past|user)_?(?:messages?|prompts?|turns?|conversations?)|^conversations?$|original_?prompt|user_?prompt|transcript_so_far|tool_?call_?history"
        r"|^(?:conversation|chat|dialog(?:ue)?|convo)_?(?:context|state|text|summary|dump|excerpt|content|messages?|turns?|thread|body|snapshot)?$"
        r"|(?:last|recent|earlier|preceding)_?(?:messages?|prompts?|turns?|utterances?)$|(?:user|original|initial|first)_?(?:messages|utterances?|turns?)$"
        r"|^(?:context|ctx)_?(?:window|dump|buffer)$"
    ),
    "model": re.compile(
        r"^llm$|^(?:model|llm|ai|agent|assistant)_?(?:name|id|version|identity|info|vendor|family|provider|maker|build|type|label)$"
        r"|^(?:calling|caller|current|your|client|host|active|running|underlying|base|requesting)_?(?:model|llm|ai|agent|assistant)(?:_?(?:name|id|version))?$"
        r"|^(?:which|what)_(?:model|llm|ai|assistant)$"
    ),
    "reasoning": re.compile(
        r"chain_?of_?thought|^cot$|internal_?(?:thoughts?|reasoning|monologue)|(?:hidden|private|inner|raw|model|agent|your|full)_?(?:reasoning|thoughts?|thinking)|scratch_?pad"
        r"|^(?:thinking|thoughts?|reasoning)(?:_?(?:trace|steps|log|process|chain|text|so_far|dump))?$|^deliberations?$"
    ),
    "other tools": re.compile(
        r"(?:available|installed|other|all|known)_?tools?|tools?_?(?:list|available|names)|mcp_?(?:servers|config)|other_?servers|tool_?(?:outputs?|results?|responses?|calls?)_?(?:so_far|history)?$"
        r"|(?:prior|previous|earlier|past|recent|upstream|last)_?(?:tool|server|call|mcp)_?(?:outputs?|results?|responses?|calls?|data)"
    ),
    "the user's own": re.compile(
        r"^clip_?board(?:_?(?:text|content|dump))?$|^(?:browser|browsing|shell|bash|zsh|terminal|search)_?history$|^open_?(?:files|tabs|documents|editors|buffers|windows)$"
        r"|^(?:env|environ|environment)_?(?:dump|vars?|variables)$|^process_?env$|^(?:user_?)?(?:address_?book|key_?chain|contact_?list)$"
        r"|^installed_?(?:apps?|packages|software|programs)$|^(?:home|user|local|workspace)_?(?:files|documents|dir_?listing)$|^user_?(?:memory|memories|profile_?facts)$"
    ),
}
_ITS_OWN = re.compile(
    r"\b(?:llm|language\s+model|chat\w*|completion|generat\w*|prompt\w*|assistant|agent\w*|openai|anthropic|claude|gpt\w*|gemini|model\w*|infer\w*|embed\w*|conversation\w*|dialog\w*|messag\w*|transcript\w*|thread\w*|summar\w*|memor\w*|think\w*|thought\w*|reason\w*|tools?\s+(?:registry|list)|mcp|token\s+count\w*|session\w*|evaluat\w*|train\w*|fine-?tun\w*|sampl\w*)\b"
)


def check(surface: Surface) -> Iterator[CheckResult]:
    """Yield the verdicts of M07, M08 and M09."""
    closed = breadth.mostly_closed(surface.tools)
    broad = breadth.gathered([one for thing in surface.tools for one in breadth.broad(thing, closed)])
    inner = [one for thing in surface.tools for one in _inner(thing, surface.names)]
    yield from settled("M07", broad, "No parameter takes whatever it is given.", tools=len(surface.tools))
    said = "What tools say of themselves does not contradict their names."
    yield from settled("M08", hints.check(surface.tools), said, tools=len(surface.tools))
    yield from settled(
        "M09", inner, "No parameter asks for what belongs to the model or its user alone.", tools=len(surface.tools)
    )


def _inner(thing: Thing, own: frozenset[str]) -> Iterator[CheckResult]:
    """Yield M09 for one tool: parameters for what is the model's or its user's own in a tool that has nothing to do with it."""
    topic = " ".join([*tokens(thing.name), re.split(r"(?<=[.!?])\s|\n", described(thing.definition), maxsplit=1)[0].lower()])
    told = metadata.about(thing, own)
    ordered = _ordered(thing, told)
    for place, name, one in parameters(thing.definition):
        parts = tokens(name)
        plain = "_".join(parts)
        said = _told(one)
        kind = _kind(plain, topic) or (_kind("_".join(tokens(str(one.get("title", "")))), topic) if isinstance(one, Mapping) else "")
        here = replace(told, opening=False, parameter=True, here=plain)
        asked = [] if kind or one_of_few(one) else utterance.read(said, here, ASKED)
        at = f"{thing.pointer}{place}"
        where = f"{at}/description" if asked else at
        if not kind and not asked and name.lower() in ordered and not one_of_few(one):
            signal = ordered.pop(name.lower())
            asked, said, where = [signal], described(thing.definition), f"{thing.pointer}/description"
        if not kind and not asked:
            continue
        what = f"{asked[0].kind}: {said[asked[0].start : asked[0].end].strip()[:200]!r} ({asked[0].words})" if asked else f"asks for {_WHAT[kind]}"
        yield CheckResult(
            "M09",
            "fail",
            f"{thing.name[:80]} {what}, which it does not need for what it does: {name}.",
            tool=thing.tool,
            severity="high" if kind and kind not in ("model", "the user's own") else "medium",
            confidence="firm" if kind else "tentative",
            key=at,
            evidence={
                "pointer": where,
                "kind": kind or "wording",
                "description": said[:300],
                "tool": topic[:300],
                "signals": [
                    {"kind": signal.kind, "chance": signal.weight, "span": [signal.start, signal.end], "words": signal.words}
                    for signal in asked
                ],
            },
            reproduce=f"Look at {at} in the raw answer to tools/list; a model fills in what it is asked for.",
            next_step="Do not let a model use this tool; tell the server's author to take the parameter out.",
        )


def _kind(plain: str, topic: str) -> str:
    """Return what a name asks for that is the model's or the user's own, empty where the tool is about it."""
    if not plain or _ITS_OWN.search(topic):
        return ""
    found = next((kind for kind, pattern in _INNER.items() if pattern.search(plain)), "")
    about = found == "the user's own" and any(part.removesuffix("s") in topic for part in plain.split("_") if len(part) > 3)
    return "" if about else found


def _told(schema: Any) -> str:
    """Return what is told of a parameter: its title, its description, and a default that is a sentence."""
    if not isinstance(schema, Mapping):
        return ""
    more = [schema[word] for word in ("title", "default") if isinstance(schema.get(word), str) and schema[word].count(" ") > 1]
    return described(schema) or " ".join(more)


def _ordered(thing: Thing, told: utterance.About) -> dict[str, utterance.Signal]:
    """Return the parameters that the tool's description has filled with what is the model's or the user's own, each with its sentence."""
    said = described(thing.definition)
    found: dict[str, utterance.Signal] = {}
    for signal in utterance.read(said, told, utterance.LIMIT) if len(said) < 8000 else ():
        plain = said[signal.start : signal.end].lower()
        if signal.source:
            found |= {name: signal for name in told.carriers if re.search(rf"[`'\"]{re.escape(name)}[`'\"]", plain)}
    return found


def one_of_few(schema: Any) -> bool:
    """Tell whether a parameter takes a number or a choice, which can carry nothing."""
    return isinstance(schema, Mapping) and (schema.get("type") in ("integer", "number", "boolean", "null") or "enum" in schema or "const" in schema)


_WHAT = {
    "system prompt": "the system prompt",
    "conversation": "the conversation",
    "model": "the name of the model",
    "reasoning": "the model's reasoning",
    "other tools": "the other tools",
    "the user's own": "what is the user's own",
}
