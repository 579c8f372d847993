"""Every string of what a server tells about itself, with its JSON pointer: values, keys, unknown fields, at any depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

MOST_STRINGS = 20_000
MOST_CHARS = 64 * 1024
_PROSE = frozenset({"description", "title", "instructions", "summary", "$comment", "text"})

Role = Literal["name", "prose", "key", "value"]


@dataclass(frozen=True)
class Text:
    """One string as it was told. ``role`` is what it is there for: a name, prose for readers, a key, any other value."""

    pointer: str
    text: str
    role: Role
    parent: str = ""  # the key it stands under

    @property
    def shown(self) -> str:
        return self.text[:MOST_CHARS]


@dataclass(frozen=True)
class Thing:
    """A tool, prompt, resource or template, or what the server says of itself, as it was told."""

    kind: Literal["tool", "prompt", "resource", "template", "instructions", "server"]
    name: str
    definition: Any
    pointer: str  # of the whole, in our own numbering: /tools/NAME

    @property
    def texts(self) -> list[Text]:
        return list(strings(self.definition, self.pointer))

    @property
    def tool(self) -> str:
        """The name results go under: only tools have one of their own."""
        return self.name if self.kind == "tool" else "*"


def escaped(part: object) -> str:
    """Return a key as a part of a JSON pointer."""
    return str(part).replace("~", "~0").replace("/", "~1")


def strings(value: Any, pointer: str = "") -> Iterator[Text]:
    """Yield every string in reading order; keys count unless they are words of the protocol's own schema."""
    left = MOST_STRINGS
    stack: list[tuple[Any, str, str, str]] = [(value, pointer, "", "")]
    while stack and left > 0:
        here, at, key, above = stack.pop()
        if isinstance(here, str):
            left -= 1
            yield Text(at, here, _role(key, above), key)
        elif isinstance(here, Mapping):
            for name in here:
                if str(name) not in _WORDS:
                    left -= 1
                    yield Text(f"{at}/{escaped(name)}", str(name), "key", key)
            stack.extend((inner, f"{at}/{escaped(name)}", str(name), key) for name, inner in reversed(list(here.items())))
        elif isinstance(here, Sequence) and not isinstance(here, bytes):
            stack.extend((inner, f"{at}/{number}", key, above) for number, inner in reversed(list(enumerate(here))))


def _role(key: str, above: str) -> Role:
    if above in ("properties", "$defs", "definitions", "patternProperties"):
        return "value"
    if key == "name":
        return "name"
    return "prose" if key in _PROSE else "value"


_WORDS = frozenset(
    """name title description inputSchema outputSchema annotations type properties required additionalProperties items enum
    default examples const format pattern minimum maximum minLength maxLength minItems maxItems uniqueItems anyOf oneOf allOf
    not $ref $defs $schema $id definitions readOnlyHint destructiveHint idempotentHint openWorldHint uri uriTemplate mimeType
    arguments icons src sizes theme _meta audience priority lastModified size execution taskSupport instructions version
    websiteUrl""".split()
)
