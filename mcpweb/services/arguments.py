"""Check a tool's arguments against its input schema, which comes from a stranger.

jsonschema-rs, with a retriever that denies: a remote ``$ref`` must not become a request of ours, and a catastrophic
pattern must not stop us (measured: 27 characters cost another library 8 s). A schema that cannot be compiled checks
nothing; the server then judges its arguments itself.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mcpweb.errors import FieldError, InvalidInput

LARGEST_SCHEMA = 256 * 1024
_MOST_ERRORS = 20


def check(schema: Any, arguments: Mapping[str, Any]) -> None:
    """Raise InvalidInput with a pointer to each fault; return quietly when the schema allows the arguments."""
    faults = faults_of(schema, arguments)
    if faults:
        raise InvalidInput("The arguments do not fit the tool's schema.", errors=faults)


def faults_of(schema: Any, arguments: Mapping[str, Any]) -> list[FieldError]:
    """Return what the schema says against the arguments, at most 20 faults."""
    if not isinstance(schema, dict):
        return []
    validator = _validator(json.dumps(schema))
    if validator is None:
        return []
    try:
        found = []
        for error in validator.iter_errors(dict(arguments)):
            pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path)
            found.append(FieldError(pointer, error.message[:300]))
            if len(found) == _MOST_ERRORS:
                break
        return found
    except (ValueError, TypeError, RecursionError):
        return []


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    """Return the compiled schema, None for one that is too large or cannot be compiled."""
    import jsonschema_rs

    if len(text) > LARGEST_SCHEMA:
        return None
    try:
        return jsonschema_rs.validator_for(
            json.loads(text), retriever=_deny, pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20)
        )
    except (ValueError, TypeError, RecursionError, jsonschema_rs.ReferencingError):
        return None


def _deny(uri: str) -> Any:
    raise ValueError("remote references are not followed")
