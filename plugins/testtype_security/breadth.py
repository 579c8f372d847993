"""M07: parameters that take whatever they are given – what is run, what is reached, what nobody declared – and secrets among them.

Read as deep as parameters lie. A pattern counts where it keeps something out: one that is not anchored, or takes all, does not.
"""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mcpweb.plugin import CheckResult, Severity

from . import regexes
from .strings import Thing
from .surface import described, parameters, properties, tokens

_RUNS = frozenset("command cmd shell sql bash exec eval argv cypher javascript python powershell".split())
_MAY_RUN = frozenset("code script expression statement program template formula snippet args arguments where filter clause query selector macro rule hook".split())
_CODE_OF = frozenset("source program python js java script shell sql user raw inline".split())
_REACHES = frozenset("path file filename filepath directory dir folder url uri endpoint host hostname query webhook callback".split())
_SAYS_RUNS = re.compile(
    r"\b(?:sql|shell|bash|python|javascript|lua|jinja2?|cypher|graphql|powershell|perl|ruby|xpath|jsonata|jq)\b[\w\s'’-]{0,30}?\b(?:statements?|conditions?|clauses?|commands?|expressions?|snippets?|code|scripts?|quer(?:y|ies)|fragments?|templates?|filters?)\b"
    r"|\b(?:select|where|having|order\s+by)[\s-]+(?:statement|clause|condition)"
    r"|\b(?:commands?|code|expressions?|scripts?|statements?|programs?|snippets?|templates?)\b[^.]{0,30}\b(?:to\s+(?:be\s+)?(?:run|execute|evaluate|render)d?|(?:is|are|gets?)\s+(?:run|executed|evaluated|interpreted|passed\s+to))\b"
    r"|\b(?:arguments?|options|flags)\s+(?:of|for|to|passed\s+to)\s+(?:the\s+)?(?:\w+\s+){0,3}?(?:program|command|shell|binary|executable|process|tool|script)\b"
    r"|\b(?:put|placed|inserted|appended|passed|pasted|spliced)\b[^.]{0,30}\b(?:where|the\s+shell|a\s+shell|the\s+command|the\s+query|sql)\b|\b(?:executed|evaluated|eval\(|exec\()|\braw\s+(?:sql|query|command)\b"
)
_DENIES = re.compile(r"\b(?:no|not|never|without|instead|neither|nor|cannot)\b|n't\b")
_SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|passcode|pass|pwd|psk|secret|otp|totp|api_?key|apikey|auth_?key|(?:access|auth|bearer|api|refresh|session|private|signing|encryption|master|secret|ssh|licen[cs]e)_?(?:token|key)|private_key|credentials?|client_secret|jwt|bearer|authorization|cookies?|connection_string|dsn|seed_phrase|recovery_phrase|cvv|cvc|card_number)(?:$|_)"
)
_SECRET_NOT = re.compile(
    r"(?:name|id|type|hint|policy|length|label|path|file|ref|reference|count|limit|expiry|url|arn|version|max|min|num|rate|strength|mode|format)s?$|^(?:max|num|has|is|use|with|show|include|generate|boarding|bus|day|ski|season|mountain)_|_(?:pass|tour)$"
)
_TOKEN_OF = frozenset("page next cursor continuation sync start idempotency csrf resume progress confirm confirmation request change upload search scroll prev previous position end max min num".split())
_SAYS_SECRET = re.compile(
    r"^(?:(?:the|your|a|an|user'?s|customer'?s|caller'?s|owner'?s|member'?s|their|his|her|its|valid|current|personal|admin|account|full|secret|\w+'s)\s+){0,4}(?:\w+\s+){0,2}?(?:passwords?|passphrases?|passcodes?|api[\s-]?keys?|access\s+keys?|secret(?:\s+key)?|private\s+keys?|(?:access|auth|bearer|api|session)[\s-]tokens?|credentials|login\s+(?:data|details)|one-time\s+(?:code|password)|security\s+code|pin(?:\s+code)?\s+(?:of|for|to)|cvv|cvc)\b"
)
_SAYS_NOT = re.compile(r"\b(?:name|id|identifier|path|type|kind|number\s+of|length|label|hint|strength|policy|rules?)\s+(?:of|for|to)\b")
_TAKES_ALL = {"runs": ("; rm -rf / #", "x' OR 1=1 --"), "reaches": ("../../etc/passwd", "http://169.254.169.254/")}
_ENOUGH = {"runs": 12, "query": 512, "reaches": 64}  # characters, at most, of what is short enough to be no danger


