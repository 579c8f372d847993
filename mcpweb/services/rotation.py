"""The long part of a rotation: every secret under a retiring key version is sealed again under the active one.

Values are read, opened and sealed outside any lock; one short transaction then looks at the active version again and
writes by compare-and-swap, so a value that somebody replaced meanwhile stays the newer one. No state is kept but the rows
themselves: what a crash leaves is found by the next pass.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import keys, secrets
from mcpweb.dao.keys import Key, KeyVersion
from mcpweb.dao.secrets import SealedRow, Secret
from mcpweb.db import Connection
from mcpweb.errors import Tampered
from mcpweb.events import KeyRotated
from mcpweb.failpoints import Failpoints
from mcpweb.services import access
from mcpweb.vault import Material, Place, Sealed

HOLD_S = 0.020
"""How long a batch may hold the write lock; the batch size follows what the machine can do."""
_SMALLEST, _FIRST, _LARGEST = 20, 200, 1000

Tell = Callable[[float | None, str], None]


@dataclass(frozen=True)
class Rotation:
    """What a rotation came to."""

    resealed: int
    quarantined: int
    retired: tuple[int, ...]


def place_of(secret: Secret | SealedRow) -> Place:
    """Return the place a secret's token is bound to."""
    return Place(secret.id, secret.name, secret.scope, secret.owner_id, secret.value_version)


def reencrypt(
    core: Core, actor: Actor, key_id: str, tell: Tell, stopped: Callable[[], bool] = lambda: False,
    *, on_hold: Callable[[float], object] = lambda seconds: None,
) -> Rotation:
    """Bring every secret of a key to its active version, and retire what nothing needs any more.

    Safe to run twice, and at once. ``on_hold`` hears how many seconds each batch held the write lock. Raises VaultLocked
    when a version cannot be unwrapped, and whatever ``tell`` raises.
    """
    return _Rotation(core, actor, key_id, tell, stopped, on_hold).run()


class _Rotation:
    def __init__(
        self, core: Core, actor: Actor, key_id: str, tell: Tell, stopped: Callable[[], bool], on_hold: Callable[[float], object]
    ) -> None:
        self._on_hold = on_hold
        self._core, self._actor, self._key_id, self._tell, self._stopped = core, actor, key_id, tell, stopped
        self._failpoints = Failpoints(core.settings)
        self._size = _FIRST
        self._done = 0
        self._total = 0
        self._quarantined = 0
        self._name = ""
        self._free_until = 0.0

    def run(self) -> Rotation:
        retired: list[int] = []
        with self._core.db.reading() as conn:
            key = keys.get(conn, self._key_id)
            self._name = key.key_name
            retiring = [one for one in keys.versions(conn, key.id) if one.state == "retiring"]
            self._total = sum(secrets.count_under(conn, key.id, one.version) for one in retiring)
        for version in reversed(retiring):
            if self._drain(version) and not self._stopped():
                self._failpoints.reach("rotate.before_retire")
                if self._retire(key, version.version):
                    retired.append(version.version)
                self._failpoints.reach("rotate.after_retire")
        return Rotation(self._done, self._quarantined, tuple(retired))

    def _drain(self, old: KeyVersion) -> bool:
        """Reseal all secrets under a version; False when it was stopped."""
        after = 0
        while not self._stopped():
            with self._core.db.reading() as conn:
                active = keys.active_version(conn, self._key_id)
                batch = secrets.under_version(conn, self._key_id, old.version, after=after, limit=self._size)
                if not batch:
                    return True
                opened = self._core.vault.material(conn, keys.version(conn, self._key_id, old.version))
                sealing = self._core.vault.material(conn, active)
            self._failpoints.reach("rotate.after_read")
            resealed, damaged = _resealed(batch, opened, sealing)
            self._failpoints.reach("rotate.before_commit")
            held = self._write(active, old, resealed, damaged)
            self._failpoints.reach("rotate.after_commit")
            if held is None:  # another rotation made a newer version: seal this batch again
                continue
            after = batch[-1].rowid
            self._tell(self._done / self._total if self._total else None, f"{self._done} of {self._total} secrets")
            self._on_hold(held)
            self._adapt(held)
        return False

    def _write(
        self,
        active: KeyVersion,
        old: KeyVersion,
        resealed: Sequence[tuple[SealedRow, Sealed]],
        damaged: Sequence[tuple[SealedRow, str]],
    ) -> float | None:
        """Write one batch and return how long the lock was held, None when the active version is another one now."""
        time.sleep(max(0.0, self._free_until - time.monotonic()))
        with self._core.db.writing() as conn:
            began = time.monotonic()
            now_active = keys.active_version(conn, self._key_id)
            if now_active.version != active.version:
                return None
            self._core.vault.count(conn, now_active, len(resealed))
            done = secrets.reseal_many(conn, resealed)
            for secret, reason in damaged:
                keys.quarantine(conn, secret.id, self._key_id, old.version, reason)
            access.note(
                conn, self._actor, "key.reencrypt", self._key_id,
                {"name": self._name, "from": old.version, "to": active.version, "secrets": done,
                 "quarantined": [secret.id for secret, _ in damaged]},
            )
            self._failpoints.reach("rotate.in_transaction")
            self._done += done
            self._quarantined += len(damaged)
        released = time.monotonic()
        self._free_until = released + (released - began)  # the lock is left free at least as long as it was held
        return released - began

    def _retire(self, key: Key, number: int) -> bool:
        with self._core.db.writing() as conn:
            current = keys.version(conn, key.id, number)
            if current.state != "retiring" or secrets.count_under(conn, key.id, number):
                return False
            keys.set_state(conn, key.id, number, "retired")
            access.note(conn, self._actor, "key.retire", key.id, {"name": key.key_name, "version": number})
        self._core.announce(KeyRotated(self._actor.name, key.id, key.key_name, "retired"))
        return True

    def _adapt(self, held: float) -> None:
        """Follow the machine: half the batch when the lock was held too long, a little more when there was room."""
        if held > HOLD_S:
            self._size = max(_SMALLEST, self._size // 2)
        elif held < HOLD_S / 2:
            self._size = min(_LARGEST, self._size + self._size // 4)


def _resealed(
    batch: Sequence[SealedRow], opened: Material, sealing: Material
) -> tuple[list[tuple[SealedRow, Sealed]], list[tuple[SealedRow, str]]]:
    resealed, damaged = [], []
    for secret in batch:
        place = place_of(secret)
        try:
            resealed.append((secret, opened.reseal(place, secret.encrypted_value, sealing)))
        except Tampered as failure:
            damaged.append((secret, failure.detail))
    return resealed, damaged


def pending(conn: Connection, key_id: str) -> int:
    """Count the secrets that stand under another version than the active one."""
    return sum(
        secrets.count_under(conn, key_id, one.version) for one in keys.versions(conn, key_id) if one.state != "active"
    )
