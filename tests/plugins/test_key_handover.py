"""A key from the environment is read once by ``serve`` and reaches its processes through memory only."""
from __future__ import annotations

import base64
import json
import os
import urllib.request
from pathlib import Path

import pytest

from mcpweb.contracts import Sensitive
from mcpweb.keyinput import DESCRIPTOR, KeyInput
from mcpweb.settings import load
from mcpweb.testing.served import Served


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def test_no_process_has_the_key_in_its_environment_and_the_vault_is_open(tmp_path: Path) -> None:
    key = base64.b64encode(os.urandom(32)).decode()
    served = Served(tmp_path, MCPWEB_KEY_SOURCE="environment", MCPWEB_KEY_ENV=key, MCPWEB_WEB_WORKERS="1")
    served.start()
    try:
        processes = family(served.pid)
        assert len(processes) >= 4
        for process in processes:
            assert key.encode() not in Path(f"/proc/{process}/environ").read_bytes()
            assert key.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
        with urllib.request.urlopen(f"{served.url}/readyz", timeout=5) as answer:
            assert json.load(answer)["vault"] == "open"
    finally:
        served.stop()


def test_what_is_put_reaches_everybody_who_shares_the_memory_file(tmp_path: Path) -> None:
    first = KeyInput({"environment": Sensitive("one")})
    handed = first.hand_over()
    assert handed is not None
    second = load({"MCPWEB_DATA_DIR": str(tmp_path / "data"), DESCRIPTOR: str(handed)}).key_input
    assert second.get("environment").reveal() == "one"  # type: ignore[union-attr]
    assert second.get("passphrase") is None
    second.put("passphrase", Sensitive("two"))
    assert first.get("passphrase").reveal() == "two"  # type: ignore[union-attr]
    assert "two" not in repr(first) + str(second)
    os.close(handed)


def test_a_passphrase_is_read_from_its_file_without_the_last_newline(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("three words\n\n")
    given = KeyInput(passphrase_file=tmp_path / "words").get("passphrase")
    assert given is not None and given.reveal() == "three words\n"
    assert KeyInput(passphrase_file=tmp_path / "none").get("passphrase") is None


@pytest.mark.parametrize("source", ["environment", "passphrase", "nothing-like-it"])
def test_without_its_key_the_product_starts_locked_and_says_so(tmp_path: Path, source: str) -> None:
    served = Served(tmp_path, MCPWEB_KEY_SOURCE=source, MCPWEB_WEB_WORKERS="1")
    served.start()
    try:
        with urllib.request.urlopen(f"{served.url}/readyz", timeout=5) as answer:
            assert answer.status == 200 and json.load(answer)["vault"] == "locked"
        assert not (tmp_path / "data.keys" / "ring.json").exists()
    finally:
        served.stop()
