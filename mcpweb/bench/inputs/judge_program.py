"""The judge: evaluates JSON Schemas of strangers in a process of its own, which may be ended at any moment.

One request a line, one answer a line: ``{"schema": …, "values": […], "formats": bool}`` is answered by
``{"fault": "why the schema is unusable"}`` or ``{"verdicts": [[["/pointer", "message"], …] or "why undecided", …]}``.
Only the standard library and jsonschema_rs: it is started by path, isolated from everything else of ours.
"""
from __future__ import annotations

import json
import resource
import sys
from typing import Any

import jsonschema_rs

MEMORY_BYTES = 1 << 30
CPU_S = 600  # for one whose owner died while it was busy; the owner itself is far less patient
MOST_FAULTS = 20
BACKTRACKS = 20_000
PATTERN_BYTES = 1 << 20
_SECRETS_OF_ENGINES = ("RegexEngineFailure", "BacktrackLimitExceeded")


def pointer(path: Any) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def compiled(schema: Any, formats: bool) -> Any:
    options = jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS, size_limit=PATTERN_BYTES)
    return jsonschema_rs.validator_for(schema, offline=True, pattern_options=options, validate_formats=formats)


def verdict(validator: Any, value: Any) -> list[list[str]] | str:
    found: list[list[str]] = []
    try:
        for error in validator.iter_errors(value):
            if type(error.kind).__name__.rpartition("_")[2] in _SECRETS_OF_ENGINES:
                return "a pattern takes too many steps"
            found.append([pointer(error.instance_path)[:400], error.message[:400]])
            if len(found) == MOST_FAULTS:
                break
    except (ValueError, TypeError, RecursionError, UnicodeError) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return found


def answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        validator = compiled(request["schema"], request["formats"])
    except jsonschema_rs.ValidationError as error:
        where = pointer(error.instance_path)[:400]
        return {"fault": f"{where}: {error.message[:300]}" if where else error.message[:300]}
    except (ValueError, TypeError, RecursionError, UnicodeError, jsonschema_rs.ReferencingError) as error:
        return {"fault": str(error)[:300]}
    return {"verdicts": [verdict(validator, value) for value in request["values"]]}


def main() -> None:
    for limit, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
    for line in sys.stdin.buffer:
        try:
            told = answer(json.loads(line))
        except RecursionError:
            told = {"fault": "It is nested too deep."}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
