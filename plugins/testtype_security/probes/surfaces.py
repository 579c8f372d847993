"""What of a server takes input: its tools, resource templates and prompts, each field that may hold a text, and valid
arguments around it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["text", "number", "any"]
MOST_FIELDS = 40  # of one surface
MOST_DEPTH = 6
MOST_BASES = 6

_HINTS = (
    (r"url|uri|link|endpoint|href|webhook|callback|feed", "http://example.com/"),
    (r"host|domain|server|address|\bip\b", "localhost"),
    (r"mail", "probe@example.com"),
    (r"time.?zone|\btz\b", "UTC"),
    (r"date|day", "2026-01-01"),
    (r"time", "12:00"),
    (r"glob", "*"),
    (r"regex|pattern", ".*"),
    (r"file.?name|filename|file", "probe.txt"),
    (r"path|dir|folder|root|cwd", "."),
    (r"expr|formula|calc|equation", "1+1"),
    (r"command|cmd", "ls"),
    (r"branch|revision|\bref\b", "main"),
    (r"json", "{}"),
    (r"xml|html|svg", "<a/>"),
    (r"yaml|yml", "a: 1"),
    (r"\bid\b|_id|number", "1"),
    (r"lang|locale", "en"),
)
_FORMATS = {
    "uri": "http://example.com/",
    "url": "http://example.com/",
    "email": "probe@example.com",
    "date": "2026-01-01",
    "date-time": "2026-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "uuid": "6f1f6b1e-4c3a-4d52-9a57-0d9b2f0a7c11",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "hostname": "localhost",
    "uri-reference": "/",
    "regex": ".*",
    "json-pointer": "/a",
}
_QUOTED = re.compile(r"(?:e\.?g\.?|example|such as|like|default)[^'\"`]{0,20}['\"`]([^'\"`\n]{1,120})['\"`]", re.IGNORECASE)
_SIMPLE = ("probe", "a", "1", "abc123", "A1", "probe.txt", "1.0.0", "2026-01-01", "abcdefgh", "00000000", "/a", "a-b", "main")


@dataclass(frozen=True)
class Surface:
    """Something of a server that takes arguments."""

    kind: Literal["tool", "template", "prompt"]
    name: str
    definition: Mapping[str, Any]
    schema: Mapping[str, Any]
    checks: frozenset[str] = frozenset()  # it is for these alone, where there are any

    def is_for(self, check: str) -> bool:
        return not self.checks or check in self.checks

    @property
    def title(self) -> str:
        """The name under which verdicts stand."""
        return self.name if self.kind == "tool" else f"{self.kind}:{self.name}"

    @property
    def words(self) -> str:
        """All that is said of it to people, in small letters; a hint for order and severity, never for a verdict."""
        told = [self.name, str(self.definition.get("title", "")), str(self.definition.get("description", ""))]
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", " ".join(told)).replace("_", " ").replace("-", " ").lower()

    def request(self, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return method and parameters that use it."""
        if self.kind == "tool":
            return "tools/call", {"name": self.name, "arguments": dict(arguments)}
        if self.kind == "prompt":
            return "prompts/get", {"name": self.name, "arguments": {name: str(value) for name, value in arguments.items()}}
        uri = re.sub(
            r"\{[+#./;?&]?(\w+)\*?\}", lambda found: str(arguments.get(found[1], "")), str(self.definition["uriTemplate"])
        )
        return "resources/read", {"uri": uri}


@dataclass(frozen=True)
class Point:
    """One field of a surface, with valid arguments around it."""

    surface: Surface
    pointer: str
    kind: Kind
    schema: Mapping[str, Any]
    bases: tuple[Mapping[str, Any], ...]
    valid: str = "probe"

    @property
    def field(self) -> str:
        return self.pointer.rstrip("/0123456789").rpartition("/")[2] or self.pointer

    @property
    def words(self) -> str:
        """What is said of the field and of the surface."""
        field_ = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.field).replace("_", " ").replace("-", " ").lower()
        return f"{field_} {str(self.schema.get('description', '')).lower()} {self.surface.words}"

    def arguments(self, value: Any, base: int = 0) -> dict[str, Any]:
        """Return valid arguments with this value in the field."""
        arguments = copy.deepcopy(dict(self.bases[base % len(self.bases)]))
        place(arguments, self.pointer, value)
        return arguments


