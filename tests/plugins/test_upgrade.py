"""After an upgrade a running set answers 503, leaves, and is started again by its supervisor."""
from __future__ import annotations

import sqlite3
import time
import urllib.error
import urllib.request
from pathlib import Path

from mcpweb.testing.served import Served


def children(pid: int) -> set[str]:
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def test_a_schema_that_changed_under_a_running_set_starts_it_again(tmp_path: Path) -> None:
    served = Served(tmp_path, MCPWEB_WEB_WORKERS="1").start()
    try:
        before = children(served.pid)
        assert len(before) == 2
        conn = sqlite3.connect(tmp_path / "data" / "mcpweb.db")
        number = conn.execute("PRAGMA user_version").fetchone()[0]
        conn.execute(f"PRAGMA user_version = {number + 1}")
        conn.close()
        answers = []
        until = time.monotonic() + 40
        while time.monotonic() < until and not (503 in answers and not before & children(served.pid)):
            try:
                with urllib.request.urlopen(f"{served.url}/sign-in", timeout=5) as answer:
                    answers.append(answer.status)
            except urllib.error.HTTPError as error:
                answers.append(error.code)
                assert "restart" in error.read().decode().lower()
            except OSError:
                pass
            time.sleep(0.1)
        assert 503 in answers and not before & children(served.pid)
        served.wait_ready()
        with urllib.request.urlopen(f"{served.url}/sign-in", timeout=5) as answer:
            assert answer.status == 200
    finally:
        served.stop()
