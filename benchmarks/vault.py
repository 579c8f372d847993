"""Rotation beside a reader and a writer, and the proof of the audit log, each against what the machine must do anyway."""
from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from benchmarks.measure import Row
from mcpweb import clock
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core, open_core
from mcpweb.dao import audit, keys, secrets
from mcpweb.dao.secrets import Secret
from mcpweb.services import rotation
from mcpweb.settings import load

SECRETS = 100_000
AUDIT_ROWS = 300_000
AUDIT_PAIRS = 7
ME = Actor.cli("bench")


def run(folder: Path) -> list[Row]:
    core = open_core(load({"MCPWEB_DATA_DIR": str(folder / "data")}))
    try:
        return [*_rotation(core), _audit(core)]
    finally:
        core.close()


def _rotation(core: Core) -> list[Row]:
    _fill(core)
    with core.db.writing() as conn:
        key = keys.by_name(conn, "main")
        version = core.vault.add_version(conn, key).version
    floor = _floor(core, version)
    flag = core.settings.data_dir / "rotating"
    flag.touch()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:  # threads would share the interpreter of the rotation
        others = [pool.submit(work, str(core.settings.data_dir), str(flag)) for work in (_write, _read)]
        while len(list(flag.parent.glob("rotating-*"))) < 2:
            time.sleep(0.01)
        began = time.perf_counter()
        holds: list[float] = []
        done = rotation.reencrypt(core, ME, key.id, lambda fraction, message: None, on_hold=holds.append)
        seconds = time.perf_counter() - began
        flag.unlink()
        waits, reads = (other.result() for other in others)
    assert done.resealed == SECRETS and done.retired == (1,)
    held = sorted(1000 * one for one in holds)
    p99 = held[int(len(held) * 0.99) - 1]
    ratio = seconds / floor
    return [
        Row(f"rotation of {SECRETS:,} secrets beside a writer and a reader",
            f"{seconds:.2f} s, {ratio:.2f}× the floor of {floor:.2f} s; {len(reads):,} lists read", "4×", ratio <= 4),
        Row("write lock held by a batch of the rotation", f"p99 {p99:.0f} ms, longest {held[-1]:.0f} ms", "p99 50 ms", p99 <= 50),
        Row("another writer's wait during the rotation", f"longest {max(waits):.0f} ms of {len(waits)}", "250 ms", max(waits) <= 250),
    ]


def _write(folder: str, flag: str) -> list[float]:
    def change(core: Core) -> None:
        with core.db.writing() as conn:
            conn.execute("UPDATE throttle SET level = 0 WHERE bucket = 'nobody'")

    return _beside(folder, flag, change)


def _read(folder: str, flag: str) -> list[float]:
    def look(core: Core) -> None:
        with core.db.reading() as conn:
            secrets.listing(conn, limit=50)

    return _beside(folder, flag, look)


def _beside(folder: str, flag: str, work: Callable[[Core], None]) -> list[float]:
    """Do the work every 10 ms while the flag is there, in a process of its own; return the ms each took."""
    core = open_core(load({"MCPWEB_DATA_DIR": folder}))
    Path(f"{flag}-{os.getpid()}").touch()
    took = []
    while Path(flag).exists():
        began = time.perf_counter()
        work(core)
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(0.01)
    core.close()
    return took


def _fill(core: Core) -> None:
    value = Sensitive("v" * 64)
    for start in range(0, SECRETS, 5000):
        with core.db.writing() as conn:
            for number in range(start, start + 5000):
                now = clock.now()
                row = Secret(f"sec_{number:08d}", f"N{number}", "", "", "", "global", now, now, "cli:bench", None, True, "", 1, 1)
                sealed = core.vault.seal(conn, rotation.place_of(row), value)
                secrets.insert(conn, replace(row, encrypted_value=sealed.token, encryption_key_id=sealed.key_id))


def _floor(core: Core, version: int) -> float:
    """Return the seconds of raw decrypt, encrypt and UPDATE of the same rows and columns in one transaction, taken back."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with core.db.reading() as conn:
        rows = [(row[0], row[1]) for row in conn.execute("SELECT id, encrypted_value FROM secrets ORDER BY rowid")]
    cipher, aad, plain = AESGCM(os.urandom(32)), b"a" * 150, b"v" * 64
    sealed = []
    for _ in rows:
        nonce = os.urandom(12)
        sealed.append((nonce, cipher.encrypt(nonce, plain, aad)))
    began = time.perf_counter()
    for nonce, body in sealed:
        cipher.encrypt(os.urandom(12), cipher.decrypt(nonce, body, aad), aad)
    crypto = time.perf_counter() - began
    texts = [(text[:-4] + "AAAA", version, row_id) for row_id, text in rows]
    began = time.perf_counter()
    try:
        with core.db.writing() as conn:
            conn.executemany("UPDATE secrets SET encrypted_value = ?, key_version = ? WHERE id = ?", texts)
            raise _TakenBack
    except _TakenBack:
        pass
    return crypto + time.perf_counter() - began


class _TakenBack(Exception):
    pass


def _audit(core: Core) -> Row:
    with core.db.reading() as conn:
        there = audit.head(conn)[0]
    for start in range(there, AUDIT_ROWS, 5000):
        with core.db.writing() as conn:
            for _ in range(start, min(start + 5000, AUDIT_ROWS)):
                audit.append(conn, actor="cli:bench", actor_kind="cli", action="server.update", target="srv_x", detail={"n": 1},
                             ip="127.0.0.1", request_id="req")
    with core.db.reading(deadline_s=600) as conn:
        content = [tuple(row) for row in conn.execute(f"SELECT {audit.FIELDS} FROM audit_log")]
    pairs = [_verified_and_hashed(core, content) for _ in range(AUDIT_PAIRS)]
    ratio = statistics.median(verified / hashed for verified, hashed in pairs)
    best = min(verified for verified, _ in pairs)
    return Row(
        f"audit verify, {len(content):,} rows / the hashes of rows in memory",
        f"{ratio:.2f}×, median of {AUDIT_PAIRS} alternating pairs, processor time ({len(content) / best:,.0f} rows/s)", "1.6×", ratio <= 1.6,
    )


def _verified_and_hashed(core: Core, content: list[tuple[object, ...]]) -> tuple[float, float]:
    """Return the seconds of processor both take: each is work of one thread, and neighbours must not count."""
    with core.db.reading(deadline_s=600) as conn:
        began = time.process_time()
        found = audit.verify(conn)
        verified = time.process_time() - began
    assert found.ok and found.rows == len(content)
    began = time.process_time()
    for row in content:
        audit._hash([str(field).encode() for field in row[:10]])
    return verified, time.process_time() - began
