"""The file of a backup: a database with its manifest behind it, and the same under a passphrase.

The open form is a SQLite file that any tool reads, followed by the manifest and a fixed end: ``size of the manifest (8) ‖
SHA-256 of the manifest (32) ‖ MCPWEBBK``. The sealed form is a header and parts of one size, each AES-256-GCM under the key
that Argon2id makes of the passphrase and the header's salt. A part is bound to the header, its position and whether it is the
last one, so parts that are cut off, moved, doubled or taken from elsewhere do not open.
"""
from __future__ import annotations

import hashlib
import hmac
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mcpweb.contracts import Sensitive
from mcpweb.errors import InvalidInput, StorageUnusable

FORMAT = 2
LEAST_CHARACTERS = 12
_END = b"MCPWEBBK"
_FOOT = struct.Struct(">Q32s8s")
_MOST_MANIFEST = 16 << 20
_PAGE_SIZE, _PAGES = slice(16, 18), slice(28, 32)  # of a SQLite header

_MAGIC, _VERSION, _PART_BITS = b"MCPWEBKE", 1, 20
_HEAD = struct.Struct(">8sBBBBII16s16s")  # magic, version, kdf, bits of a part, lanes, passes, KiB, salt, check value
_SUM = struct.Struct(">I")
_TAG = 16
_ARGON2ID = 1


@dataclass(frozen=True)
class Cost:
    """What deriving the key takes; the file names it, so that it can grow."""

    passes: int = 3
    kib: int = 256 * 1024
    lanes: int = 4

    @property
    def sane(self) -> bool:
        """Whether a file may ask this machine for it."""
        return 1 <= self.passes <= 64 and 1 <= self.lanes <= 64 and 8 * self.lanes <= self.kib <= 2 << 20


# The open form


def append(database: Path, manifest: dict[str, Any]) -> None:
    """Put the manifest behind a database, on disk before the call returns."""
    text = json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"
    with open(database, "ab") as file:
        file.write(text + _FOOT.pack(len(text), hashlib.sha256(text).digest(), _END))
        file.flush()
        os.fsync(file.fileno())


def take(path: Path) -> dict[str, Any] | None:
    """Cut the manifest off a copy and return it, None for a bare database.

    Raises StorageUnusable for what is cut, longer than it says, or does not match its manifest.
    """
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(max(0, size - _FOOT.size))
        foot = file.read()
        if len(foot) < _FOOT.size or not foot.endswith(_END):
            file.seek(0)
            _whole(file.read(100), size)
            return None
        length, checksum, _ = _FOOT.unpack(foot)
        if length > min(_MOST_MANIFEST, size - _FOOT.size):
            raise StorageUnusable("The manifest of the backup is damaged.")
        file.seek(size - _FOOT.size - length)
        text = file.read(length)
        if not hmac.compare_digest(hashlib.sha256(text).digest(), checksum):
            raise StorageUnusable("The manifest of the backup is damaged.")
        manifest = json.loads(text)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise StorageUnusable("The backup was written by a newer mcpweb.", next_step="Restore it with that version.")
        file.truncate(size - _FOOT.size - length)
    if sha256(path) != manifest.get("sha256"):
        raise StorageUnusable("The backup does not match its manifest: it is damaged.")
    return manifest


def _whole(head: bytes, size: int) -> None:
    """Raise StorageUnusable for a database that is not as long as its header says."""
    if not size:
        raise StorageUnusable("The backup is empty.")
    if not head.startswith(b"SQLite format 3\0"):
        raise StorageUnusable("The backup is not a database, or damaged.")
    page = int.from_bytes(head[_PAGE_SIZE], "big")
    if size != (65536 if page == 1 else page) * int.from_bytes(head[_PAGES], "big"):
        raise StorageUnusable("The backup is cut off or damaged: it is not as long as it says.")


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# The sealed form


