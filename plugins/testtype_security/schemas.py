"""M07, M08 and M09: what a tool's schema and annotations promise, against what its name says it does."""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mcpweb.plugin import CheckResult, Severity

from . import metadata, utterance
from .strings import Thing, escaped
from .surface import Surface, described, parameters, properties, settled

CHECKS = ("M07", "M08", "M09")
_RUNS = frozenset(
    "command cmd code script shell sql bash exec eval expression statement program argv cypher javascript python powershell".split()
)
_REACHES = frozenset("path file filename filepath directory dir folder url uri endpoint host hostname query".split())
_SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|api_?key|apikey|(?:access|auth|bearer|api|refresh|session|private)_(?:token|key)|private_key|credentials?|client_secret|jwt)(?:$|_)|^token$"
)
_SECRET_NOT = re.compile(
    r"(?:name|id|type|hint|policy|length|label|path|file|ref|reference|count|limit|expiry|url|arn|version|max|min|num)s?$|^(?:max|num|has|is|use|with|show|include|generate)_"
)
_CHANGES = frozenset(
    "delete remove drop destroy purge erase wipe truncate write create update insert add set send post put patch edit modify move rename upload "
    "install uninstall kill terminate stop restart revoke grant reset clear publish deploy transfer pay buy book cancel approve merge push commit "
    "append overwrite replace store save archive unlink rm mv mkdir register unregister disable enable invite ban assign".split()
)
_DESTROYS = frozenset(
    "delete remove drop destroy purge erase wipe truncate rm unlink overwrite kill terminate revoke uninstall clear".split()
)
_LOOKS = frozenset(
    "get list read search find fetch show describe query count check view lookup look status info explain preview validate compare".split()
)
_REPEATS = frozenset("append increment send post pay transfer buy book charge".split())
_NOUNS_TOO = frozenset(
    "add set book post patch store archive register transfer stop merge push save clear update commit restart reset publish put edit move edit save cancel approve enable".split()
)
_MAY_ONLY_MAKE = _NOUNS_TOO | {"write", "create", "insert", "append", "move", "replace"}  # a text, an answer; F11 sees what is done
_SUMS = frozenset(
    "number numbers two three integer integers int ints float floats vector vectors matrix matrices value values up together".split()
)
_OUTSIDE = re.compile(
    r"https?://|\b(?:internet|web\s+(?:page|search|site)s?|websites?|online|urls?|external\s+(?:api|service)s?|remote\s+\w+|e-?mails?|twitter|slack|github)\b"
)
_INNER = {
    "system prompt": re.compile(
        r"system_?(?:prompt|message|instruction)s?|systemprompt|initial_?instructions?|developer_?(?:prompt|message)"
    ),
    "conversation": re.compile(
        r"(?:conversation|chat|message|dialog(?:ue)?|session|prompt|context)_?(?:history|log|transcript|so_far|window)|(?:previous|prior|all|past|user)_?(?:messages?|prompts?|turns?|conversations?)|^conversation$|original_?prompt|user_?prompt|transcript_so_far|tool_?call_?history"
    ),
    "model": re.compile(
        r"^llm$|^(?:model|llm|ai|agent|assistant)_?(?:name|id|version|identity|info|vendor)$|^(?:calling|current|your|client|host)_?(?:model|llm|agent|assistant)(?:_?name)?$"
    ),
    "reasoning": re.compile(
        r"chain_?of_?thought|^cot$|internal_?(?:thoughts?|reasoning|monologue)|(?:hidden|private|inner|raw)_?(?:reasoning|thoughts?)|scratch_?pad"
    ),
    "other tools": re.compile(
        r"(?:available|installed|other|all|known)_?tools?|tools?_?(?:list|available|names)|mcp_?(?:servers|config)|other_?servers|tool_?(?:outputs?|results?)_?(?:so_far|history)?$"
    ),
}
_ITS_OWN = re.compile(
    r"\b(?:llm|language\s+model|chat\w*|completion|generat\w*|prompt\w*|assistant|agent\w*|openai|anthropic|claude|gpt\w*|gemini|model\w*|infer\w*|embed\w*|conversation\w*|dialog\w*|messag\w*|transcript\w*|thread\w*|summar\w*|memor\w*|think\w*|thought\w*|reason\w*|tools?\s+(?:registry|list)|mcp|token\s+count\w*|session\w*|evaluat\w*|train\w*|fine-?tun\w*|sampl\w*)\b"
)


