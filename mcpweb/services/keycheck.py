"""Verify: open every secret once, and compare what opened with what the audit log and the keys say of it."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import keys, secrets
from mcpweb.dao.jobs import Job
from mcpweb.dao.secrets import Secret
from mcpweb.db import Connection
from mcpweb.errors import Conflict, NotFound, Tampered
from mcpweb.services import access, jobs, retention
from mcpweb.services.bindings import place_of
from mcpweb.services.jobs import Idempotency
from mcpweb.vault import Token

_BATCH = 200
MOST_TOLD = 200
"""How many faults a job's result lists; the report of the command line lists all."""
_CLOSED = ("retired", "destroyed")


@dataclass(frozen=True)
class Fault:
    """A secret that is not what it should be, and why.

    ``code`` is *damaged* (it does not open), *earlier_value* (a newer one was written), *unknown_value* (the audit log tells
    of none), *closed_version* (it stands under a key version that is out of use), *nonce_twice* (another secret was
    encrypted with the same nonce under the same key version).
    """

    secret_id: str
    name: str
    reason: str
    code: Literal["damaged", "earlier_value", "unknown_value", "closed_version", "nonce_twice"] = "damaged"


@dataclass(frozen=True)
class Notice:
    """Something about a key version that asks for a rotation.

    ``code`` is *near_limit* (used more often than its cipher advises) or *counter_low* (it counts fewer uses than values
    stand under it, so its counter was set back).
    """

    key: str
    version: int
    uses: int
    code: Literal["near_limit", "counter_low"]
    reason: str


@dataclass(frozen=True)
class Verification:
    """How many secrets were looked at, those that are not as they were written, and keys that should be rotated."""

    checked: int
    faults: tuple[Fault, ...]
    notices: tuple[Notice, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.faults


@dataclass
class _Seen:
    """Nonces by key version, twelve bytes each: the one thing that must not happen twice."""

    nonces: dict[tuple[str, int, bytes], str] = field(default_factory=dict)
    under: dict[tuple[str, int], int] = field(default_factory=dict)

    def same_nonce(self, secret: Secret, token: Token) -> str | None:
        """Return the id of another secret with the same nonce under the same key version."""
        spot = (token.key_id, token.key_version, token.nonce)
        other = self.nonces.setdefault(spot, secret.id)
        self.under[spot[:2]] = self.under.get(spot[:2], 0) + 1
        return None if other == secret.id else other


def request_verify(core: Core, actor: Actor, idempotency: Idempotency | None = None) -> Job:
    """Ask for ``verify`` as a job; the worker has it done by a process of its own."""
    access.require(core, actor, "key.manage")
    return jobs.ask(core, actor, "verify_keys", subject="keys", idempotency=idempotency)


def verify(
    core: Core, actor: Actor, tell: Callable[[float | None, str], None] = lambda fraction, message: None
) -> Verification:
    """Open every secret, active or not; no value leaves. Raises VaultLocked when a key cannot be had.

    This is work for a whole core: a process that serves others has it done apart (``mcpweb/apart``).
    """
    access.require(core, actor, "key.manage")
    checked, faults, seen = 0, [], _Seen()
    with core.db.reading() as conn:
        total = max(1, secrets.count(conn))
        versions = [one for key in keys.listing(conn) for one in keys.versions(conn, key.id)]
        states = {(one.key_id, one.version): one.state for one in versions}
        for one in versions:
            if one.state not in _CLOSED:  # without a secret, too: the next one will be put under it
                core.vault.material(conn, one)
    for batch in _batches(core):
        checked += len(batch)
        with core.db.reading() as conn:
            faults += [fault for secret in batch if (fault := _fault(core, conn, secret, states, seen))]
        tell(min(1.0, checked / total), f"{checked:,} of {total:,} secrets")
    with core.db.reading() as conn:
        notices = tuple(_notices(core, conn, seen))
    with core.db.writing() as conn:
        access.note(conn, actor, "key.verify", "", {"checked": checked, "faults": [fault.secret_id for fault in faults]})
    return Verification(checked, tuple(faults), notices)


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


def _fault(
    core: Core, conn: Connection, listed: Secret, states: Mapping[tuple[str, int], str], seen: _Seen
) -> Fault | None:
    def fault(code: str, reason: str) -> Fault:
        return Fault(listed.id, listed.name, reason, code)  # type: ignore[arg-type]

    try:
        secret = secrets.get(conn, listed.id)  # as it is now: it may have been sealed again since it was listed
        core.vault.open(conn, place_of(secret), secret.encrypted_value)
        token = Token.parse(secret.encrypted_value)
    except NotFound:
        return None  # purged meanwhile
    except (Tampered, Conflict) as failure:
        return fault("damaged", failure.detail)
    other = seen.same_nonce(secret, token)
    if other is not None:
        return fault("nonce_twice", f"It was encrypted with the same nonce as {other}, under the same key version.")
    if states.get((token.key_id, token.key_version)) in _CLOSED:
        return fault("closed_version", f"It stands under version {token.key_version} of its key, which is out of use.")
    written = retention.newest_write(conn, secret.id)
    newest = int(written.detail.get("value_version", 0)) if written else 0
    if newest > secret.value_version:
        reason = f"Value {newest} was written, and the row holds the earlier value {secret.value_version}."
        return fault("earlier_value", reason)
    if newest < secret.value_version:
        return fault("unknown_value", f"The audit log does not tell of its value {secret.value_version}.")
    return None


def _notices(core: Core, conn: Connection, seen: _Seen) -> Iterator[Notice]:
    for key in keys.listing(conn):
        for one in keys.versions(conn, key.id):
            if one.state in _CLOSED:
                continue
            advised = core.vault.cipher(one.alg).uses_warn
            under = seen.under.get((one.key_id, one.version), 0)
            if one.uses >= advised:
                reason = f"It was used {one.uses} times, and its cipher advises against more than {advised}."
                yield Notice(key.key_name, one.version, one.uses, "near_limit", reason)
            elif one.uses < under:
                reason = f"It counts {one.uses} uses, and {under} values stand under it."
                yield Notice(key.key_name, one.version, one.uses, "counter_low", reason)
