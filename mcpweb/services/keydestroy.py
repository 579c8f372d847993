"""Destroy a key version, and keep evidence of it that does not claim more than was seen.

What makes old ciphertext unreadable is that nobody can unwrap its key any more: the wrapped key leaves the row, everything
else goes under a new key-encryption key, and the earlier ones leave the key ring. Looking for remnants in the files comes
on top. Copies that somebody made, and cells a disk wrote elsewhere, are beyond what a program can see.
"""
from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mcpweb import clock, signing
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit, keys, secrets
from mcpweb.dao.keys import Key, KeyVersion
from mcpweb.db import Connection, configure, driver
from mcpweb.errors import Conflict, InvalidInput
from mcpweb.events import KeyRotated
from mcpweb.failpoints import Failpoints
from mcpweb.files import private_folder, write_private
from mcpweb.services import access, stepup

PATIENCE_S = 5.0
LIMITS = "Copies of the files made by others, and remnants a disk keeps outside its files, cannot be seen from here."
_ENDS = ("", "-wal", "-shm")
_CHUNK = 1 << 20
_PAGE = 200


def destroy(core: Core, actor: Actor, name: str, number: int, *, force: bool = False) -> dict[str, Any]:
    """Destroy a retired version and return the signed evidence, which is also kept beside the key ring.

    ``complete`` is true only when nothing was left undone; ``undone`` says what. Raises Conflict while a secret stands
    under the version, while it is not retired, or – without ``force`` – while a backup that is still there needs a key
    that would go.
    """
    access.require(core, actor, "key.manage", key=name)
    stepup.require(core, actor, tokens=True)
    with access.attempt(core, actor, "key.destroy", name):
        return _destroy(core, actor, name, number, force)


def _destroy(core: Core, actor: Actor, name: str, number: int, force: bool) -> dict[str, Any]:
    failpoints = Failpoints(core.settings)
    with core.db.reading() as conn:
        key = keys.by_name(conn, name)
        version = keys.version(conn, key.id, number)
        _check(conn, key, version)
        backups = _backups(conn)
        old_keks = sorted({one.kek_id for one in _live(conn) if one.kek_source == version.kek_source})
    needing = [one["file"] for one in backups if one["there"]]
    if needing and not force:
        raise Conflict(
            f"Backups that are still there need keys that would go: {', '.join(needing[:3])}.",
            next_step="Remove them, or say --force; they cannot be opened afterwards.",
        )
    undone: list[str] = []
    new_kek = _new_kek(core, version, undone)
    failpoints.reach("destroy.kek_added")
    remnants = _drop(core, actor, key, version, new_kek, failpoints)
    failpoints.reach("destroy.after_commit")
    removed = _remove_keks(core, version.kek_source, old_keks, undone) if new_kek else []
    failpoints.reach("destroy.kek_removed")
    core.vault.forget()
    checkpoint = _checkpoint(core.settings.db_path)
    if checkpoint != [0, 0, 0]:
        undone.append(f"the write-ahead log could not be emptied (checkpoint {checkpoint}); somebody holds it open")
    hits = _scan(core.settings.db_path, remnants)
    if hits:
        undone.append(f"the wrapped key was found in {', '.join(hits)}")
    if not remnants:
        undone.append("the wrapped key was gone before, so its remnants could not be looked for")
    evidence = signing.signed(core.settings, {
        "what": "key version destroyed", "instance": core.instance.id, "key": name, "key_id": key.id, "version": number,
        "kcv": version.kcv, "uses": version.uses, "created_at": version.created_at, "retired_at": version.retired_at,
        "destroyed_at": clock.now(), "by": actor.name, "new_kek": new_kek, "removed_keks": removed,
        "checkpoint": checkpoint, "files_searched": [core.settings.db_path.name + end for end in _ENDS], "hits": hits,
        "backups": backups, "forced": force, "complete": not undone, "undone": undone, "limits": LIMITS,
    })
    folder = core.settings.key_dir / "destroyed"
    private_folder(folder)
    write_private(folder / f"{name}-{number}.json", json.dumps(evidence, indent=1, ensure_ascii=False) + "\n")
    failpoints.reach("destroy.evidence_written")
    with core.db.writing() as conn:
        access.note(
            conn, actor, "key.destroyed", key.id,
            {"name": name, "version": number, "complete": not undone, "undone": undone, "signature": evidence["signature"]},
        )
    core.announce(KeyRotated(actor.name, key.id, name, "destroyed"))
    return evidence