def check(surface: Surface) -> Iterator[CheckResult]:
    """Yield the verdicts of M07, M08 and M09."""
    broad, hints, inner = [], [], []
    for thing in surface.tools:
        broad += list(_broad(thing))
        hints += list(_hints(thing))
        inner += list(_inner(thing, surface.names))
    broad = _gathered(broad)
    unmarked = [thing.name for thing in surface.tools if not _annotations(thing)]
    if unmarked and len(unmarked) < len(surface.tools):
        hints.append(
            CheckResult(
                "M08",
                "fail",
                f"{len(unmarked)} of {len(surface.tools)} tools say nothing of what they change.",
                severity="low",
                key="missing",
                evidence={"tools": unmarked[:50]},
                reproduce="Look for annotations in the raw answer to tools/list.",
                next_step="Tell the server's author to annotate each tool: readOnlyHint, destructiveHint, idempotentHint, openWorldHint.",
            )
        )
    nothing = bool(unmarked) and len(unmarked) == len(surface.tools)
    yield from settled("M07", broad, "No parameter takes whatever it is given.", tools=len(surface.tools))
    if nothing and not hints:
        yield CheckResult(
            "M08",
            "fail",
            "No tool says what it changes.",
            severity="low",
            key="missing",
            evidence={"tools": unmarked[:50]},
            reproduce="Look for annotations in the raw answer to tools/list.",
            next_step="Tell the server's author to annotate each tool; without, clients must expect the worst.",
        )
    else:
        yield from settled(
            "M08", hints, "What tools say of themselves does not contradict their names.", tools=len(surface.tools)
        )
    yield from settled(
        "M09", inner, "No parameter asks for what belongs to the model or its user alone.", tools=len(surface.tools)
    )


def _gathered(results: list[CheckResult]) -> list[CheckResult]:
    """Return low results of many tools as one: a server of files has a path everywhere."""
    low = [result for result in results if result.severity == "low"]
    if len(low) < 4:
        return results
    pointers = [pointer for result in low for pointer in result.evidence["pointers"]]
    one = replace(
        low[0], tool="*", key="reach", summary=f"{len(low)} tools take any text as what to reach, and arguments nobody declared.",
        evidence={"tools": [result.tool for result in low][:100], "pointers": pointers[:100]},
    )
    return [*(result for result in results if result.severity != "low"), one]


def tokens(name: str) -> list[str]:
    """Return the words of a name in lower case: delete_file, deleteFile and delete-file have the same."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def _annotations(thing: Thing) -> Mapping[str, Any]:
    found = thing.definition.get("annotations") if isinstance(thing.definition, Mapping) else None
    return {key: value for key, value in found.items() if key.endswith("Hint")} if isinstance(found, Mapping) else {}


def _broad(thing: Thing) -> Iterator[CheckResult]:
    """Yield M07 for one tool: free text that is run or decides what is reached, and secrets among the parameters."""
    schema = thing.definition.get("inputSchema") if isinstance(thing.definition, Mapping) else None
    if not isinstance(schema, Mapping):
        return
    closed = schema.get("additionalProperties") is False
    runs, reaches, secrets = [], [], []
    for name, one in properties(thing.definition).items():
        if not isinstance(one, Mapping) or not _free(one):
            continue
        parts = tokens(str(name))
        plain = "_".join(parts)
        at = f"{thing.pointer}/inputSchema/properties/{escaped(name)}"
        if _SECRET.search(plain) and not _SECRET_NOT.search(plain):
            secrets.append(at)
        elif parts and (parts[-1] in _RUNS or plain in _RUNS):
            runs.append(at)
        elif parts and not closed and (parts[-1] in _REACHES or plain in _REACHES):
            reaches.append(at)
    anything = not properties(thing.definition) and schema.get("additionalProperties") is True
    rows: tuple[tuple[list[str], Severity, str, str], ...] = (
        (
            runs,
            "medium",
            "takes any text as something to run",
            "Ask for an enum, a pattern or a list of what may be run, and a length.",
        ),
        (
            secrets,
            "medium",
            "wants a secret as an argument, where it passes through the model",
            "Bind it as a secret of the server instead.",
        ),
        (
            reaches,
            "low",
            "takes any text as what to reach, and arguments nobody declared",
            "Ask for a pattern, an enum or a length, and set additionalProperties to false.",
        ),
        (
            [f"{thing.pointer}/inputSchema"] if anything else [],
            "low",
            "takes arguments nobody declared",
            "Ask for a schema that names the parameters.",
        ),
    )
    for pointers, severity, what, fix in rows:
        if pointers:
            yield CheckResult(
                "M07",
                "fail",
                f"{thing.name[:80]} {what}: {', '.join(p.rsplit('/', 1)[-1] for p in pointers[:5])}.",
                tool=thing.tool,
                severity=severity,
                evidence={"pointers": pointers[:50]},
                confidence="firm",
                key=pointers[0],
                reproduce=f"Look at {pointers[0]} in the raw answer to tools/list.",
                next_step=f"Tell the server's author. {fix}",
            )


def _free(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema takes any string."""
    kind = schema.get("type")
    stringy = (
        kind == "string"
        or (isinstance(kind, list) and "string" in kind)
        or (kind is None and not {"enum", "const", "anyOf", "oneOf", "$ref"} & set(schema))
    )
    if any(
        isinstance(branch, Mapping) and _free(branch)
        for word in ("anyOf", "oneOf")
        for branch in schema.get(word) or ()
        if kind is None
    ):
        return True
    length = schema.get("maxLength")
    bound = isinstance(length, int) and length <= 4096
    return (
        stringy and not ({"enum", "const", "pattern"} & set(schema)) and not bound and schema.get("format") in (None, "password")
    )


