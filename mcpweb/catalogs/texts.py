"""Texts from outside as plain values: JSON (with comments) and YAML (one document, no tags, few aliases), bounded and placed.

Whatever is wrong with a text is an InvalidInput that names line and column. No value of a text is executed, fetched or built
into anything but dicts, lists and scalars.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NoReturn

from mcpweb.errors import FieldError, InvalidInput

LARGEST = 10 << 20
DEEPEST = 32
MOST_NODES = 400_000
MOST_ALIASES = 100
MOST_MARKS = 2_000_000  # commas and colons of JSON
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_EXTRAS = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_COMMAS = re.compile(r'"(?:[^"\\\n]|\\.)*"|,(?=\s*[}\]])')
_SPACE = re.compile(r"[ \t\r\n]*")
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE, _FALSE = frozenset(("true", "True", "TRUE")), frozenset(("false", "False", "FALSE"))
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?")
_STANDARD_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "int", "float", "bool", "null"))


class Plain(str):
    """A scalar of YAML that was written without quotes: its text, and the value it stands for."""

    value: Any


class Text:
    """A text that was read: its value, and where each part of it stands."""

    def __init__(self, text: str, kind: str, value: Any) -> None:
        self.text, self.kind, self.value = text, kind, value

    def place(self, pointer: str) -> str:
        """Return the line and column of what a JSON pointer names, or of the nearest thing around it."""
        steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
        at = _json_place(self.text, steps) if self.kind == "json" else _yaml_place(self.text, steps)
        return _line_column(self.text, at) if isinstance(at, int) else f"line {at[0]}, column {at[1]}"


def decoded(data: bytes) -> str:
    """Return an uploaded file as text. Raises InvalidInput."""
    if len(data) > LARGEST:
        _too_large()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _fault("The file is not UTF-8 text.", f"line {line}", "not UTF-8") from None


def read(text: str) -> Text:
    """Return what a JSON or YAML text says. Raises InvalidInput with the place of the fault."""
    if len(text) > LARGEST:
        _too_large()
    try:
        if len(text.encode()) > LARGEST:
            _too_large()
    except UnicodeEncodeError as error:
        raise _fault("The text is not valid Unicode.", _line_column(text, error.start), "half a character") from None
    if not text.strip():
        raise InvalidInput("There is no text.", errors=[FieldError("", "nothing")])
    if text.lstrip()[0] in "{[":
        return _read_json(text)
    return Text(text, "yaml", _read_yaml(text))


def _too_large() -> NoReturn:
    raise InvalidInput(f"A text has at most {LARGEST >> 20} MiB.", errors=[FieldError("", "too large")])


def _fault(sentence: str, place: str, detail: str, pointer: str = "") -> InvalidInput:
    return InvalidInput(sentence, errors=[FieldError(pointer, f"{place}: {detail}")])


def _line_column(text: str, at: int) -> str:
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


# JSON


def _read_json(text: str) -> Text:
    _check_depth(text)
    try:
        return Text(text, "json", _loads(text))
    except json.JSONDecodeError as error:
        plain = _without_extras(text)
        try:
            return Text(plain, "json", _loads(plain))
        except json.JSONDecodeError:
            pass
        raise _fault("This is not JSON.", f"line {error.lineno}, column {error.colno}", error.msg) from None
    except ValueError as error:
        raise InvalidInput("This is not JSON.", errors=[FieldError("", str(error)[:200])]) from None


def _check_depth(text: str) -> None:
    if text.count(",") + text.count(":") > MOST_MARKS:
        raise InvalidInput("The text has too many parts.", errors=[FieldError("", f"more than {MOST_MARKS}")])
    depth = nodes = 0
    for found in _BRACKETS.finditer(text):
        char = found[0]
        if char in ("{", "["):
            depth, nodes = depth + 1, nodes + 1
            if depth > DEEPEST:
                raise _fault(
                    f"The text is nested more than {DEEPEST} levels deep.", _line_column(text, found.start()), "too deep"
                )
            if nodes > MOST_NODES:
                raise _fault("The text has too many parts.", _line_column(text, found.start()), f"more than {MOST_NODES}")
        elif char in ("}", "]"):
            depth -= 1


def _loads(text: str) -> Any:
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        if len(made) != len(found):
            seen: set[str] = set()
            twice.append(next(name for name, _ in found if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
        return made

    value = json.loads(text, object_pairs_hook=pairs, parse_constant=_constant)
    if "\\u" in text:  # an escape may stand for half a character, which no file or table holds
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a character") from None
    if twice:
        written = json.dumps(twice[0], ensure_ascii=False)
        at, key = max(text.rfind(written), 0), twice[0]
        if len(text) < 1 << 20:  # exactly, in a while
            at, key = next(_doubles(text, _SPACE.match(text).end()))  # type: ignore[union-attr]
        raise _fault("A name stands twice in one object.", _line_column(text, at), f"{key[:80]!r} again")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _without_extras(text: str) -> str:
    """Return JSON without comments and trailing commas, every other character at its place."""

    def blank(found: re.Match[str]) -> str:
        return found[0] if found[0][0] == '"' else re.sub(r"[^\n]", " ", found[0])

    return _COMMAS.sub(blank, _EXTRAS.sub(blank, text))


def _doubles(text: str, at: int) -> Iterator[tuple[int, str]]:
    """Yield the places of names that stand twice in one object, in the order of the text."""
    for start, key, begin, first in _members(text, at):
        if not first:
            yield start, str(key)
        if text[begin] in "{[":
            yield from _doubles(text, begin)


def _members(text: str, at: int) -> Iterator[tuple[int, str | int, int, bool]]:
    """Yield the members of the object or list at a place: where each stands, its name, its value's place, first of its name."""
    closing = "}" if text[at] == "{" else "]"
    seen: set[str] | None = set() if closing == "}" else None
    index = 0
    decoder = json.JSONDecoder(strict=True)
    at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
    while text[at] != closing:
        start, first = at, True
        key: str | int = index
        if seen is not None:
            name, at = scanstring(text, at + 1, True)
            key, first = name, name not in seen
            seen.add(name)
            at = _SPACE.match(text, _SPACE.match(text, at).end() + 1).end()  # type: ignore[union-attr]
        yield start, key, at, first
        _value, at = decoder.raw_decode(text, at)
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if text[at] == ",":
            at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
        index += 1


