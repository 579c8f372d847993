"""What a change changed, as audit rows tell it: before and after, field by field, short, and no value that might be secret."""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcpweb.schemas.definitions import field_changes

MOST = 20
_LONGEST = 120
HIDDEN = ("/environment/", "/command", "/entrypoint")
"""Where people type values that are not called secrets and are some all the same; a log that keeps everything has none."""


def of(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, object]:
    """Return ``{"changes": [[field, before, after], …]}`` for the detail of an audit row, nothing when nothing differs."""
    found = [
        [one.pointer.removeprefix("/"), *(_told(one.pointer, value) for value in (one.before, one.after))]
        for one in field_changes(before, after)[:MOST]
    ]
    return {"changes": found} if found else {}


def _told(pointer: str, value: Any) -> str:
    if value is None:
        return ""
    if pointer.startswith(HIDDEN) or (isinstance(value, dict) and f"{pointer}/".startswith(HIDDEN)):
        return "…"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
