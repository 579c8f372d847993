"""A backup never holds the keys: with its key ring it opens, without it the product says which key is missing."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mcpweb.contracts import Sensitive
from mcpweb.core import open_core
from mcpweb.dao import keys
from mcpweb.settings import load
from mcpweb.testing import commands
from mcpweb.vault import Place

CANARY = "canary-3f9b1c7e5a"
PLACE = Place("sec_1", "API_KEY", "global", "", 1)


def mcpweb(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "MCPWEB_DATA_DIR": str(folder / "data")}
    done = commands.shared().run([*words, "--json"], environment, folder, None, 120)
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
    files += [backup[0]]
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


SECRET_NAME = "a-name-only-tables-know"


def test_under_a_passphrase_neither_value_nor_token_nor_table_stands_in_the_file_and_it_comes_back(
    tmp_path: Path, backup: tuple[Path, str]
) -> None:
    old = tmp_path / "old"
    core = open_core(load({"MCPWEB_DATA_DIR": str(old / "data")}))
    with core.db.writing() as conn:
        conn.execute("UPDATE encryption_keys SET created_by = created_by || :name", {"name": SECRET_NAME})
    core.close()
    phrase, wrong = tmp_path / "phrase", tmp_path / "wrong"
    phrase.write_text("twelve characters at least\n")
    wrong.write_text("twelve characters at most\n")
    phrase.chmod(0o600)
    wrong.chmod(0o600)
    under = ("--passphrase-file", str(phrase))
    sealed, open_one = tmp_path / "sealed.mcpweb", tmp_path / "open.db"
    assert mcpweb(old, "db", "backup", str(open_one))[0] == 0
    code, told, _ = mcpweb(old, "db", "backup", str(sealed), *under)
    assert (code, told["encrypted"]) == (0, True)
    for word in (CANARY, backup[1], SECRET_NAME, "CREATE TABLE", "SQLite format", "audit_log", '"format"', told["instance"]):
        assert word.encode() not in sealed.read_bytes(), word
        assert word == CANARY or word.encode() in open_one.read_bytes(), f"{word}: the search can find"
    assert not [path for path in (old / "data").iterdir() if "plain" in path.name or "check" in path.name]

    code, _, errors = mcpweb(old, "db", "check", str(sealed))
    assert code == 2 and "--passphrase-file" in errors
    code, _, errors = mcpweb(old, "db", "restore", str(sealed), "--yes", "--passphrase-file", str(wrong))
    assert code == 2 and "wrong_passphrase" in errors
    code, said, _ = mcpweb(old, "db", "check", str(sealed), *under)
    assert (code, said["ok"], said["missing_keys"], said["manifest"]["instance"]) == (0, True, [], told["instance"])
    elsewhere = tmp_path / "new"
    elsewhere.mkdir()
    code, said, errors = mcpweb(elsewhere, "db", "check", str(sealed), *under)
    assert (code, [one["key"] for one in said["missing_keys"]]) == (0, ["main"]) and "Warning: main version 1 needs kek_" in errors
    assert not (elsewhere / "data").exists()
    code, said, errors = mcpweb(old, "db", "restore", str(sealed), "--yes", *under)
    assert (code, said["vault"], said["missing_keys"], errors) == (0, "open", [], "")
    phrase.chmod(0o666)
    assert mcpweb(old, "db", "check", str(sealed), *under)[0] == 2