def _check(conn: Connection, key: Key, version: KeyVersion) -> None:
    used = secrets.count_under(conn, key.id, version.version)
    if used:
        raise Conflict(
            f"{used} secrets stand under version {version.version} of {key.key_name}.",
            next_step=f"Run `mcpweb keys rotate {key.key_name}`; purge or replace what it cannot open.",
        )
    if version.state not in ("retired", "destroyed"):
        raise Conflict(
            f"Version {version.version} of {key.key_name} is {version.state}; only a retired one can be destroyed.",
            next_step=f"Run `mcpweb keys rotate {key.key_name}` first.",
        )


def _new_kek(core: Core, version: KeyVersion, undone: list[str]) -> str | None:
    try:
        return core.vault.source(version.kek_source).add_kek()
    except InvalidInput as refused:
        undone.append(f"the key-encryption key is still the same: {refused.detail}")
        return None


def _drop(core: Core, actor: Actor, key: Key, version: KeyVersion, new_kek: str | None, failpoints: Failpoints) -> list[bytes]:
    """Take the wrapped key out of its row and put all others of its source under the new KEK; return the old blobs."""
    with core.db.writing() as conn:
        current = keys.version(conn, key.id, version.version)
        _check(conn, key, current)
        gone = [current.wrapped_key] if current.wrapped_key else []
        if current.state != "destroyed":
            keys.set_state(conn, key.id, version.version, "destroyed")
        for one in _live(conn) if new_kek else []:
            if one.kek_source == version.kek_source:
                core.vault.rewrap(conn, one)
        access.note(conn, actor, "key.destroy", key.id, {"name": key.key_name, "version": version.version, "new_kek": new_kek})
        failpoints.reach("destroy.in_transaction")
    return gone


def _remove_keks(core: Core, source: str, old: list[str], undone: list[str]) -> list[str]:
    """Take the KEKs out of the source that wrap nothing any more."""
    with core.db.reading() as conn:
        needed = {one.kek_id for one in _live(conn)}
    removed = []
    for kek_id in [*old, *core.vault.source(source).kek_ids()[1:]]:
        if kek_id in needed:
            undone.append(f"{kek_id} still wraps a key")
        elif kek_id not in removed:
            core.vault.source(source).remove_kek(kek_id)
            removed.append(kek_id)
    return removed


def _live(conn: Connection) -> list[KeyVersion]:
    return [one for key in keys.listing(conn) for one in keys.versions(conn, key.id) if one.state != "destroyed"]


def _backups(conn: Connection) -> list[dict[str, Any]]:
    """Return the backups the audit log knows, and whether each is still there."""
    found, before = [], None
    while rows := audit.listing(conn, audit.Wanted(action="db.backup"), before_seq=before, limit=_PAGE):
        for row in rows:
            file = str(row.detail.get("file") or row.target)
            at = row.detail.get("at", row.at)
            found.append({"file": file, "at": at, "sha256": row.detail.get("sha256"), "there": Path(file).exists()})
        before = rows[-1].seq
    return found


def _checkpoint(path: Path) -> list[int]:
    """Empty the write-ahead log and give free pages back; return the last answer, [0, 0, 0] when it is empty."""
    conn = driver.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        configure(conn, cache_kib=1024)
        conn.execute("PRAGMA busy_timeout = 250")
        conn.execute("PRAGMA incremental_vacuum").fetchall()
        until = time.monotonic() + PATIENCE_S
        while True:
            answer = [int(number) for number in conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()]
            if answer[0] == 0 or time.monotonic() > until:
                return answer
            time.sleep(0.1)
    finally:
        conn.close()


def _scan(path: Path, remnants: list[bytes]) -> list[str]:
    """Return the files of the database that hold one of these byte strings."""
    hits = []
    for end in _ENDS:
        file = path.with_name(path.name + end)
        if remnants and file.exists() and _holds(file, remnants):
            hits.append(file.name)
    return hits


def _holds(file: Path, wanted: list[bytes]) -> bool:
    overlap = max(len(one) for one in wanted) - 1
    tail = b""
    with open(file, "rb") as data:
        while chunk := data.read(_CHUNK):
            if any(one in tail + chunk for one in wanted):
                return True
            tail = (tail + chunk)[-overlap:]
    return False
