"""M11: a schema that is a weapon against whoever reads it: too deep, too many branches, a regex that hangs, a fetch, a bomb."""

# ruff: noqa: E501 - a sentence or a pattern is read as a whole
from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from mcpweb.plugin import CheckResult, Severity

from . import regexes
from .strings import Thing, escaped
from .surface import Surface, settled

CHECKS = ("M11",)
MOST_DEPTH, MOST_NODES, MOST_BYTES, MOST_WAYS, MOST_NUMBER, MOST_BRANCHES = 16, 5_000, 256 * 1024, 1_000, 1_000_000, 64
MOST_UNFOLDED = 2_000
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpe?g|gif|webp|svg\+xml|x-icon|bmp|avif)[;,]", re.IGNORECASE)
_ACTIVE = re.compile(r"<script|javascript:|\bon\w+\s*=|<foreignobject|PHNjcmlwd|<iframe|<!entity", re.IGNORECASE)
_DIALECT = re.compile(r"(?:https?://json-schema\.org/|https?://modelcontextprotocol\.io/|#)", re.IGNORECASE)
_SIMPLE = frozenset({"const", "enum", "title", "description", "type", "$comment"})  # one of many values, and no shape of its own
_ONES = frozenset(
    {"not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames", "unevaluatedProperties"}
)


def check(surface: Surface) -> Iterator[CheckResult]:
    """Yield the verdicts of M11 on the schemas and icons of everything that is served."""
    found: list[CheckResult] = []
    for thing in surface.things:
        if isinstance(thing.definition, Mapping):
            for word in ("inputSchema", "outputSchema"):
                if word in thing.definition:
                    own = _identities(thing.definition[word])
                    found += list(_schema(thing, thing.definition[word], f"{thing.pointer}/{word}", own))
            found += list(_icons(thing))
    yield from settled("M11", found, "No schema is a burden to whoever reads it.", tools=len(surface.tools))


def _found(thing: Thing, pointer: str, sentence: str, severity: Severity = "medium", **evidence: Any) -> CheckResult:
    return CheckResult(
        "M11",
        "fail",
        f"The {thing.kind} {thing.name[:80]!r}: {sentence}.",
        tool=thing.tool,
        severity=severity,
        confidence="firm",
        key=pointer,
        evidence={"pointer": pointer, **evidence},
        reproduce=f"Look at {pointer} in the raw answer to the list.",
        next_step="Do not hand this schema to a validator without limits; tell the server's author to simplify it.",
    )


def _schema(thing: Thing, schema: Any, at: str, own: frozenset[str]) -> Iterator[CheckResult]:
    size = len(json.dumps(schema, default=str)) if _shallow(schema) else MOST_BYTES + 1
    if size > MOST_BYTES:
        yield _found(
            thing,
            at,
            f"the schema has {size:,} bytes" if _shallow(schema) else "the schema is nested too deeply to be measured",
            size=size,
        )
    nodes, deepest, deep_at, ways = 0, 0, at, 0
    told: set[str] = set()
    stack: list[tuple[Any, str, int, str]] = [(schema, at, 1, "")]
    while stack:
        here, pointer, depth, key = stack.pop()
        nodes += 1
        if depth > deepest:
            deepest, deep_at = depth, pointer
        if nodes > 50_000 or depth > 2_000:
            break
        if isinstance(here, Mapping):
            if key not in ("properties", "$defs", "definitions", "patternProperties", "enum", "const", "default", "examples"):
                for result in _node(thing, here, pointer, own):
                    if (kind := result.summary.partition(": ")[2][:24]) not in told or result.severity == "high":
                        told.add(kind)
                        yield result
            if key == "patternProperties":
                for pattern in here:
                    if why := regexes.explosive(str(pattern)):
                        yield _found(
                            thing,
                            f"{pointer}/{escaped(pattern)}",
                            f"the pattern {str(pattern)[:60]!r} can hang: {why}",
                            pattern=str(pattern)[:400],
                        )
            ways += sum(len(here[word]) for word in ("anyOf", "oneOf", "allOf") if isinstance(here.get(word), Sequence))
            stack.extend((inner, f"{pointer}/{escaped(name)}", depth + 1, str(name)) for name, inner in here.items())
        elif isinstance(here, Sequence) and not isinstance(here, str | bytes):
            stack.extend(
                (inner, f"{pointer}/{number}", depth + (key not in ("anyOf", "oneOf", "allOf")), key)
                for number, inner in enumerate(here)
            )
    if deepest > 2 * MOST_DEPTH:
        yield _found(thing, deep_at[:400], f"the schema is {deepest} levels deep", depth=deepest)
    if nodes > MOST_NODES and size <= MOST_BYTES:
        yield _found(
            thing, at, f"the schema has {'more than ' if nodes > 50_000 else ''}{min(nodes, 50_000):,} parts", parts=nodes
        )
    count = _expanded(schema)
    if count > MOST_WAYS:
        yield _found(
            thing,
            at,
            f"its alternatives multiply to {'more than a million' if count > 10**6 else format(count, ',')}",
            ways=min(count, 10**6),
            branches=ways,
        )
    elif _shallow(schema) and (met := _unfolded(schema)) > MOST_UNFOLDED and met > 8 * nodes:
        yield _found(thing, at, f"its references unfold to {met:,} schemas", unfolded=met, parts=nodes)
    if loop := _circle(schema):
        yield _found(thing, at, f"the reference {loop[:80]!r} leads to itself and nowhere else", reference=loop)


