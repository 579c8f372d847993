"""A database that is damaged, empty or gone: everybody who opens it is told what to do, and nobody makes a new one in its place."""
from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from mcpweb import fitness, paths
from mcpweb.cli import cli
from mcpweb.core import Core, open_core
from mcpweb.db import driver
from mcpweb.errors import Failure
from mcpweb.services import backups, health
from mcpweb.testing.fixtures import HOST, MakeServer, Visitor, settings_of
from tests.faults.house import ME


def header(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"not what it was!")


def pages(path: Path) -> None:
    """Write over every page but the first; which of them matters is nobody's guess."""
    with open(path, "r+b") as file:
        for at in range(4096, path.stat().st_size, 4096):
            file.seek(at)
            file.write(b"\xff" * 1000)


def half(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)


def empty(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(0)


DAMAGES: list[Callable[[Path], None]] = [header, pages, half, empty, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_whoever_opens_it_is_told_to_restore_and_the_backup_brings_everything_back(
    core: Core, make_server: MakeServer, tmp_path: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_server("kept")
    backup = tmp_path / "kept.db"
    backups.backup(core, ME, backup)
    path, series = core.settings.db_path, [("core", paths.SQL)]
    core.close()
    for log in path.parent.glob("mcpweb.db-*"):
        log.unlink()
    damage(path)
    left = path.read_bytes() if path.exists() else None

    for settings_again in range(2):  # the second start is told as the first
        with pytest.raises(Failure) as told:
            with open_core(core.settings).db.reading() as conn:
                conn.execute("SELECT count(*) FROM servers").fetchone()
        assert "restore" in told.value.sentence and "SELECT" not in told.value.sentence, settings_again
    for name, value in core.settings.to_environment().items():
        if name.startswith("MCPWEB_"):
            monkeypatch.setenv(name, value)
    for command in (["doctor"], ["db", "check"]):
        said = CliRunner().invoke(cli, command)
        words = said.exception.sentence if isinstance(said.exception, Failure) else said.output
        assert said.exit_code != 0 and ("restore" in words or "problems" in words), (words, said.exception)
    assert (path.read_bytes() if path.exists() else None) == left

    backups.restore(core.settings, series, backup)
    again = open_core(core.settings)
    with again.db.reading() as conn:
        assert [row[0] for row in conn.execute("SELECT name FROM servers")] == ["kept"]
        assert [row[0] for row in conn.execute("PRAGMA integrity_check")] == ["ok"]
    again.close()


def test_a_file_that_is_deleted_under_the_running_product_takes_no_more_writes(
    core: Core, visitor: Visitor, make_server: MakeServer, tmp_path: Path
) -> None:
    make_server("kept")
    new = {"name": "new", "image": "tiny:1"}
    assert visitor.post("/servers", new, page="/servers/new").status_code == 303
    token = visitor.token("/servers/new")
    core.settings.db_path.rename(tmp_path / "elsewhere.db")
    time.sleep(fitness.LOOK_EVERY_S + 0.05)
    refused = visitor.client.post(
        "/servers", data={"name": "lost", "image": "tiny:1", "csrf_token": token}, base_url=f"http://{HOST}"
    )
    assert refused.status_code == 503 and "was deleted or replaced" in refused.text and "restore" in refused.text
    sheets = re.findall(r'(?:href|src)="(/static/[^"#]+)', refused.text)  # the page that says so keeps its looks
    assert sheets and {visitor.client.get(sheet, base_url=f"http://{HOST}").status_code for sheet in sheets} == {200}
    (tmp_path / "elsewhere.db").rename(core.settings.db_path)  # whoever put it back goes on
    assert "new" in visitor.get("/servers").text and "lost" not in visitor.get("/servers").text


OLD = """
import sys
sys.modules["pysqlite3"] = None
from mcpweb.core import open_core
from mcpweb.db import driver
from mcpweb.services import health
core = open_core()
with core.db.reading() as conn:
    print(driver.version_text, driver.WAL_IS_SAFE, conn.execute("PRAGMA journal_mode").fetchone()[0], health.sqlite_finding().level)
"""


def test_a_sqlite_with_the_wal_reset_fault_gets_no_write_ahead_log_and_is_told(core: Core) -> None:
    """The other SQLite is the one of Python itself, old or new."""
    assert driver.WAL_IS_SAFE and health.sqlite_finding().level == "ok"
    core.close()
    done = subprocess.run(
        [sys.executable, "-c", OLD], env=core.settings.to_environment(), capture_output=True, text=True, cwd=paths.PACKAGE.parent,
    )
    version, safe, journal, level = done.stdout.split()
    new = tuple(map(int, version.split("."))) >= (3, 51, 3)
    assert (safe, journal, level) == (("True", "wal", "ok") if new else ("False", "delete", "warning"))
    open_core(settings_of(core.settings.db_path)).close()
