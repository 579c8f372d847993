"""Counts over several tables for ``/metrics``: how many rows are in which state."""
from __future__ import annotations

from mcpweb.db import Connection

# what is counted: the words its column may hold (the schema's CHECK), and the statement; the name of a word and a count come back
COUNTS: dict[str, tuple[tuple[str, ...], str]] = {
    "servers": (
        ("running", "stopped", "error", "unknown"),
        "SELECT status, count(*) FROM servers WHERE removed_at IS NULL GROUP BY status",
    ),
    "servers_wanted": (
        ("running", "stopped"), "SELECT wanted, count(*) FROM servers WHERE removed_at IS NULL GROUP BY wanted",
    ),
    "jobs": (("queued", "running", "succeeded", "failed", "cancelled"), "SELECT state, count(*) FROM jobs GROUP BY state"),
    "runs": (
        ("pass", "fail", "undecided", "none"),
        "SELECT coalesce(verdict, 'none'), count(*) FROM test_runs GROUP BY verdict",
    ),
    "findings": (
        ("info", "low", "medium", "high", "critical"),
        "SELECT severity, count(*) FROM findings WHERE state = 'open' GROUP BY severity",
    ),
    "key_versions": (
        ("active", "retiring", "retired", "destroyed"), "SELECT state, count(*) FROM encryption_key_versions GROUP BY state",
    ),
}


def counts(conn: Connection, what: str) -> dict[str, int]:
    """Return the count of every word of ``COUNTS[what]``, 0 for those no row has; nothing else is a key."""
    words, sql = COUNTS[what]
    found = {row[0]: int(row[1]) for row in conn.execute(sql)}
    return {word: found.get(word, 0) for word in words}


def running(conn: Connection) -> list[tuple[str, bool]]:
    """Return every server that should run by its name, and whether it does."""
    sql = (
        "SELECT name, status = 'running' FROM servers WHERE removed_at IS NULL AND wanted = 'running' "
        "ORDER BY created_at, id"
    )
    return [(row[0], bool(row[1])) for row in conn.execute(sql)]