def _json_place(text: str, steps: list[str]) -> int:
    at = start = _SPACE.match(text).end()  # type: ignore[union-attr]
    for step in steps:
        if text[at] not in "{[":
            break
        for where, key, begin, _first in _members(text, at):
            if str(key) == step:
                start, at = where, begin
                break
        else:
            break
    return start


# YAML


def _read_yaml(text: str) -> Any:
    import yaml

    try:
        return _Builder(text).build()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "line 1"
        raise _fault("This is not YAML.", place, (error.problem or "not readable")[:200]) from None
    except yaml.reader.ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        place = f"line {text.encode()[:position].count(10) + 1}"
        raise _fault("This is not YAML.", place, "a character that may not stand there") from None
    except yaml.YAMLError as error:
        raise _fault("This is not YAML.", "line 1", str(error)[:200]) from None


def _events(text: str) -> Iterator[Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: Iterator[Any] = yaml.parse(text, Loader=loader)
    return events


class _Builder:
    """Builds plain values from the events of YAML: one document, bounded, nothing expanded that an alias names."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._nodes = self._aliases = 0
        self._anchors: dict[str, tuple[Any, int]] = {}

    def build(self) -> Any:
        import yaml

        documents, result = 0, None
        stack: list[_Open] = []
        for event in _events(self._text):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._wrong(event, "only one document is taken")
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._check(event)
                stack.append(_Open(event, {} if isinstance(event, yaml.MappingStartEvent) else [], self._nodes))
                if len(stack) > DEEPEST:
                    raise self._wrong(event, f"nested more than {DEEPEST} levels deep")
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                done = stack.pop()
                self._anchor(done.event, done.value, self._nodes - done.before + 1)
                result = self._add(stack, done.event, done.value)
            elif isinstance(event, yaml.ScalarEvent):
                self._check(event)
                value = _scalar(event)
                self._anchor(event, value, 1)
                result = self._add(stack, event, value)
            elif isinstance(event, yaml.AliasEvent):
                result = self._add(stack, event, self._alias(event))
        return result

    def _check(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise self._wrong(event, f"more than {MOST_NODES} parts")
        if event.tag is not None and event.tag not in _STANDARD_TAGS and event.tag != "!":
            raise self._wrong(event, "tags are not taken")

    def _anchor(self, event: Any, value: Any, weight: int) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, weight)

    def _alias(self, event: Any) -> Any:
        self._aliases += 1
        if self._aliases > MOST_ALIASES:
            raise self._wrong(event, f"more than {MOST_ALIASES} aliases")
        if event.anchor not in self._anchors:
            raise self._wrong(event, "an alias of something that is not complete, or not there")
        value, weight = self._anchors[event.anchor]
        self._nodes += weight  # what walks the value meets so many
        if self._nodes > MOST_NODES:
            raise self._wrong(event, f"with its aliases it has more than {MOST_NODES} parts")
        return value

    def _add(self, stack: list[_Open], event: Any, value: Any) -> Any:
        if not stack:
            return value
        top = stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            if value is None or isinstance(value, (dict, list)):
                raise self._wrong(event, "a name is a text")
            key = str(value)
            if key == "<<" and isinstance(value, Plain):
                raise self._wrong(event, "merge keys are not taken")
            if key in top.value:
                raise self._wrong(event, f"{key[:80]!r} stands there already")
            top.key = key
        else:
            top.value[top.key], top.key = value, None
        return None

    def _wrong(self, event: Any, detail: str) -> InvalidInput:
        mark = event.start_mark
        return _fault("This YAML is not taken.", f"line {mark.line + 1}, column {mark.column + 1}", detail)


class _Open:
    """A mapping or list whose end is still to come."""

    def __init__(self, event: Any, value: Any, before: int) -> None:
        self.event, self.value, self.before = event, value, before
        self.key: str | None = None


def _scalar(event: Any) -> Any:
    """Return a scalar as YAML 1.2 reads it: no dates, no base 60, no yes and no."""
    text = event.value
    if event.style in ("'", '"', "|", ">") or event.tag == "tag:yaml.org,2002:str":
        return str(text)
    if text in _NULL:
        return None
    made = Plain(text)
    if text in _TRUE or text in _FALSE:
        made.value = text in _TRUE
    elif _INTEGER.fullmatch(text):
        made.value = int(text)
    elif _FLOAT.fullmatch(text):
        made.value = float(text)
    else:
        made.value = str(text)
    return made


def _yaml_place(text: str, steps: list[str]) -> tuple[int, int]:
    import yaml

    best, matched = (1, 1), 0
    stack: list[list[Any]] = []  # [is a mapping, its next name or number, how many steps lead to it or -1]
    for event in _events(text):
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            stack.pop()
            continue
        if not isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            continue
        mark: Any = event.start_mark
        here = (mark.line + 1, mark.column + 1)
        depth = 0
        if stack:
            top = stack[-1]
            if top[0] and top[1] is None:
                top[1] = event.value if isinstance(event, yaml.ScalarEvent) else ""
                top[3] = here
                continue
            fits = top[2] >= 0 and top[2] < len(steps) and steps[top[2]] == str(top[1])
            depth = top[2] + 1 if fits else -1
            if fits and depth > matched:
                best, matched = (top[3] if top[0] else here), depth
            top[1] = None if top[0] else top[1] + 1
        elif not matched:
            best = here
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            mapping = isinstance(event, yaml.MappingStartEvent)
            stack.append([mapping, None if mapping else 0, depth, here])
        if matched == len(steps) and matched:
            break
    return best
