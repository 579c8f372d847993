"""A backup never holds the keys: with its key ring it opens, without it the product says which key is missing."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcpweb.contracts import Sensitive
from mcpweb.core import open_core
from mcpweb.dao import keys
from mcpweb.settings import load
from mcpweb.vault import Place

CANARY = "canary-3f9b1c7e5a"
PLACE = Place("sec_1", "API_KEY", "global", "", 1)


def mcpweb(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "mcpweb", *words, "--json"], capture_output=True, text=True, cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "MCPWEB_DATA_DIR": str(folder / "data")},
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.fixture
def backup(tmp_path: Path) -> tuple[Path, str]:
    """A backup of an installation with one sealed value, and the token."""
    core = open_core(load({"MCPWEB_DATA_DIR": str(tmp_path / "old" / "data")}))
    with core.db.writing() as conn:
        token = core.vault.seal(conn, PLACE, Sensitive(CANARY)).token
        conn.execute("UPDATE encryption_keys SET created_by = :token", {"token": token})  # rides along in any text column
    core.close()
    code, told, _ = mcpweb(tmp_path / "old", "db", "backup", str(tmp_path / "kept.db"))
    assert code == 0 and [one["key"] for one in told["keys"]] == ["main"]
    return tmp_path / "kept.db", token


def test_neither_the_value_nor_key_material_stands_in_database_log_or_backup(tmp_path: Path, backup: tuple[Path, str]) -> None:
    ring = json.loads((tmp_path / "old" / "data.keys" / "ring.json").read_text())["keks"][0]["key"]
    files = [path for path in (tmp_path / "old" / "data").rglob("*") if path.is_file()]
    files += [backup[0], backup[0].with_name("kept.db.manifest.json")]
    assert len(files) >= 3
    for path in files:
        content = path.read_bytes()
        assert CANARY.encode() not in content and ring.encode() not in content, path
    assert backup[1].encode() in backup[0].read_bytes(), "the encrypted value is there, so the search can find"


def test_restored_beside_its_own_ring_everything_opens(tmp_path: Path, backup: tuple[Path, str]) -> None:
    code, told, errors = mcpweb(tmp_path / "old", "db", "restore", str(backup[0]), "--yes")
    assert (code, told["vault"], errors) == (0, "open", "")
    core = open_core(load({"MCPWEB_DATA_DIR": str(tmp_path / "old" / "data")}))
    with core.db.reading() as conn:
        assert core.vault.open(conn, PLACE, backup[1]).reveal() == CANARY
    core.close()


def test_restored_beside_another_ring_the_vault_is_locked_and_names_both_keys(tmp_path: Path, backup: tuple[Path, str]) -> None:
    elsewhere = tmp_path / "new"
    elsewhere.mkdir()
    assert mcpweb(elsewhere, "db", "migrate")[0] == 0
    ring = elsewhere / "data.keys" / "ring.json"
    before = ring.read_bytes()
    code, told, errors = mcpweb(elsewhere, "db", "restore", str(backup[0]), "--yes")
    assert (code, told["vault"]) == (0, "locked")
    assert "KEY_WRONG" in errors and errors.count("kek_") == 2 and ring.read_bytes() == before
    core = open_core(load({"MCPWEB_DATA_DIR": str(elsewhere / "data")}))
    with core.db.reading() as conn:
        assert [key.key_name for key in keys.listing(conn)] == ["main"]
    core.close()
