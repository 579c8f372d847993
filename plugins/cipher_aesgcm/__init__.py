"""AES-256-GCM with a random 96-bit nonce for each value; what it belongs to is bound in as associated data."""
from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from mcpweb.plugin import Cipher, Tampered, hookimpl

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from mcpweb.settings import Settings

mcpweb_api = 1


class AesGcm(Cipher):
    """AES-256-GCM (NIST SP 800-38D).

    With random 96-bit nonces SP 800-38D (section 8.3) allows 2^32 encryptions under one key; half of it is refused.
    """

    name = "A256GCM"
    key_bytes = 32
    uses_warn = 2**30
    uses_limit = 2**31

    def encrypt(self, key: bytes, plaintext: bytes, associated: bytes) -> tuple[bytes, bytes]:
        nonce = os.urandom(12)
        return nonce, _aead()(key).encrypt(nonce, plaintext, associated)

    def decrypt(self, key: bytes, nonce: bytes, body: bytes, associated: bytes) -> bytes:
        try:
            return _aead()(key).decrypt(nonce, body, associated)
        except _refusals():
            raise Tampered() from None


@cache
def _aead() -> type[AESGCM]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # at the first value: the start does not wait for it

    return AESGCM


def _refusals() -> tuple[type[Exception], ...]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag, ValueError


@hookimpl
def mcpweb_add_ciphers(settings: Settings) -> list[Cipher]:
    return [AesGcm()]
