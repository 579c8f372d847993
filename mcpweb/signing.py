"""The signing key of an installation: Ed25519, beside the key ring; proves records that lie outside the database."""
from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweb.errors import FileNotPrivate
from mcpweb.files import private_folder, read_private
from mcpweb.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SEED_BYTES = 32


def key_path(settings: Settings) -> Path:
    return settings.key_dir / "signing.key"


def public_key(settings: Settings) -> str:
    """Return the public key as base64; makes the key pair at its first use."""
    return _public(_private_key(settings))


def signed(settings: Settings, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with ``public_key`` and ``signature`` (Ed25519, RFC 8032, over its canonical JSON)."""
    key = _private_key(settings)
    whole = record | {"public_key": _public(key)}
    return whole | {"signature": base64.b64encode(key.sign(_canonical(whole))).decode()}


def fits(record: dict[str, Any], public: str) -> bool:
    """Tell whether a record was signed by the holder of this public key and not changed since."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    whole = {name: value for name, value in record.items() if name != "signature"}
    try:
        signature = base64.b64decode(record["signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True)).verify(signature, _canonical(whole))
    except (InvalidSignature, KeyError, ValueError, TypeError):
        return False
    return whole.get("public_key") == public


def _private_key(settings: Settings) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = key_path(settings)
    if not path.exists() and not path.is_symlink():
        _make(path)
    seed = read_private(path)
    if len(seed) != _SEED_BYTES:
        raise FileNotPrivate(f"The signing key {path} is damaged.", next_step="Put it back from its backup.")
    return Ed25519PrivateKey.from_private_bytes(seed)


def _make(path: Path) -> None:
    """Write a new key; of two processes that try at once one wins, and both then read the same file."""
    private_folder(path.parent)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, os.urandom(_SEED_BYTES))
        os.fsync(descriptor)
        os.close(descriptor)
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def _public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _canonical(record: dict[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
