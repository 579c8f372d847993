"""One module per table: plain functions that take a connection, frozen dataclasses out. Nothing here commits."""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def dumps(value: Any) -> str:
    """Return JSON text as columns hold it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def loads(text: str | None) -> Any:
    """Return what a JSON column holds, None for NULL."""
    return None if text is None else json.loads(text)


def columns(fields: Mapping[str, Any]) -> str:
    """Return the column list of an INSERT for these named values."""
    return ", ".join(fields)


def parameters(fields: Mapping[str, Any]) -> str:
    """Return the named parameters of an INSERT for these values."""
    return ", ".join(f":{name}" for name in fields)


def contains(part: str) -> str:
    """Return the pattern of ``LIKE … ESCAPE '!'`` for texts that hold this one."""
    return "%" + part.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