def broad(thing: Thing, closed_elsewhere: bool) -> Iterator[CheckResult]:
    """Yield M07 for one tool; ``closed_elsewhere`` says that most schemas of its server take only what they declare."""
    schema = thing.definition.get("inputSchema") if isinstance(thing.definition, Mapping) else None
    if not isinstance(schema, Mapping):
        return
    runs, reaches, secrets = [], [], []
    about = described(thing.definition).lower()
    for place, name, one in parameters(thing.definition):
        if not isinstance(one, Mapping):
            continue
        at = f"{thing.pointer}{place}"
        said, parts = described(one), tokens(name)
        held = _held(one)
        if held is None or not parts:
            continue
        if secret(parts, said) and "enum" not in held and "const" not in held:
            secrets.append(at)
        elif _runs(parts, said, about) and free(held, "runs"):
            runs.append(at)
        elif (kind := _reached(parts)) and free(held, kind):
            reaches.append(at)
    open_ = list(_open(thing, schema, closed_elsewhere))
    rows: tuple[tuple[list[str], Severity, str, str], ...] = (
        (runs, "medium", "takes any text as something to run", "Ask for an enum, an anchored pattern or a list of what may be run."),
        (secrets, "medium", "wants a secret as an argument, where it passes through the model", "Bind it as a secret of the server instead."),
        (reaches, "low", "takes any text as what to reach", "Ask for an anchored pattern, an enum or a length, and set additionalProperties to false."),
        (open_, "low", "takes arguments nobody declared", "Name the parameters, and set additionalProperties to false."),
    )
    for pointers, severity, what, fix in rows:
        if pointers:
            yield CheckResult(
                "M07", "fail", f"{thing.name[:80]} {what}: {', '.join(p.rsplit('/', 1)[-1] for p in pointers[:5])}.", tool=thing.tool,
                severity=severity, evidence={"pointers": pointers[:50]}, confidence="firm", key=pointers[0],
                reproduce=f"Look at {pointers[0]} in the raw answer to tools/list.", next_step=f"Tell the server's author. {fix}",
            )


def gathered(results: list[CheckResult]) -> list[CheckResult]:
    """Return low results of many tools as one: a server of files has a path everywhere."""
    low = [result for result in results if result.severity == "low"]
    if len(low) < 4:
        return results
    pointers = [pointer for result in low for pointer in result.evidence["pointers"]]
    tools = list(dict.fromkeys(result.tool for result in low))
    one = replace(
        low[0], tool="*", key="reach", summary=f"{len(tools)} tools take any text as what to reach, or arguments nobody declared.",
        evidence={"tools": tools[:100], "pointers": pointers[:100]},
    )
    return [*(result for result in results if result.severity != "low"), one]


def mostly_closed(things: list[Thing]) -> bool:
    """Tell whether most schemas with parameters take only what they declare."""
    found = [schema.get("additionalProperties") is False for thing in things for _, schema in _objects(thing.definition)]
    return 2 * sum(found) >= len(found) and any(found)


