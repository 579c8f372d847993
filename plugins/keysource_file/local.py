"""Key-encryption keys held in this process: AES-256-GCM wraps, and the id of a KEK is its own check value."""
from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from abc import abstractmethod

from mcpweb.plugin import KeySource, KeySourceHealth, Tampered, VaultLocked, Wrapped

KEK_BYTES = 32
_NONCE_BYTES = 12


def kek_id(key: bytes) -> str:
    """Return the public name of a KEK: 128 bits of HMAC-SHA-256, so that another key cannot bear it."""
    return "kek_" + hmac.new(key, b"mcpweb kek id", hashlib.sha256).hexdigest()[:32]


def decode_key(text: str) -> bytes | None:
    """Return the 32 bytes of a key given as base64, base64url or hex; None when it is something else."""
    text = text.strip()
    try:
        if len(text) == 2 * KEK_BYTES:
            return bytes.fromhex(text)
        key = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEK_BYTES else None


class LocalKeys(KeySource):
    """A source that has its KEKs in memory while it works."""

    @abstractmethod
    def keys(self) -> dict[str, bytes]:
        """Return the KEKs by id, the one that wraps first. Raises VaultLocked."""

    def prepare(self) -> None:
        self.keys()

    def kek_ids(self) -> tuple[str, ...]:
        return tuple(self.keys())

    def wrap(self, key: bytes, associated: bytes) -> Wrapped:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        name, kek = next(iter(self.keys().items()))
        nonce = os.urandom(_NONCE_BYTES)
        return Wrapped(name, nonce + AESGCM(kek).encrypt(nonce, key, associated))

    def unwrap(self, kek_id: str, blob: bytes, associated: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        keys = self.keys()
        if kek_id not in keys:
            raise VaultLocked(
                f"The key source {self.name} holds {', '.join(keys)}, but {kek_id} is needed.", code="KEY_WRONG"
            )
        try:
            return AESGCM(keys[kek_id]).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], associated)
        except (InvalidTag, ValueError):
            raise Tampered("A wrapped key was changed in the database.", next_step="Restore a backup.") from None

    def health(self) -> KeySourceHealth:
        try:
            self.keys()
        except VaultLocked as failure:
            return KeySourceHealth(False, failure.code, failure.detail, failure.next_step)
        return KeySourceHealth(True)