def is_sealed(path: Path) -> bool:
    """Tell whether a file is a backup under a passphrase, whole or not."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def seal(source: Path, out: IO[bytes], passphrase: Sensitive, cost: Cost | None = None) -> None:
    """Write a file under a passphrase. Raises InvalidInput for a short one."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(passphrase.reveal()) < LEAST_CHARACTERS:
        raise InvalidInput(f"The passphrase of a backup has at least {LEAST_CHARACTERS} characters.")
    cost, salt = cost or Cost(), os.urandom(16)
    key, check_key = _derived(passphrase, salt, cost)
    head = _HEAD.pack(_MAGIC, _VERSION, _ARGON2ID, _PART_BITS, cost.lanes, cost.passes, cost.kib, salt, bytes(16))
    head = head[:-16] + _check(check_key, head)
    head += _SUM.pack(zlib.crc32(head))
    out.write(head)
    cipher = AESGCM(key)
    with open(source, "rb") as data:
        for number, part, is_last in _parts(data, 1 << _PART_BITS):
            out.write(cipher.encrypt(_nonce(number, is_last), part, head))


def unseal(source: Path, out: IO[bytes], passphrase: Sensitive | None) -> None:
    """Write the content of a sealed file. What was written is to be thrown away when this raises.

    Raises InvalidInput without a passphrase or with a wrong one, StorageUnusable for a damaged file.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with open(source, "rb") as data:
        head = data.read(_HEAD.size + _SUM.size)
        if len(head) < _HEAD.size + _SUM.size or _SUM.pack(zlib.crc32(head[: _HEAD.size])) != head[_HEAD.size :]:
            raise StorageUnusable(f"{source} is damaged: its header does not match its checksum.")
        _, version, kdf, bits, lanes, passes, kib, salt, check = _HEAD.unpack(head[: _HEAD.size])
        cost = Cost(passes, kib, lanes)
        if (version, kdf) != (_VERSION, _ARGON2ID) or not 10 <= bits <= 26 or not cost.sane:
            raise StorageUnusable(f"{source} was encrypted by a newer mcpweb.", next_step="Restore it with that version.")
        if passphrase is None:
            raise InvalidInput(f"{source} is encrypted.", next_step="Give the passphrase with --passphrase-file.")
        key, check_key = _derived(passphrase, salt, cost)
        if not hmac.compare_digest(check, _check(check_key, head[: _HEAD.size - 16] + bytes(16))):
            raise InvalidInput(f"The passphrase is not the one {source} was encrypted under.", code="wrong_passphrase")
        cipher = AESGCM(key)
        for number, part, is_last in _parts(data, (1 << bits) + _TAG):
            try:
                out.write(cipher.decrypt(_nonce(number, is_last), part, head))
            except (InvalidTag, ValueError):
                raise StorageUnusable(
                    f"{source} is damaged: part {number + 1} was changed or moved, or something after it is missing or added."
                ) from None


def _parts(data: IO[bytes], size: int) -> Iterator[tuple[int, bytes, bool]]:
    """Give the parts of a file with their numbers, and say which one is the last; an empty file has one empty part."""
    number, part = 0, data.read(size)
    while True:
        following = data.read(size)
        yield number, part, not following
        if not following:
            return
        number, part = number + 1, following


def _nonce(number: int, is_last: bool) -> bytes:
    """Return the place of a part; a key belongs to one file, so none comes twice under it."""
    return number.to_bytes(11, "big") + bytes([is_last])


def _check(check_key: bytes, head: bytes) -> bytes:
    return hmac.new(check_key, b"mcpweb backup" + head, hashlib.sha256).digest()[:16]


def _derived(passphrase: Sensitive, salt: bytes, cost: Cost) -> tuple[bytes, bytes]:
    """Return the key of the parts, and the one that tells a wrong passphrase from a damaged file."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        kdf = Argon2id(salt=salt, length=64, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.kib)
        both = kdf.derive(passphrase.reveal().encode())
    except (UnsupportedAlgorithm, MemoryError) as error:
        raise StorageUnusable(f"The key of the backup cannot be derived here: {error or 'too little memory'}.") from None
    return both[:32], both[32:]