def _shallow(schema: Any, most: int = 400) -> bool:
    stack = [(schema, 0)]
    while stack:
        here, depth = stack.pop()
        if depth > most:
            return False
        inner = here.values() if isinstance(here, Mapping) else here if isinstance(here, list) else ()
        stack.extend((one, depth + 1) for one in inner)
    return True


def _identities(schema: Any) -> frozenset[str]:
    """Return the names under which parts of a schema can be referred to without leaving it."""
    found: set[str] = set()
    stack, left = [schema], 20_000
    while stack and left:
        left -= 1
        here = stack.pop()
        if isinstance(here, Mapping):
            found |= {str(here[word]).rstrip("#") for word in ("$id", "id") if isinstance(here.get(word), str)}
            stack.extend(here.values())
        elif isinstance(here, list):
            stack.extend(here)
    return frozenset(found | {name.rpartition("/")[2] for name in found})


def _node(thing: Thing, here: Mapping[str, Any], pointer: str, own: frozenset[str]) -> Iterator[CheckResult]:
    """Yield what is wrong with one schema by itself."""
    told = here.get("$schema")
    if isinstance(told, str) and not _DIALECT.match(told):
        yield _found(
            thing, f"{pointer}/$schema", f"its dialect is {told[:120]!r}: whoever wants to know it makes a request", reference=told[:400]
        )
    for word in ("$ref", "$dynamicRef", "$recursiveRef"):
        target = here.get(word)
        if isinstance(target, str) and not target.startswith("#"):
            parts = urlsplit(target)
            if target.partition("#")[0] not in own:
                away = parts.scheme or parts.netloc or target.startswith(("/", "\\"))
                yield _found(
                    thing,
                    f"{pointer}/{word}",
                    f"a reference leads out of the schema, to {target[:120]!r}"
                    + (": whoever resolves it makes a request" if away else ": its own address is the base that it is looked for at"),
                    reference=target[:400],
                )
    pattern = here.get("pattern")
    if isinstance(pattern, str) and (why := regexes.explosive(pattern)):
        yield _found(thing, f"{pointer}/pattern", f"the pattern {pattern[:60]!r} can hang: {why}", pattern=pattern[:400])
    for word in ("minLength", "minItems", "minProperties", "minContains"):
        number = here.get(word)
        if isinstance(number, int | float) and not isinstance(number, bool) and number > MOST_NUMBER:
            yield _found(thing, f"{pointer}/{word}", f"{word} asks for {number:,} at least", number=number)
    for word in ("anyOf", "oneOf", "allOf"):
        branches = here.get(word)
        rich = [one for one in branches if isinstance(one, Mapping) and not _SIMPLE.issuperset(one)] if isinstance(branches, list) else []
        if len(rich) > MOST_BRANCHES:
            yield _found(thing, f"{pointer}/{word}", f"{word} has {len(rich):,} branches", branches=len(rich))
    for word in ("enum", "required"):
        if isinstance(here.get(word), list) and len(here[word]) > 2_000:
            yield _found(thing, f"{pointer}/{word}", f"{word} lists {len(here[word]):,} values", values=len(here[word]))


