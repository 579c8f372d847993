"""A sealed backup opens whole or not at all: every way to change it is seen."""
from __future__ import annotations

import io
import random
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from mcpweb.contracts import Sensitive
from mcpweb.errors import InvalidInput, StorageUnusable
from mcpweb.services import backupfiles
from mcpweb.services.backupfiles import Cost

PHRASE = Sensitive("correct horse battery")
QUICK = Cost(passes=1, kib=64, lanes=1)
HEAD, PART, TAG = 56, 1 << 20, 16
SEALED = PART + TAG


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three whole parts and a bit."""
    path = tmp_path_factory.mktemp("plain") / "plain"
    path.write_bytes(random.Random(7).randbytes(3 * PART + 100))
    return path


@pytest.fixture(scope="module")
def sealed(plain: Path) -> bytes:
    out = io.BytesIO()
    backupfiles.seal(plain, out, PHRASE, QUICK)
    return out.getvalue()


def opened(folder: Path, data: bytes, passphrase: Sensitive | None = PHRASE) -> bytes:
    file, out = folder / "file", io.BytesIO()
    file.write_bytes(data)
    backupfiles.unseal(file, out, passphrase)
    return out.getvalue()


def part(data: bytes, number: int) -> bytes:
    return data[HEAD + number * SEALED : HEAD + (number + 1) * SEALED]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


TAMPERED: dict[str, Callable[[bytes], bytes]] = {
    "the last part is missing": lambda d: d[: HEAD + 3 * SEALED],
    "two parts are missing": lambda d: d[: HEAD + 2 * SEALED],
    "all parts are missing": lambda d: d[:HEAD],
    "the last byte is missing": lambda d: d[:-1],
    "half a part is missing": lambda d: d[: HEAD + SEALED + SEALED // 2],
    "the first part is missing": lambda d: d[:HEAD] + d[HEAD + SEALED :],
    "a part in the middle is missing": lambda d: d[: HEAD + SEALED] + d[HEAD + 2 * SEALED :],
    "two parts changed places": lambda d: d[:HEAD] + part(d, 1) + part(d, 0) + d[HEAD + 2 * SEALED :],
    "a part comes twice": lambda d: d[: HEAD + SEALED] + part(d, 0) + d[HEAD + SEALED :],
    "a part stands for another": lambda d: d[: HEAD + SEALED] + part(d, 0) + d[HEAD + 2 * SEALED :],
    "the last part comes twice": lambda d: d + d[HEAD + 3 * SEALED :],
    "a byte follows": lambda d: d + b"x",
    "a byte of a part is another": lambda d: flipped(d, HEAD + SEALED + 500),
    "a byte of a tag is another": lambda d: flipped(d, HEAD + SEALED - 1),
    "the last byte is another": lambda d: flipped(d, len(d) - 1),
    "nothing but the name": lambda d: d[:8],
}


def test_what_was_sealed_opens_with_its_passphrase_only(tmp_path: Path, plain: Path, sealed: bytes) -> None:
    assert opened(tmp_path, sealed) == plain.read_bytes()
    for wrong in ("correct horse batterz", "correct horse battery ", "x" * 5000):
        with pytest.raises(InvalidInput, match="passphrase") as told:
            opened(tmp_path, sealed, Sensitive(wrong))
        assert told.value.code == "wrong_passphrase"
    with pytest.raises(InvalidInput, match="is encrypted"):
        opened(tmp_path, sealed, None)


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART])
def test_every_size_comes_back(tmp_path: Path, size: int) -> None:
    file, out = tmp_path / "plain", io.BytesIO()
    file.write_bytes(b"a" * size)
    backupfiles.seal(file, out, PHRASE, QUICK)
    assert opened(tmp_path, out.getvalue()) == file.read_bytes()
    if size == PART:
        with pytest.raises(StorageUnusable):
            opened(tmp_path, out.getvalue() + out.getvalue()[HEAD:])


@pytest.mark.parametrize("what", TAMPERED)
def test_it_does_not_open_when(tmp_path: Path, sealed: bytes, what: str) -> None:
    changed = TAMPERED[what](sealed)
    assert changed != sealed
    with pytest.raises(StorageUnusable, match="damaged"):
        opened(tmp_path, changed)


def test_no_bit_of_the_header_can_be_another(tmp_path: Path, sealed: bytes) -> None:
    for at in range(HEAD):
        with pytest.raises(StorageUnusable):
            opened(tmp_path, flipped(sealed, at))


def test_a_header_with_a_fitting_checksum_opens_nothing_either_and_asks_for_no_more_than_a_machine_has(
    tmp_path: Path, sealed: bytes
) -> None:
    def with_sum(head: bytes) -> bytes:
        return head + zlib.crc32(head).to_bytes(4, "big") + sealed[HEAD:]

    head = sealed[: HEAD - 4]
    assert with_sum(head) == sealed
    refused = {8: StorageUnusable, 9: StorageUnusable, 10: InvalidInput, 11: StorageUnusable, 19: InvalidInput, 20: InvalidInput, 40: InvalidInput}
    for at, wanted in refused.items():  # version, derivation, size of a part, lanes, memory, salt, check value
        with pytest.raises(wanted):
            opened(tmp_path, with_sum(flipped(head, at)))
    with pytest.raises(StorageUnusable, match="newer"):
        opened(tmp_path, with_sum(head[:16] + b"\xff\xff\xff\xff" + head[20:]))


def test_parts_of_another_file_under_the_same_passphrase_do_not_open(tmp_path: Path, plain: Path, sealed: bytes) -> None:
    out = io.BytesIO()
    backupfiles.seal(plain, out, PHRASE, QUICK)
    other = out.getvalue()
    assert all(part(other, number) != part(sealed, number) for number in range(4)), "the same content, never the same bytes"
    with pytest.raises(StorageUnusable):
        opened(tmp_path, sealed[: HEAD + SEALED] + part(other, 1) + sealed[HEAD + 2 * SEALED :])
    with pytest.raises(StorageUnusable):
        opened(tmp_path, other[:HEAD] + sealed[HEAD:])


def test_a_short_passphrase_is_refused(plain: Path) -> None:
    with pytest.raises(InvalidInput, match="12"):
        backupfiles.seal(plain, io.BytesIO(), Sensitive("eleven char"), QUICK)


def test_an_open_backup_is_a_database_for_every_tool_and_a_bare_one_has_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE t (a)")
    conn.commit()
    conn.close()
    bare = path.read_bytes()
    assert backupfiles.take(path) is None and path.read_bytes() == bare
    manifest = {"format": backupfiles.FORMAT, "sha256": backupfiles.sha256(path)}
    backupfiles.append(path, manifest)
    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    conn.close()
    assert backupfiles.take(path) == manifest and path.read_bytes() == bare
    backupfiles.append(path, manifest | {"format": 99})
    with pytest.raises(StorageUnusable, match="newer"):
        backupfiles.take(path)
