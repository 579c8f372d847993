"""A KEK derived from a passphrase with Argon2id; salt and cost stand beside the key ring, the passphrase nowhere."""
from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from typing import TYPE_CHECKING

from mcpweb.plugin import FileNotPrivate, VaultLocked, private_folder, read_private, write_private

from .local import KEK_BYTES, LocalKeys, kek_id

if TYPE_CHECKING:
    from mcpweb.settings import Settings

# about a second on a small machine; RFC 9106 (section 4) asks for at least 64 MiB and three passes
COST = {"iterations": 3, "lanes": 4, "memory_kib": 256 * 1024}
_MOST = {"iterations": 100, "lanes": 64, "memory_kib": 8 * 1024 * 1024}


class PassphraseKey(LocalKeys):
    """One KEK from a passphrase, derived once per process."""

    name = "passphrase"

    def __init__(self, settings: Settings) -> None:
        self._input = settings.key_input
        self._path = settings.key_dir / "passphrase.json"
        self._guard = threading.Lock()
        self._derived: tuple[bytes, bytes] | None = None  # what it was derived from, as a hash, and the key

    def prepare(self) -> None:
        if not self._path.exists():
            self._given()
            private_folder(self._path.parent)
            salt = base64.b64encode(os.urandom(16)).decode()
            write_private(self._path, json.dumps({"format": 1, "kdf": "argon2id", "salt": salt, **COST}) + "\n")
        self.keys()

    def keys(self) -> dict[str, bytes]:
        passphrase = self._given()
        try:
            parameters = read_private(self._path)
        except FileNotFoundError:
            raise VaultLocked(
                f"{self._path} with the salt is not there.", code="KEY_MISSING", next_step="Put it back from its backup."
            ) from None
        except FileNotPrivate as failure:
            raise VaultLocked(failure.detail, code="KEY_PERMISSIONS", next_step=failure.next_step) from None
        source = hashlib.sha256(parameters + passphrase).digest()
        with self._guard:
            if self._derived is None or self._derived[0] != source:
                self._derived = (source, self._derive(passphrase, parameters))
            key = self._derived[1]
        return {kek_id(key): key}

    def refresh(self) -> None:
        with self._guard:
            self._derived = None

    def _given(self) -> bytes:
        given = self._input.get("passphrase")
        if given is None:
            raise VaultLocked(
                "The passphrase of the keys is needed.", code="KEY_PASSPHRASE_NEEDED",
                next_step="Run `mcpweb keys unlock`, or set MCPWEB_PASSPHRASE_FILE.",
            )
        return given.reveal().encode()

    def _derive(self, passphrase: bytes, parameters: bytes) -> bytes:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        try:
            known = json.loads(parameters)
            cost = {name: int(known[name]) for name in COST}
            salt = base64.b64decode(known["salt"], validate=True)
        except (ValueError, KeyError, TypeError):
            cost, salt = {}, b""
        if len(salt) < 16 or not all(1 <= cost[name] <= most for name, most in _MOST.items()):
            raise VaultLocked(f"{self._path} is damaged.", code="KEY_WRONG", next_step="Put it back from its backup.")
        kdf = Argon2id(
            salt=salt, length=KEK_BYTES, iterations=cost["iterations"], lanes=cost["lanes"], memory_cost=cost["memory_kib"]
        )
        return kdf.derive(passphrase)