def _expanded(schema: Any, depth: int = 0) -> int:
    """Return how many plain schemas a schema with its alternatives and references stands for, a million at most."""
    definitions: dict[str, Any] = {}
    if isinstance(schema, Mapping):
        for word in ("$defs", "definitions"):
            if isinstance(schema.get(word), Mapping):
                definitions |= {f"#/{word}/{name}": one for name, one in schema[word].items()}
    budget = [20_000]

    def count(here: Any, depth: int, open_: frozenset[str]) -> int:
        budget[0] -= 1
        if not isinstance(here, Mapping) or depth > 40 or budget[0] < 0:
            return 1
        ways = 1
        target = here.get("$ref")
        if isinstance(target, str) and target in definitions and target not in open_:
            ways *= count(definitions[target], depth + 1, open_ | {target})
        for word in ("anyOf", "oneOf"):
            if isinstance(here.get(word), list) and here[word]:
                ways *= sum(count(branch, depth + 1, open_) for branch in here[word])
        for branch in here.get("allOf") or () if isinstance(here.get("allOf"), list) else ():
            ways *= count(branch, depth + 1, open_)
        inner = [
            *(here["properties"].values() if isinstance(here.get("properties"), Mapping) else ()),
            *(here[word] for word in _ONES if word in here),
        ]
        for one in inner:
            below = count(one, depth + 1, open_)
            ways += below - 1  # a validator looks at properties one after the other
            if ways > 10**6:
                return 10**6 + 1
        return min(ways, 10**6 + 1)

    return count(schema, 0, frozenset())


def _unfolded(schema: Any) -> int:
    """Return how many schemas a validator meets that follows every reference anew, a million at most; one that leads back counts once."""
    defined: dict[str, Any] = {}
    for word in ("$defs", "definitions"):
        if isinstance(schema, Mapping) and isinstance(schema.get(word), Mapping):
            defined |= {f"#/{word}/{name}": one for name, one in schema[word].items()}
    known: dict[str, int] = {}

    def count(here: Any, open_: frozenset[str], depth: int) -> int:
        if depth > 200:
            return 1
        if isinstance(here, list):
            return min(sum(count(one, open_, depth + 1) for one in here), 10**6)
        if not isinstance(here, Mapping):
            return 0
        whole = 1 + sum(count(one, open_, depth + 1) for key, one in here.items() if key not in ("$defs", "definitions", "enum", "const", "examples"))
        target = here.get("$ref")
        if isinstance(target, str) and target in defined and target not in open_:
            if target not in known:
                known[target] = count(defined[target], open_ | {target}, depth + 1)
            whole += known[target]
        return min(whole, 10**6)

    return count(schema, frozenset(), 0)


def _circle(schema: Any) -> str:
    """Return a reference that leads to itself without a step in between, empty when none does."""
    if not isinstance(schema, Mapping):
        return ""
    defined: dict[str, Any] = {"#": schema}
    for word in ("$defs", "definitions"):
        if isinstance(schema.get(word), Mapping):
            defined |= {f"#/{word}/{name}": one for name, one in schema[word].items()}

    def next_(target: str) -> list[str]:
        here, found = defined.get(target), []
        stack = [here]
        while stack:
            one = stack.pop()
            if isinstance(one, Mapping):
                if isinstance(one.get("$ref"), str):
                    found.append(one["$ref"])
                for word in ("allOf", "anyOf", "oneOf"):
                    stack.extend(one[word] if isinstance(one.get(word), list) else ())
        return found

    for start in list(defined)[:200]:
        seen, todo = set(), next_(start)
        while todo:
            target = todo.pop()
            if target == start:
                return start
            if target not in seen:
                seen.add(target)
                todo.extend(next_(target))
    return ""


def _icons(thing: Thing) -> Iterator[CheckResult]:
    icons = thing.definition.get("icons")
    for number, icon in enumerate(icons if isinstance(icons, list) else ()):
        source = icon.get("src") if isinstance(icon, Mapping) else icon
        if not isinstance(source, str):
            continue
        at = f"{thing.pointer}/icons/{number}/src"
        scheme = source.strip().partition(":")[0].lower() if ":" in source else ""
        if scheme == "https" or (scheme == "data" and _DATA_IMAGE.match(source) and not _ACTIVE.search(_shown(source[:40_000]))):
            continue
        why = "an image that can hold a script" if scheme == "data" else f"the scheme {scheme[:20]!r}" if scheme else "no scheme"
        yield _found(thing, at, f"its icon has {why}", source=source[:200])


def _shown(source: str) -> str:
    """Return a picture of an address of its own with what its Base64 or percent signs hold."""
    head, _, body = source.partition(",")
    if not re.match(r"data:image/svg", head, re.IGNORECASE):
        return source
    with contextlib.suppress(ValueError):
        plain = base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8", "replace") if "base64" in head.lower() else unquote(body)
        return f"{source} {plain}"
    return source
