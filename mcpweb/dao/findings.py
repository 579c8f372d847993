"""Table ``findings``: what test runs found wrong, once for each server, check, tool and place, however often it is seen.

An acceptance that has run out is read as open: no job has to come by for that.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mcpweb import clock
from mcpweb.dao import columns, dumps, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound

FIELDS = (
    "id, server_id, test_type, check_id, tool_name, key, severity, confidence, summary, state, first_seen_at, first_run_id, "
    "last_seen_at, last_run_id, result_id, accepted_at, accepted_by, accepted_until, accepted_severity, reason"
)
What = tuple[str, str, str]
"""Check, tool and key: what tells the findings of a server apart."""


@dataclass(frozen=True)
class Finding:
    id: str
    server_id: str
    test_type: str
    check_id: str
    tool_name: str
    key: str
    severity: str
    confidence: str
    summary: str
    state: str
    first_seen_at: str
    first_run_id: str
    last_seen_at: str
    last_run_id: str
    result_id: str
    accepted_at: str | None = None
    accepted_by: str | None = None
    accepted_until: str | None = None
    accepted_severity: str | None = None
    reason: str | None = None

    @property
    def what(self) -> What:
        return self.check_id, self.tool_name, self.key

    @property
    def lapsed(self) -> bool:
        """Whether it is open because the time it was accepted for is over."""
        return self.state == "open" and self.accepted_until is not None


def _read(row: Mapping[str, Any]) -> Finding:
    fields = dict(row)
    if fields["state"] == "accepted" and fields["accepted_until"] <= clock.now():
        fields["state"] = "open"
    return Finding(**fields)


def insert(conn: Connection, finding: Finding) -> None:
    fields = asdict(finding)
    conn.execute(f"INSERT INTO findings ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def get(conn: Connection, finding_id: str) -> Finding:
    row = conn.execute(f"SELECT {FIELDS} FROM findings WHERE id = :id", {"id": finding_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no finding {finding_id}.", next_step="`mcpweb findings list` shows all.")
    return _read(row)


def listing(
    conn: Connection,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    server_id: str | None = None,
    state: str | None = None,
    severity: str | None = None,
    check_id: str | None = None,
    test_type: str | None = None,
    tool_name: str | None = None,
    confidence: str | None = None,
) -> Listing[Finding]:
    """Return findings, the newest first; the state is the one of now."""
    equals = {
        "server_id": server_id, "severity": severity, "check_id": check_id, "test_type": test_type, "tool_name": tool_name,
        "state": state if state == "fixed" else None, "confidence": confidence,
    }
    where = []
    # the plus keeps these out of the choice of an index: an OR would end the order the index gives
    if state == "open":
        where = ["state <> 'fixed'", "(+state = 'open' OR accepted_until <= :now)"]
    elif state == "accepted":
        where = ["state <> 'fixed'", "+state = 'accepted'", "accepted_until > :now"]
    values = {"now": clock.now()} if where else {}
    return paging.select(
        conn, "findings", FIELDS, _read, after=after, limit=limit, equals=equals, where=where, values=values, at="first_seen_at"
    )


def of_server(conn: Connection, server_id: str) -> list[Finding]:
    """Return all findings of a server, the fixed ones too, by check, tool and key."""
    sql = f"SELECT {FIELDS} FROM findings WHERE server_id = :id ORDER BY check_id, tool_name, key"
    return [_read(row) for row in conn.execute(sql, {"id": server_id})]


def standing(conn: Connection, server_id: str, limit: int) -> list[Finding]:
    """Return what is open or accepted of a server, the newest first, at most so many."""
    sql = (
        f"SELECT {FIELDS} FROM findings WHERE server_id = :id AND state <> 'fixed' "
        "ORDER BY first_seen_at DESC, id DESC LIMIT :limit"
    )
    return [_read(row) for row in conn.execute(sql, {"id": server_id, "limit": limit})]


def of_results(conn: Connection, wanted: Sequence[tuple[str, str, str, str]]) -> dict[tuple[str, str, str, str], Finding]:
    """Return the findings of these servers, checks, tools and keys; those without one are left out."""
    if not wanted:
        return {}
    fields = ", ".join(f"findings.{name}" for name in FIELDS.split(", "))
    rows = conn.execute(
        f"SELECT {fields} FROM json_each(:wanted) AS wanted CROSS JOIN findings "
        "ON findings.server_id = json_extract(wanted.value, '$[0]') AND findings.check_id = json_extract(wanted.value, '$[1]') "
        "AND findings.tool_name = json_extract(wanted.value, '$[2]') AND findings.key = json_extract(wanted.value, '$[3]')",
        {"wanted": dumps([list(one) for one in dict.fromkeys(wanted)])},
    )
    found = [_read(row) for row in rows]
    return {(finding.server_id, *finding.what): finding for finding in found}


def open_counts(conn: Connection, server_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many open findings of each severity these servers have, by server."""
    rows = conn.execute(
        "SELECT server_id, severity FROM json_each(:ids) AS wanted CROSS JOIN findings ON findings.server_id = wanted.value "
        "WHERE state <> 'fixed' AND (+state = 'open' OR accepted_until <= :now)",
        {"ids": dumps(list(server_ids)), "now": clock.now()},
    )
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        of_one = counts.setdefault(row[0], {})
        of_one[row[1]] = of_one.get(row[1], 0) + 1
    return counts


def see(conn: Connection, finding: Finding) -> None:
    """Write what a run saw of a finding that was known before, its state and its acceptance."""
    conn.execute(
        "UPDATE findings SET test_type = :test_type, severity = :severity, confidence = :confidence, summary = :summary, "
        "state = :state, last_seen_at = :last_seen_at, last_run_id = :last_run_id, result_id = :result_id, "
        "accepted_at = :accepted_at, accepted_by = :accepted_by, accepted_until = :accepted_until, "
        "accepted_severity = :accepted_severity, reason = :reason WHERE id = :id",
        asdict(finding),
    )


def fix(conn: Connection, finding_ids: Sequence[str]) -> None:
    """Note that these are no longer there; an acceptance ends with what it was about."""
    conn.execute(
        "UPDATE findings SET state = 'fixed', accepted_at = NULL, accepted_by = NULL, accepted_until = NULL, "
        "accepted_severity = NULL, reason = NULL WHERE id IN (SELECT value FROM json_each(:ids))",
        {"ids": dumps(list(finding_ids))},
    )


def accept(conn: Connection, finding_id: str, *, by: str, at: str, until: str, reason: str) -> None:
    conn.execute(
        "UPDATE findings SET state = 'accepted', accepted_at = :at, accepted_by = :by, accepted_until = :until, "
        "accepted_severity = severity, reason = :reason WHERE id = :id",
        {"id": finding_id, "by": by, "at": at, "until": until, "reason": reason},
    )


def reopen(conn: Connection, finding_id: str) -> None:
    conn.execute(
        "UPDATE findings SET state = 'open', accepted_at = NULL, accepted_by = NULL, accepted_until = NULL, "
        "accepted_severity = NULL, reason = NULL WHERE id = :id",
        {"id": finding_id},
    )
