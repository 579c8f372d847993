"""After a key version is destroyed nothing that is left opens what it encrypted, and the evidence claims no more than was seen."""
from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcpweb import signing
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit, keys, secrets
from mcpweb.db import driver
from mcpweb.errors import Conflict, Failure, Tampered
from mcpweb.services import keycheck, keydestroy, rotation
from mcpweb.services import secrets as service

ME = Actor.cli("tester")
DESTROY = """
from mcpweb.contracts import Actor
from mcpweb.core import open_core
from mcpweb.services import keydestroy
print(keydestroy.destroy(open_core(), Actor.cli("x"), "main", 1)["complete"])
"""


@pytest.fixture
def retired(core: Core) -> tuple[str, bytes]:
    """Version 1 is retired; its old token and its old wrapped key."""
    secret = service.add(core, ME, name="TOKEN", value=Sensitive("canary-value-1"))
    with core.db.writing() as conn:
        key = keys.by_name(conn, "main")
        wrapped = keys.version(conn, key.id, 1).wrapped_key
        core.vault.add_version(conn, key)
    rotation.reencrypt(core, ME, key.id, lambda fraction, message: None)
    core.db.close()
    assert wrapped is not None
    return secret.encrypted_value, wrapped


def files_of(core: Core) -> dict[str, bytes]:
    places = [*core.settings.data_dir.rglob("*"), *core.settings.key_dir.rglob("*")]
    return {path.name: path.read_bytes() for path in places if path.is_file()}


def test_no_window_of_what_is_left_opens_the_old_version(core: Core, retired: tuple[str, bytes]) -> None:
    token, wrapped = retired
    with core.db.reading() as conn:
        old = keys.version(conn, keys.by_name(conn, "main").id, 1)
    core.db.close()
    associated = rotation_associated(old)
    ring = core.vault.source("file")
    assert ring.unwrap(old.kek_id, wrapped, associated), "before, it opens: the search can find"
    evidence = keydestroy.destroy(core, ME, "main", 1)
    assert evidence["complete"], evidence["undone"]
    core.db.close()
    for content in files_of(core).values():
        assert wrapped not in content
    for kek_id in ring.kek_ids():
        with pytest.raises(Tampered):
            ring.unwrap(kek_id, wrapped, associated)
        for name, content in files_of(core).items():
            for start in range(0, len(content) - len(wrapped) + 1):
                window = content[start:start + len(wrapped)]
                if window.count(0) < len(window) // 2 and not opens_not(ring, kek_id, window, associated):
                    raise AssertionError(f"{name} at {start} opens")
    with core.db.reading() as conn, pytest.raises(Failure):
        secret = secrets.listing(conn).rows[0]
        core.vault.open(conn, rotation.place_of(secret), token)
    assert service.reveal(core, ME, secret.id).reveal() == "canary-value-1" and keycheck.verify(core, ME).ok


def opens_not(ring: Any, kek_id: str, window: bytes, associated: bytes) -> bool:
    try:
        ring.unwrap(kek_id, window, associated)
    except Tampered:
        return True
    return False


def rotation_associated(version: keys.KeyVersion) -> bytes:
    from mcpweb.vault import _wrap_associated

    return _wrap_associated(version.key_id, version.version, version.alg)


def test_the_evidence_is_signed_kept_and_audited_and_names_its_limits(core: Core, retired: tuple[str, bytes]) -> None:
    evidence = keydestroy.destroy(core, ME, "main", 1)
    kept = json.loads((core.settings.key_dir / "destroyed" / "main-1.json").read_text())
    public = signing.public_key(core.settings)
    assert kept == evidence and signing.fits(kept, public)
    assert "copies" in evidence["limits"].lower() and evidence["removed_keks"] and evidence["new_kek"]
    for name in ("complete", "checkpoint", "kcv", "destroyed_at", "hits"):
        assert not signing.fits(kept | {name: "other"}, public), name
    with core.db.reading() as conn:
        (row,) = audit.listing(conn, audit.Wanted(action="key.destroyed"))
        assert row.detail["signature"] == evidence["signature"] and row.detail["complete"]


def test_with_a_blocked_checkpoint_it_does_not_claim_success(
    core: Core, retired: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keydestroy, "PATIENCE_S", 0.3)
    reader = driver.connect(str(core.settings.db_path), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM secrets").fetchone()
    with core.db.writing() as conn:
        service._note(conn, ME, "secret.describe", secrets.listing(conn).rows[0])  # something newer than what is read
    evidence = keydestroy.destroy(core, ME, "main", 1)
    assert not evidence["complete"] and "checkpoint" in evidence["undone"][0]
    reader.close()
    again = keydestroy.destroy(core, ME, "main", 1)
    assert again["checkpoint"] == [0, 0, 0] and not again["complete"] and "remnants" in again["undone"][0]


def test_what_is_needed_cannot_be_destroyed(core: Core) -> None:
    secret = service.add(core, ME, name="TOKEN", value=Sensitive("canary-value-1"))
    with pytest.raises(Conflict, match="1 secrets"):
        keydestroy.destroy(core, ME, "main", 1)
    service.purge(core, ME, secret.id)
    with pytest.raises(Conflict, match="active"):
        keydestroy.destroy(core, ME, "main", 1)


PLACES = ["destroy.kek_added", "destroy.in_transaction", "destroy.after_commit", "destroy.kek_removed", "destroy.evidence_written"]


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_each_step_leaves_all_other_keys_usable_and_can_be_done_again(
    core: Core, retired: tuple[str, bytes], place: str
) -> None:
    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", DESTROY], env=core.settings.to_environment() | more, capture_output=True, text=True
        )

    assert run(MCPWEB_FAILPOINT=f"{place}:kill").returncode == -signal.SIGKILL
    core.vault.forget()
    assert keycheck.verify(core, ME).ok
    core.db.close()
    again = run()
    assert again.returncode == 0, again.stderr
    core.vault.forget()
    assert keycheck.verify(core, ME).ok
    with core.db.reading() as conn:
        assert keys.version(conn, keys.by_name(conn, "main").id, 1).state == "destroyed"
    core.db.close()
    assert all(retired[1] not in content for content in files_of(core).values())


def test_the_signing_key_is_ours_alone_and_is_not_replaced(core: Core) -> None:
    path = signing.key_path(core.settings)
    public = signing.public_key(core.settings)
    assert path.stat().st_mode & 0o777 == 0o600 and signing.public_key(core.settings) == public
    path.chmod(0o644)
    with pytest.raises(Failure):
        signing.public_key(core.settings)
    path.chmod(0o600)
    Path(path).write_bytes(b"short")
    with pytest.raises(Failure):
        signing.public_key(core.settings)
    assert path.read_bytes() == b"short"