def _hints(thing: Thing) -> Iterator[CheckResult]:
    """Yield M08 for one tool: annotations that contradict each other, or the verb that names the tool."""
    hints = _annotations(thing)
    if not hints:
        return
    verb, changes = _deed(thing)
    wrong: list[tuple[str, str, Severity]] = []
    read_only = hints.get("readOnlyHint") is True
    if read_only and changes:
        wrong.append(("readOnlyHint", f"it is marked read-only and its name says {changes}", "low" if changes in _MAY_ONLY_MAKE else "medium"))
    if read_only and hints.get("destructiveHint") is True:
        wrong.append(("destructiveHint", "it is marked read-only and destructive", "medium"))
    if not read_only and hints.get("destructiveHint") is False and changes in _DESTROYS:
        wrong.append(("destructiveHint", f"it is marked not destructive and its name says {changes}", "medium"))
    if hints.get("idempotentHint") is True and changes in _REPEATS:
        wrong.append(("idempotentHint", f"it is marked idempotent and its name says {changes}", "low"))
    if (
        hints.get("openWorldHint") is False
        and _OUTSIDE.search(described(thing.definition).lower())
        and verb in ("fetch", "search", "send", "post", "upload")
    ):
        wrong.append(("openWorldHint", "it is marked as closed and speaks of what lies outside", "low"))
    bad = sorted(key for key, value in hints.items() if not isinstance(value, bool))
    if bad:
        wrong.append((bad[0], f"{', '.join(bad)} is no boolean", "low"))
    for key, sentence, severity in wrong:
        at = f"{thing.pointer}/annotations/{key}"
        yield CheckResult(
            "M08",
            "fail",
            f"{thing.name[:80]} contradicts itself: {sentence}.",
            tool=thing.tool,
            severity=severity,
            confidence="firm",
            key=at,
            evidence={
                "pointer": at,
                "annotations": dict(hints),
                "name": thing.name,
                "description": described(thing.definition)[:200],
            },
            reproduce=f"Look at {at} in the raw answer to tools/list.",
            next_step="Tell the server's author to correct the annotation; until then treat the tool as one that changes things.",
        )


def _deed(thing: Thing) -> tuple[str, str]:
    """Return the verb that names a tool, and again where it changes something; words that are nouns as well need a place of a verb."""
    parts = tokens(thing.name)
    verb = next((part for part in parts if part in _CHANGES or part in _LOOKS), "")
    first = tokens(re.split(r"[.\n]", described(thing.definition))[0])[:1]
    said = first[0].removesuffix("s") if first else ""
    if verb in _NOUNS_TOO and (
        parts[0] != verb or len(parts) == 1 or any(part in _LOOKS or part in _SUMS for part in parts) or said in _LOOKS | {"return"}
    ):
        return verb, ""
    if verb:
        return verb, verb if verb in _CHANGES else ""
    return said, said if said in _CHANGES - _NOUNS_TOO else ""


def _inner(thing: Thing, own: frozenset[str]) -> Iterator[CheckResult]:
    """Yield M09 for one tool: parameters for the model's own state in a tool that has nothing to do with it."""
    topic = " ".join([*tokens(thing.name), re.split(r"(?<=[.!?])\s|\n", described(thing.definition), maxsplit=1)[0].lower()])
    told = metadata.about(thing, own)
    for place, name, one in parameters(thing.definition):
        plain = "_".join(tokens(name))
        said = described(one) if isinstance(one, Mapping) else ""
        kind = "" if _ITS_OWN.search(topic) else next((kind for kind, pattern in _INNER.items() if pattern.search(plain)), "")
        here = replace(told, opening=False, parameter=True, here=plain)
        asked = [] if kind or one_of_few(one) else [signal for signal in utterance.read(said, here) if signal.weight >= utterance.LIMIT]
        if not kind and not asked:
            continue
        what = f"{asked[0].kind}: {said[asked[0].start : asked[0].end].strip()[:200]!r} ({asked[0].words})" if asked else f"asks for {_WHAT[kind]}"
        at = f"{thing.pointer}{place}"
        yield CheckResult(
            "M09",
            "fail",
            f"{thing.name[:80]} {what}, which it does not need for what it does: {name}.",
            tool=thing.tool,
            severity="high" if kind and kind != "model" else "medium",
            confidence="firm" if kind else "tentative",
            key=at,
            evidence={
                "pointer": f"{at}/description" if asked else at,
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


def one_of_few(schema: Any) -> bool:
    """Tell whether a parameter takes a number or a choice, which can carry nothing."""
    return isinstance(schema, Mapping) and (schema.get("type") in ("integer", "number", "boolean", "null") or "enum" in schema or "const" in schema)


_WHAT = {
    "system prompt": "the system prompt",
    "conversation": "the conversation",
    "model": "the name of the model",
    "reasoning": "the model's reasoning",
    "other tools": "the other tools",
}
