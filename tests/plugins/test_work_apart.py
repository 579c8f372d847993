"""What is work for a whole core is done by a process of its own, which tells, can be stopped and leaves nothing behind."""
from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mcpweb import apart, clock
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit as rows
from mcpweb.dao import keys as key_rows
from mcpweb.dao import secrets as secret_rows
from mcpweb.dao.secrets import Secret
from mcpweb.errors import Cancelled, Interrupted, VaultLocked
from mcpweb.services import audit, jobs, keycheck, keys, secrets
from mcpweb.services.bindings import place_of
from mcpweb.worker import Worker

ME = Actor.cli("tester")


class Children(threading.Thread):
    """Notes what this process had as children that do work apart."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[int, str] = {}
        self._over = threading.Event()

    def __enter__(self) -> Children:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.005):
            self.seen |= there()


def there() -> dict[int, str]:
    """Return this process's children that do work apart, by pid."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            words = (place / "cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError, ValueError):
            continue
        if parent == os.getpid() and b"mcpweb.apart" in words:
            found[int(place.name)] = words[words.index(b"mcpweb.apart") + 1].decode()
    return found


def test_verifying_and_rotating_happen_in_no_process_that_serves_others(core: Core, worker: Worker) -> None:
    secrets.add(core, ME, name="API_KEY", value=Sensitive("canary value"))
    with Children() as children:
        asked = [audit.request_verify(core, ME), keycheck.request_verify(core, ME), keys.rotate(core, ME, "main")]
        ended = [jobs.wait(core, job.id, 30) for job in asked]
    assert [job.state for job in ended] == ["succeeded"] * 3, ended
    assert sorted(children.seen.values()) == ["rotate", "verify_audit", "verify_keys"] and not there()
    whole, opened, rotated = (job.result for job in ended)
    assert whole["ok"] and whole["rows"] >= 3
    assert opened["ok"] and (opened["checked"], opened["fault_count"]) == (1, 0)
    assert (rotated["resealed"], rotated["retired"]) == (1, [1])
    assert not any("canary" in str(job) for job in ended)


def test_the_answer_is_that_of_the_command_line(core: Core) -> None:
    with core.db.writing() as conn:
        conn.execute("DROP TRIGGER audit_log_no_update")
        conn.execute("UPDATE audit_log SET target = 'other' WHERE seq = 1")
    assert apart.run(core.settings, "verify_audit", ME.name) == audit.verify(core, ME)


def test_progress_is_told(core: Core) -> None:
    with core.db.writing() as conn:
        for _ in range(25_000):
            rows.append(conn, actor="cli:me", actor_kind="cli", action="x.y", target="t")
    told: list[tuple[float | None, str]] = []
    whole = apart.run(core.settings, "verify_audit", ME.name, tell=lambda fraction, message: told.append((fraction, message)))
    assert whole["ok"] and told[0][1].startswith("2,000 of 25,") and 0 < (told[0][0] or 0) < 0.1
    assert len(told) < 5, "at most five times a second"


def test_who_stops_listening_stops_the_work(core: Core) -> None:
    with core.db.writing() as conn:
        key = key_rows.by_name(conn, "main")
        for number in range(3000):
            draft = Secret(
                f"sec_{number:026d}", f"S{number}", "", "", key.id, "global", clock.now(), clock.now(), ME.name, None, True, "", 1, 1
            )
            sealed = core.vault.seal(conn, place_of(draft), Sensitive("canary value"))
            secret_rows.insert(conn, replace(draft, encrypted_value=sealed.token))
    told: list[str] = []

    def enough(fraction: float | None, message: str) -> None:
        told.append(message)
        raise Cancelled("It was cancelled.")

    began = time.monotonic()
    with pytest.raises(Cancelled):
        apart.run(core.settings, "verify_keys", ME.name, tell=enough)
    assert not there() and time.monotonic() - began < apart.STOP_S and told == ["200 of 3,000 secrets"]
    with core.db.reading() as conn:
        assert rows.newest(conn, "key.verify") is None, "it went on to its end, with nobody listening"


def test_a_failure_of_the_child_is_the_callers_and_one_that_is_killed_is_told(core: Core) -> None:
    secrets.add(core, ME, name="API_KEY", value=Sensitive("canary value"))
    kept = core.settings.key_file.read_bytes()
    core.settings.key_file.unlink()
    with pytest.raises(VaultLocked) as locked:
        apart.run(core.settings, "verify_keys", ME.name)
    assert locked.value.code == "KEY_MISSING" and locked.value.next_step
    core.settings.key_file.write_bytes(kept)
    killed = replace(core.settings, given={**core.settings.given, "FAILPOINT": "prune.segment_written:kill"})
    with pytest.raises(Interrupted):
        apart.run(killed, "prune_audit", ME.name, clock.later(60))


def test_one_check_at_a_time_is_enough(core: Core) -> None:
    first = audit.request_verify(core, ME)
    assert audit.request_verify(core, ME).id == first.id
    assert keycheck.request_verify(core, ME).id != first.id