def surfaces(listings: Mapping[str, Sequence[Any]]) -> list[Surface]:
    """Return the surfaces of a server's lists (tools, resourceTemplates, prompts)."""
    found = []
    for tool in listings.get("tools", ()):
        if isinstance(tool, Mapping) and isinstance(tool.get("name"), str):
            schema = tool.get("inputSchema")
            found.append(Surface("tool", tool["name"], tool, schema if isinstance(schema, Mapping) else {}))
    for template in listings.get("resourceTemplates", ()):
        if isinstance(template, Mapping) and isinstance(template.get("uriTemplate"), str):
            names = re.findall(r"\{[+#./;?&]?(\w+)\*?\}", template["uriTemplate"])
            schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
            found.append(Surface("template", str(template.get("name") or template["uriTemplate"]), template, schema))
    found += _listed(listings.get("resources", ()), listings.get("resourceTemplates", ()))
    for prompt in listings.get("prompts", ()):
        if isinstance(prompt, Mapping) and isinstance(prompt.get("name"), str):
            taken = [one for one in prompt.get("arguments") or () if isinstance(one, Mapping) and one.get("name")]
            schema = {
                "type": "object",
                "required": [one["name"] for one in taken if one.get("required")],
                "properties": {
                    str(one["name"]): {"type": "string", "description": str(one.get("description", ""))} for one in taken
                },
            }
            found.append(Surface("prompt", prompt["name"], prompt, schema))
    return found


def _listed(resources: Sequence[Any], templates: Sequence[Any]) -> Iterator[Surface]:
    """Yield what is read by an address that nobody but the list has named: all of it, and what follows its scheme and place."""
    uris = [str(one["uri"]) for one in resources if isinstance(one, Mapping) and "://" in str(one.get("uri", ""))]
    begun = [str(one.get("uriTemplate")).partition("{")[0] for one in templates if isinstance(one, Mapping)]
    places: dict[str, str] = {}
    for uri in uris[:100]:
        scheme, _, rest = uri.partition("://")
        place_, slash, name = rest.partition("/")
        start, end = (f"{scheme}://{place_}/", name) if slash and name else (f"{scheme}://", rest)
        if start not in places and not any(one and (start.startswith(one) or one.startswith(start)) for one in begun):
            places[start] = end
    for start, end in list(places.items())[:3]:
        yield _addressed(start, f"{start}{{+rest}}", "rest", end)
    if places:
        yield _addressed("any address", "{+uri}", "uri", uris[0])


def _addressed(name: str, template: str, field_: str, valid: str) -> Surface:
    schema = {"type": "object", "properties": {field_: {"type": "string", "examples": [valid]}}, "required": [field_]}
    checks = frozenset(("D02", "D03", "D04") if template == "{+uri}" else ("D02", "D04", "D06"))
    return Surface("template", name, {"uriTemplate": template, "name": name}, schema, checks)


def points(surface: Surface, known: Sequence[Mapping[str, Any]] = ()) -> list[Point]:
    """Return the fields of a surface, texts first. ``known`` are valid arguments from elsewhere, used as further bases."""
    document = _Document(surface.schema)
    found: dict[str, Point] = {}
    for alternative in document.alternatives(surface.schema):
        for pointer, leaf in document.leaves(alternative, "", 0):
            if pointer in found or len(found) >= MOST_FIELDS:
                continue
            bases: list[Mapping[str, Any]] = [dict(one) for one in known[:1] if _reaches(one, pointer)]  # what worked comes first
            bases += [one for one in document.bases(alternative, pointer) if one not in bases]
            bases += [one for one in known[1:] if _reaches(one, pointer) and one not in bases]
            valid = document.example(leaf, pointer.rpartition("/")[2])
            kind = document.kind(leaf)
            found[pointer] = Point(
                surface, pointer, kind, leaf, tuple(bases[:MOST_BASES]), valid if isinstance(valid, str) else str(valid)
            )
    return sorted(found.values(), key=lambda point: ("text", "any", "number").index(point.kind))


