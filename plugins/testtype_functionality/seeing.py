"""What F11 sees with: a writable container, its files, what tools tell, and how annotations are read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mcpweb.plugin import Failure, FileChange, Sink, TestSession

from .base import Attempt, Bench, text_of

INCIDENTAL = re.compile(  # what interpreters and libraries write by themselves
    r"(^|/)(__pycache__|[\w.-]*cache[\w-]*|\.npm|\.config|\.local/state|node_modules/\.cache|\.mypy_cache|\.pytest_cache)(/|$)"
    r"|\.(pyc|pyo|lock|pid|log|tmp)$|-(wal|shm|journal)$|^/(run|proc|sys|dev|var/(cache|log|run))(/|$)|/\.?(history|python_history)$"
)
PASSING = re.compile(r"^/(tmp|var/tmp)(/|$)")
QUICK_MS = 300.0
MOST_WITNESSES = {True: 8, False: 24}


def answer_to(session: TestSession, attempt: Attempt) -> str | None:
    """Return what a tool answers, None when it does not work."""
    try:
        result = session.call(attempt.tool, attempt.arguments, deadline_s=5.0)
    except Failure:
        return None
    return None if result.get("isError") is True else text_of(result)


def tells_less(was: str, now: str | None) -> bool:
    """Tell whether an answer is gone, or is the one before without some of its lines or entries."""
    if now is None:
        return True
    entries, left = (Counter(re.split(r"[\n,;]+\s*|(?<=[}\]])\s*", text)) for text in (was, now))
    return sum(left.values()) < sum(entries.values()) and not left - entries


def promises_calm(given: Any) -> bool:
    return isinstance(given, Mapping) and (
        given.get("readOnlyHint") is True
        or given.get("idempotentHint") is True
        or given.get("destructiveHint") is False
        or given.get("openWorldHint") is False
    )


def hint_of(definition: Mapping[str, Any], name: str, otherwise: bool) -> bool:
    given = definition.get("annotations")
    value = given.get(name) if isinstance(given, Mapping) else None
    return value if isinstance(value, bool) else otherwise


def sink_of(bench: Bench) -> Sink | None:
    if bench.context.config.transport != "stdio":
        return None
    try:
        return bench.context.sink()
    except Failure:
        return None


def fresh_session(bench: Bench, sink: Sink | None) -> tuple[TestSession, set[tuple[str, str]]]:
    session = bench.context.fresh(canaries=True, sink=sink, read_only_root=False, tmpfs={})
    bench.orders.append([str(one.get("name")) for one in session.listing("tools") if isinstance(one, dict)])
    return session, {(one.path, one.kind) for one in session.changes()}


def reading_calls(bench: Bench) -> list[Attempt]:
    """Return calls of tools that say they only read, and worked, one for each set of arguments."""
    readers = {str(one["name"]) for one in bench.tools if hint_of(one, "readOnlyHint", False)}
    asked: dict[str, Attempt] = {}
    for one in bench.attempts:
        if one.tool in readers and one.valid and one.outcome == "ok" and one.ms < QUICK_MS:
            asked.setdefault(f"{one.tool} {one.arguments}", one)
    return list(asked.values())[: MOST_WITNESSES[bench.quick]]


def counts_in(texts: Sequence[str]) -> list[int]:
    """Return three numbers at one place of three results that go up by the same step, whatever time lay between."""
    if len(texts) < 3 or len({re.sub(r"\d+", "0", text) for text in texts}) != 1:
        return []
    for numbers in zip(*(re.findall(r"\d+", text) for text in texts), strict=True):
        one, two, three = (int(number[:18]) for number in numbers)
        if 0 < two - one == three - two <= 1000:
            return [one, two, three]
    return []


def changed_since(before: set[tuple[str, str]], now: Sequence[FileChange]) -> list[FileChange]:
    """Return what changed since the last look; a file of the server's own that is gone counts as deleted."""
    there = {one.path for one in now}
    gone = [FileChange(path, "deleted") for path, kind in sorted(before) if kind == "added" and path not in there]
    return _real([*gone, *(one for one in now if (one.path, one.kind) not in before)])


def _real(changes: Sequence[FileChange]) -> list[FileChange]:
    """Leave out what is incidental, and the folders that changed only because something in them did."""
    kept = [one for one in changes if not INCIDENTAL.search(one.path)]
    inside = {one.path.rpartition("/")[0] for one in changes if one.kind != "changed"} | {
        one.path.rpartition("/")[0] for one in changes
    }
    return [one for one in kept if one.kind != "changed" or one.path not in inside]


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)
