"""Read and verify the audit log."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.dao.audit import AuditRow
from mcpweb.services import access

_PAGE = 500
_VERIFY_S = 600.0  # 300,000 rows a second on a small machine


@dataclass(frozen=True)
class AuditListing:
    """Rows, newest first; ``next`` is the sequence number below which the next page begins."""

    rows: tuple[AuditRow, ...]
    next: int | None


def listing(
    core: Core,
    actor: Actor,
    *,
    before_seq: int | None = None,
    limit: int = 50,
    by: str | None = None,
    action: str | None = None,
    target: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> AuditListing:
    """Return rows, newest first; ``since`` and ``until`` are times as rows write them."""
    access.require(core, actor, "audit.view")
    with core.db.reading() as conn:
        rows = audit.listing(
            conn, before_seq=before_seq, limit=limit + 1, actor=by, action=action, target=target, since=since, until=until
        )
    more = len(rows) > limit
    kept = tuple(rows[:limit])
    return AuditListing(kept, kept[-1].seq if more else None)


def verify(core: Core, actor: Actor) -> dict[str, Any]:
    """Return {ok, rows, first_bad, reason} of the whole chain."""
    access.require(core, actor, "audit.view")
    with core.db.reading(deadline_s=_VERIFY_S) as conn:
        found = audit.verify(conn)
    return {"ok": found.ok, "rows": found.rows, "first_bad": found.first_bad, "reason": found.reason}


def export(core: Core, actor: Actor, first: int = 1) -> Iterator[AuditRow]:
    """Yield rows from ``first`` on, oldest first; no transaction stays open between pages."""
    access.require(core, actor, "audit.view")
    while True:
        with core.db.reading() as conn:
            rows = audit.from_seq(conn, first, _PAGE)
        yield from rows
        if len(rows) < _PAGE:
            return
        first = rows[-1].seq + 1