def place(arguments: dict[str, Any], pointer: str, value: Any) -> None:
    """Put a value where a JSON pointer points; what is missing on the way is made."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    at: Any = arguments
    for here, after in zip(steps, [*steps[1:], None], strict=True):
        last = after is None
        inner = value if last else ([] if str(after).isdigit() else {})
        if isinstance(at, list):
            number = min(int(here) if here.isdigit() else 0, len(at))
            if number == len(at):
                at.append(inner)
            elif last or not isinstance(at[number], dict | list):
                at[number] = inner
            at = at[number]
        else:
            if last or not isinstance(at.get(here), dict | list):
                at[here] = inner
            at = at[here]


def _reaches(arguments: Mapping[str, Any], pointer: str) -> bool:
    at: Any = arguments
    for step in pointer.split("/")[1:-1]:
        at = (
            at[int(step)]
            if isinstance(at, list) and step.isdigit() and int(step) < len(at)
            else at.get(step)
            if isinstance(at, Mapping)
            else None
        )
    return isinstance(at, Mapping | list)


@dataclass
class _Document:
    """A schema that is walked: references within it are followed, a bounded number of them."""

    root: Mapping[str, Any]
    _followed: int = field(default=0)

    def resolved(self, schema: Any) -> Mapping[str, Any]:
        for _ in range(8):
            reference = schema.get("$ref") if isinstance(schema, Mapping) else None
            if not isinstance(reference, str) or not reference.startswith("#"):
                break
            at: Any = self.root
            for step in reference[1:].split("/")[1:]:
                at = at.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(at, Mapping) else None
            schema = {**(at if isinstance(at, Mapping) else {}), **{n: v for n, v in schema.items() if n != "$ref"}}
        return schema if isinstance(schema, Mapping) else {}

    def alternatives(self, schema: Any) -> Sequence[Mapping[str, Any]]:
        """Return the schema with each of its branches merged in; itself when it has none."""
        schema = self.resolved(schema)
        merged = dict(schema)
        for part in schema.get("allOf") or ():
            merged = _merged(merged, self.resolved(part))
        branches = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())][:8]
        if schema.get("then"):
            branches.append(schema["then"])
        rest = {name: value for name, value in merged.items() if name not in ("anyOf", "oneOf", "allOf", "if", "then", "else")}
        made = [_merged(rest, self.resolved(branch)) for branch in branches if isinstance(branch, Mapping)]
        return made or [rest]

    def kind(self, schema: Mapping[str, Any]) -> Kind:
        kinds = schema.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds] if kinds else []
        if "string" in kinds or (not kinds and isinstance((schema.get("enum") or [None])[0], str)):
            return "text"
        return "number" if kinds else "any"

    def leaves(self, schema: Mapping[str, Any], pointer: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        self._followed += 1
        if depth > MOST_DEPTH or self._followed > 2000:
            return
        properties = schema.get("properties")
        kinds = schema.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if isinstance(properties, Mapping) and properties:
            for name, inner in properties.items():
                step = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
                for alternative in self.alternatives(inner):
                    yield from self.leaves(alternative, step, depth + 1)
        elif "array" in kinds or "items" in schema or "prefixItems" in schema:
            items = schema.get("items") if isinstance(schema.get("items"), Mapping) else (schema.get("prefixItems") or [{}])[0]
            for alternative in self.alternatives(items if isinstance(items, Mapping) else {}):
                yield from self.leaves(alternative, f"{pointer}/0", depth + 1)
        elif "object" in kinds and pointer:
            more = schema.get("additionalProperties", True)
            if more is not False:
                inner = more if isinstance(more, Mapping) and more else {"type": "string"}
                for alternative in self.alternatives(inner):
                    yield from self.leaves(alternative, f"{pointer}/probe", depth + 1)
        elif pointer and "const" not in schema and kinds != ["null"]:
            yield pointer, schema

    def bases(self, schema: Mapping[str, Any], pointer: str) -> Iterator[Mapping[str, Any]]:
        """Yield arguments around a field: what is required, everything, and one for each other choice there is."""
        least = self.object(schema, "", 0, False)
        yield least
        whole = self.object(schema, "", 0, True)
        if whole != least:
            yield whole
        for name, inner in (schema.get("properties") or {}).items():
            inner = self.alternatives(inner)[0]
            choices = inner.get("enum") or ([True, False] if inner.get("type") == "boolean" else [])
            for choice in list(choices)[:8]:
                if f"/{name}" != pointer and least.get(name) != choice:
                    yield {**least, name: choice}

    def object(self, schema: Mapping[str, Any], name: str, depth: int, whole: bool) -> dict[str, Any]:
        properties = schema.get("properties")
        required = schema.get("required")
        wanted = required if isinstance(required, list) else []
        made = {}
        for key, inner in properties.items() if isinstance(properties, Mapping) else ():
            if whole or key in wanted:
                made[key] = self.example(inner, key, depth + 1)
        return made

    def example(self, schema: Any, name: str = "", depth: int = 0, whole: bool = False) -> Any:
        """Return one value that is valid as far as a simple look can tell."""
        schema = self.alternatives(schema)[0]
        for key in ("const", "default"):
            if schema.get(key) is not None:
                return schema[key]
        for key in ("enum", "examples"):
            if isinstance(schema.get(key), list) and schema[key]:
                return schema[key][0]
        kinds = schema.get("type")
        kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
        if kind == "object" or (kind is None and "properties" in schema):
            return self.object(schema, name, depth, whole) if depth < MOST_DEPTH else {}
        if kind == "array":
            items = schema.get("items")
            return [self.example(items if isinstance(items, Mapping) else {}, name, depth + 1)] if depth < MOST_DEPTH else []
        if kind in ("integer", "number"):
            return _number(schema)
        if kind == "boolean":
            return False
        return None if kind == "null" else _text(schema, name)


def _merged(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    both = {**one, **two}
    if isinstance(one.get("properties"), Mapping) and isinstance(two.get("properties"), Mapping):
        both["properties"] = {**one["properties"], **two["properties"]}
    if isinstance(one.get("required"), list) and isinstance(two.get("required"), list):
        both["required"] = [*one["required"], *two["required"]]
    return both


def _number(schema: Mapping[str, Any]) -> int | float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    if isinstance(low, int | float):
        return low + 1 if "exclusiveMinimum" in schema else low
    high = schema.get("maximum")
    return min(1, high) if isinstance(high, int | float) else 1


def _text(schema: Mapping[str, Any], name: str) -> str:
    told = _QUOTED.search(str(schema.get("description", "")))
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    guesses = [told[1]] if told else []
    guesses += [_FORMATS[schema["format"]]] if schema.get("format") in _FORMATS else []
    guesses += [value for words, value in _HINTS if re.search(words, plain)]
    guesses += [*_SIMPLE, "a" * int(_bound(schema.get("minLength"), 1))]
    return next((guess for guess in guesses if _fits(schema, guess)), guesses[0])


def _bound(value: Any, default: int) -> int:
    return min(value, 4096) if isinstance(value, int) and value >= 0 else default


def _fits(schema: Mapping[str, Any], text: str) -> bool:
    if not _bound(schema.get("minLength"), 0) <= len(text) <= _bound(schema.get("maxLength"), 4096):
        return False
    pattern = schema.get("pattern")
    if not isinstance(pattern, str) or len(pattern) > 200 or re.search(r"[+*}]\)[+*{]", pattern):
        return True
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def strings(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield every text in a JSON value, names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping) and depth < 40:
        for name, inner in value.items():
            yield str(name)
            yield from strings(inner, depth + 1)
    elif isinstance(value, list) and depth < 40:
        for inner in value:
            yield from strings(inner, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield json.dumps(value)


def least(surface: Surface) -> dict[str, Any]:
    """Return the least valid arguments of a surface."""
    fields = points(surface)
    return dict(fields[0].bases[0]) if fields and fields[0].bases else {}