def _objects(definition: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield place and schema of the whole input and of each parameter that is an object with parameters of its own."""
    schema = definition.get("inputSchema") if isinstance(definition, Mapping) else None
    if isinstance(schema, Mapping) and properties(definition):
        yield "/inputSchema", schema
    for place, _, one in parameters(definition):
        for at, inner in _branches(one, place):
            if isinstance(inner.get("properties"), Mapping) and inner["properties"]:
                yield at, inner


def _branches(schema: Any, at: str, depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(schema, Mapping) or depth > 4:
        return
    yield at, schema
    yield from _branches(schema.get("items"), f"{at}/items", depth + 1)
    for word in ("anyOf", "oneOf"):
        for number, one in enumerate(schema[word][:20] if isinstance(schema.get(word), list) else ()):
            yield from _branches(one, f"{at}/{word}/{number}", depth + 1)


def _open(thing: Thing, schema: Mapping[str, Any], closed_elsewhere: bool) -> Iterator[str]:
    """Yield where arguments are taken that nobody declared: said so, an object without any shape, or left open among closed ones."""
    if schema.get("additionalProperties") is True or (closed_elsewhere and properties(thing.definition) and "additionalProperties" not in schema and not _composed(schema)):
        yield f"{thing.pointer}/inputSchema"
    for place, _, one in parameters(thing.definition):
        for at, inner in _branches(one, place):
            rest = inner.get("additionalProperties")
            shaped = any(inner.get(word) for word in ("properties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf", "enum", "const"))
            kind = inner.get("type") == "object"
            if (
                rest is True or rest == {}
                or (kind and not shaped and rest is None and inner.get("unevaluatedProperties") is None)
                or (kind and closed_elsewhere and inner.get("properties") and rest is None and not _composed(inner))
            ):
                yield f"{thing.pointer}{at}"


def _composed(schema: Mapping[str, Any]) -> bool:
    return any(word in schema for word in ("unevaluatedProperties", "allOf", "anyOf", "oneOf", "$ref", "if"))


def _held(schema: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any] | None:
    """Return the schema by which a parameter takes a text: its own, of one of its branches, or of the items of a list; None for others."""
    kind = schema.get("type")
    if kind == "string" or (isinstance(kind, list) and "string" in kind):
        return schema
    if depth > 3:
        return None
    if kind == "array" or "items" in schema:
        items = schema.get("items")
        return _held(items, depth + 1) if isinstance(items, Mapping) else None
    for word in ("anyOf", "oneOf"):
        for one in schema[word] if isinstance(schema.get(word), list) else ():
            if isinstance(one, Mapping) and (found := _held(one, depth + 1)) is not None and not {"enum", "const"} & set(found):
                return {**schema, **found}
    return schema if kind is None and not {"enum", "const", "anyOf", "oneOf", "$ref", "properties"} & set(schema) else None


def free(schema: Mapping[str, Any], kind: str) -> bool:
    """Tell whether a text of any kind fits: no choice, no format, no pattern that keeps something out, and not a few signs long."""
    if {"enum", "const"} & set(schema) or schema.get("format") not in (None, "password", "uri", "url", "uri-reference", "iri"):
        return False
    longest = schema.get("maxLength")
    if isinstance(longest, int) and longest <= _ENOUGH[kind]:
        return False
    pattern = schema.get("pattern")
    if not isinstance(pattern, str):
        return schema.get("format") in (None, "password") or kind != "reaches"
    if regexes.explosive(pattern) or len(pattern) > 400:
        return False
    try:
        return all(re.search(pattern, probe) for probe in _TAKES_ALL["runs" if kind == "runs" else "reaches"])
    except (re.error, RecursionError, OverflowError):
        return False


def _last(parts: list[str], words: frozenset[str]) -> str:
    """Return the word that a name ends in where it is one of some, one or many."""
    last = parts[-1]
    return next((one for one in (last, last.removesuffix("s"), last.removesuffix("es")) if one in words), "")


def _runs(parts: list[str], said: str, about: str) -> bool:
    plain = "_".join(parts)
    if _last(parts, _RUNS) or plain in _RUNS:
        return True
    told = said.lower()
    if any(not _DENIES.search(sentence) and _SAYS_RUNS.search(sentence) for sentence in re.split(r"(?<=[.;])\s", told)):
        return True
    last = _last(parts, _MAY_RUN)
    if last in ("code", "script", "expression", "statement", "program", "snippet") and (len(parts) == 1 or parts[-2] in _CODE_OF):
        return not told or bool(re.search(r"\b(?:runs?|execut|evaluat|interpret|render|calculat|comput)\w*", f"{told} {about}"))
    return last == "template" and len(parts) == 1 and (not told or bool(re.search(r"\brender|\bfill|\bevaluat|jinja|\{\{", f"{told} {about}")))


def _reached(parts: list[str]) -> str:
    last = _last(parts, _REACHES)
    return "query" if last == "query" else "reaches" if last else ""


def secret(parts: list[str], said: str) -> bool:
    """Tell whether a parameter is for a secret, by its name or by what is said of it."""
    plain = "_".join(parts)
    if _SECRET.search(plain) and not _SECRET_NOT.search(plain):
        return True
    if parts[-1] == "token" and not set(parts[:-1]) & _TOKEN_OF and not _SECRET_NOT.search(plain):
        return True
    first = re.split(r"(?<=[.;])\s", said.strip().lower(), maxsplit=1)[0]
    return bool(_SAYS_SECRET.search(first)) and not _DENIES.search(first) and not _SAYS_NOT.search(first)

