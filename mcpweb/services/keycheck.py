"""Verify: open every secret once, and compare what opened with what the audit log says of it."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import secrets
from mcpweb.dao.secrets import Secret
from mcpweb.db import Connection
from mcpweb.errors import Conflict, NotFound, Tampered
from mcpweb.services import access, retention
from mcpweb.services.bindings import place_of

_BATCH = 200


@dataclass(frozen=True)
class Fault:
    """A secret that is not what it should be, and why."""

    secret_id: str
    name: str
    reason: str


@dataclass(frozen=True)
class Verification:
    """How many secrets were looked at, and those that do not open or are not the newest value that was written."""

    checked: int
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        return not self.faults


def verify(core: Core, actor: Actor) -> Verification:
    """Open every secret, active or not; no value leaves. Raises VaultLocked when a key cannot be had."""
    access.require(core, actor, "key.manage")
    checked, faults = 0, []
    for batch in _batches(core):
        checked += len(batch)
        with core.db.reading() as conn:
            faults += [fault for secret in batch if (fault := _fault(core, conn, secret))]
    with core.db.writing() as conn:
        access.note(conn, actor, "key.verify", "", {"checked": checked, "faults": [fault.secret_id for fault in faults]})
    return Verification(checked, tuple(faults))


def _batches(core: Core) -> Iterator[list[Secret]]:
    """Yield all secrets; no transaction stays open between batches, and a rotation may go on meanwhile."""
    after = None
    while True:
        with core.db.reading() as conn:
            page = secrets.listing(conn, after=after, limit=_BATCH)
        yield list(page.rows)
        after = page.next
        if after is None:
            return


def _fault(core: Core, conn: Connection, listed: Secret) -> Fault | None:
    try:
        secret = secrets.get(conn, listed.id)  # as it is now: it may have been sealed again since it was listed
        core.vault.open(conn, place_of(secret), secret.encrypted_value)
    except NotFound:
        return None  # purged meanwhile
    except (Tampered, Conflict) as failure:
        return Fault(listed.id, listed.name, failure.detail)
    written = retention.newest_write(conn, secret.id)
    newest = int(written.detail.get("value_version", 0)) if written else 0
    if newest > secret.value_version:
        reason = f"Value {newest} was written, and the row holds the earlier value {secret.value_version}."
        return Fault(secret.id, secret.name, reason)
    return None
