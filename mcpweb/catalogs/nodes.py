"""Reading a value of a text field by field: what has another type than it should is noted with its place, not raised at once."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mcpweb.catalogs.draft import Lost
from mcpweb.catalogs.texts import Plain, Text
from mcpweb.errors import FieldError, InvalidInput

MOST_FAULTS = 20
LONGEST = 4000


class Faults:
    """What is wrong with a text; ``check`` raises when anything is, and the twentieth fault does by itself."""

    def __init__(self, source: Text) -> None:
        self._source = source
        self._errors: list[FieldError] = []

    def add(self, pointer: str, detail: str) -> None:
        self._errors.append(FieldError(pointer, f"{self._source.place(pointer)}: {detail}"))
        if len(self._errors) >= MOST_FAULTS:
            self.check()

    def check(self) -> None:
        if self._errors:
            raise InvalidInput("The text does not say what it should.", errors=self._errors)


class Node:
    """One value of a text with its pointer."""

    def __init__(self, value: Any, pointer: str, faults: Faults) -> None:
        self._value, self.pointer, self._faults = value, pointer, faults

    @property
    def value(self) -> Any:
        return self._value.value if isinstance(self._value, Plain) else self._value

    @property
    def missing(self) -> bool:
        return self._value is None

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self._value, list)

    def wrong(self, detail: str) -> None:
        """Note that this value is not what it should be."""
        self._faults.add(self.pointer, detail)

    def at(self, *names: str) -> Node:
        """Return a member by the first of its names that is there; a missing one is a node too."""
        inner = self._value if isinstance(self._value, dict) else {}
        name = next((one for one in names if inner.get(one) is not None), names[0])
        return Node(inner.get(name), f"{self.pointer}/{_step(name)}", self._faults)

    def has(self, *names: str) -> bool:
        return isinstance(self._value, dict) and any(self._value.get(name) is not None for name in names)

    def text(self, most: int = LONGEST) -> str:
        """Return a text, also of a number or a truth; empty when it is missing or something else, which is noted."""
        if self._value is None:
            return ""
        if isinstance(self._value, bool):
            return "true" if self._value else "false"
        if isinstance(self._value, (dict, list)):
            self.wrong("should be a text")
            return ""
        found = str(self._value)
        if len(found) > most:
            self.wrong(f"longer than {most} characters")
            return ""
        if "\x00" in found:
            self.wrong("holds a zero byte")
            return ""
        return found

    def prose(self, most: int = LONGEST) -> str:
        """Return a text for people, cut when it is long."""
        if isinstance(self._value, str) and len(self._value) > most:
            return str(self._value)[:most].replace("\x00", "") + "…"
        return self.text(most)

    def flag(self) -> bool:
        if self._value is not None and not isinstance(self.value, bool):
            self.wrong("should be true or false")
        return self.value is True

    def number(self) -> int | None:
        if self._value is None:
            return None
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return int(self.value)
        self.wrong("should be a whole number")
        return None

    def each(self) -> list[Node]:
        """Return the members of a list."""
        if self._value is None:
            return []
        if not isinstance(self._value, list):
            self.wrong("should be a list")
            return []
        return [Node(value, f"{self.pointer}/{at}", self._faults) for at, value in enumerate(self._value)]

    def texts(self) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(one.text() for one in self.each())

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield the members of a mapping."""
        if self._value is None:
            return
        if not isinstance(self._value, dict):
            self.wrong("should be a mapping of names to values")
            return
        for name, value in self._value.items():
            yield name, Node(value, f"{self.pointer}/{_step(name)}", self._faults)

    def unknown(self, known: frozenset[str]) -> tuple[Lost, ...]:
        """Return the members nobody reads as lost."""
        if not isinstance(self._value, dict):
            return ()
        return tuple(
            Lost(f"{self.pointer}/{_step(name)[:80]}", "unknown_field") for name in self._value
            if name not in known and not name.startswith(("x-", "_", "$")) and self._value[name] is not None
        )[:10]


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
