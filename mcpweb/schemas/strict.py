"""Fields that take what the document says and nothing else: no number for a flag, no text for a number, no half a character."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

from mcpweb.errors import BadRequest, FieldError, InvalidInput
from mcpweb.schemas.names import NAME

DEPTH = 32
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+ -][0-9]{2}:[0-9]{2})")
_MOST = 1 << 63
OPAQUE = ("arguments", "assertions", "value")
"""Members of a body that belong to somebody else: a tool's arguments, a secret's value. A zero in them is theirs."""


class Matches(validate.Validator):
    """A whole text that fits a pattern; the document shows the pattern."""

    def __init__(self, pattern: re.Pattern[str], error: str) -> None:
        self._pattern, self.sentence = pattern, error
        self.regex = re.compile(f"^(?:{pattern.pattern})$")

    def __call__(self, value: str) -> str:
        if not self._pattern.fullmatch(value):
            raise ValidationError(self.sentence)
        return value


NAMED = Matches(NAME, "a name of up to 63 letters, digits, dots, dashes and underscores")


class Flag(fields.Boolean):
    """True or false in JSON."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class AskedFlag(fields.Boolean):
    """``true`` or ``false`` in a query."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise ValidationError("true or false")
        return bool(value == "true")


class AskedWhole(fields.Integer):
    """A whole number in a query."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not _WHOLE.fullmatch(value):
            raise ValidationError("a whole number")
        return int(value)


class Moment(fields.String):
    """A day or a time with its zone (RFC 3339), turned into what rows hold; a day begins at midnight UTC."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"description": "A day (UTC) or an RFC 3339 time."}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        try:
            if _DAY.fullmatch(value):
                return f"{date.fromisoformat(value)} 00:00:00.000"
            if not _MOMENT.fullmatch(value):
                raise ValueError
            at = datetime.fromisoformat(value[:19] + value[19:].replace(" ", "+").upper())
            return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        except (TypeError, ValueError, OverflowError):
            raise ValidationError("a day such as 2026-11-24, or a time such as 2026-11-24T08:00:00Z") from None


def parsed(text: bytes) -> dict[str, Any]:
    """Return a body as the object it is. Raises BadRequest for no JSON object, InvalidInput for texts that cannot be kept."""
    try:
        data = json.loads(text.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise BadRequest("The body must be a JSON object.", code="not_json") from None
    if not isinstance(data, dict):
        raise BadRequest("The body must be a JSON object.", code="not_json")
    faults: list[FieldError] = []
    for key, value in data.items():
        _look(value, "/" + _step(key), 2, faults, opaque=key in OPAQUE)
        if not _is_text(key):
            faults.append(FieldError("", "a name holds half a character or a zero"))
    if faults:
        raise InvalidInput("The body is not valid.", errors=faults[:20])
    return data


def _look(value: Any, pointer: str, depth: int, faults: list[FieldError], *, opaque: bool) -> None:
    if depth > DEPTH and isinstance(value, dict | list):
        raise BadRequest(f"JSON is nested at most {DEPTH} levels deep.")
    if isinstance(value, str) and not _is_text(value, zero=opaque):
        faults.append(FieldError(pointer, "holds half a character" if opaque else "holds half a character or a zero"))
    elif isinstance(value, int) and not opaque and not -_MOST < value < _MOST:
        faults.append(FieldError(pointer, "a number below 2^63"))
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        faults.append(FieldError(pointer, "a number that is finite"))
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not _is_text(key, zero=opaque):
                faults.append(FieldError(pointer, "a name holds half a character or a zero"))
            _look(inner, f"{pointer}/{_step(key)}", depth + 1, faults, opaque=opaque)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            _look(inner, f"{pointer}/{at}", depth + 1, faults, opaque=opaque)


def _is_text(value: str, *, zero: bool = False) -> bool:
    if not zero and "\x00" in value:
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _step(key: str) -> str:
    clean = key.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return clean.replace("~", "~0").replace("/", "~1")[:100]


def _no_number(word: str) -> Any:
    raise ValueError(word)
