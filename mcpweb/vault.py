"""The vault: the only place that turns plaintext into tokens and back, and the only caller of ciphers.

A token is ``mcpweb1:<algorithm>:<key id>:<key version>:<value version>:<nonce>:<body>`` with canonical base64url. Its
associated data are all facts of the row it belongs to, each behind its length in four bytes, so that a value which was
moved, renamed, given another owner or cut does not open (NIST SP 800-38D; the lengths keep two rows from coming down to
the same bytes).
"""
from __future__ import annotations

import hashlib
import hmac
import os
import re
import threading
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from mcpweb import clock
from mcpweb.contracts import Cipher, KeySource, Sensitive
from mcpweb.dao import keys
from mcpweb.dao.keys import Key, KeyVersion
from mcpweb.db import Connection
from mcpweb.errors import Conflict, Failure, FieldError, InvalidInput, KeyExhausted, NotFound, Tampered, VaultLocked
from mcpweb.ids import new_id

FORMAT = "mcpweb1"
DEFAULT_CIPHER = "A256GCM"
FIRST_KEY = "main"
MAX_VALUE_BYTES = 64 * 1024
USES_BLOCK = 2**16
_TOKEN = re.compile(
    r"mcpweb1:([A-Z0-9]{1,32}):([a-z]+_[0-9a-z]+):([1-9][0-9]{0,8}):(0|[1-9][0-9]{0,8}):([\w-]+):([\w-]+)", re.ASCII
)
_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_+/=", b"+/!!!")
_LAST = {2: "AQgw", 3: "AEIMQUYcgkosw048"}  # where the last character holds spare bits, they are 0 in the one canonical text


class Place(NamedTuple):
    """The row a value belongs to; a token opens at its own place only."""

    secret_id: str
    name: str
    scope: str
    owner_id: str
    value_version: int


@dataclass(frozen=True)
class Token:
    """An encrypted value as the row holds it."""

    alg: str
    key_id: str
    key_version: int
    value_version: int
    nonce: bytes
    body: bytes = field(repr=False)

    def __str__(self) -> str:
        numbers = f"{self.key_id}:{self.key_version}:{self.value_version}"
        return f"{FORMAT}:{self.alg}:{numbers}:{_encode(self.nonce)}:{_encode(self.body)}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """Return the token. Raises Tampered for anything that we did not write, non-canonical base64 included."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            raise Tampered("An encrypted value is damaged: it is not a token.")
        alg, key_id, key_version, value_version, nonce, body = found.groups()
        return cls(alg, key_id, int(key_version), int(value_version), _decode(nonce), _decode(body))


class Sealed(NamedTuple):
    """A new token and the key version it stands under; ``digest`` is what the audit log keeps of it."""

    token: str
    key_id: str
    key_version: int

    @property
    def digest(self) -> str:
        return token_digest(self.token)


@dataclass(frozen=True)
class Material:
    """A key version that is ready to use. Hold it no longer than one piece of work."""

    key_id: str
    version: int
    cipher: Cipher
    key: bytes = field(repr=False)

    def seal(self, place: Place, value: Sensitive) -> Sealed:
        """Encrypt a value for its place. Raises InvalidInput for text that is too long or cannot be encoded."""
        return self._seal(place, _row(place), encoded(value))

    def open(self, place: Place, text: str) -> Sensitive:
        """Decrypt the value of a place. Raises Tampered."""
        return Sensitive(self._open(place, _row(place), text).decode())

    def reseal(self, place: Place, text: str, under: Material) -> Sealed:
        """Put the value of a place under another version as it is. Raises Tampered."""
        row = _row(place)
        return under._seal(place, row, self._open(place, row, text))

    def _seal(self, place: Place, row: bytes, plaintext: bytes) -> Sealed:
        nonce, body = self.cipher.encrypt(self.key, plaintext, self._associated(place, row))
        return Sealed(f"{self._head}{place.value_version}:{_encode(nonce)}:{_encode(body)}", self.key_id, self.version)

    def _open(self, place: Place, row: bytes, text: str) -> bytes:
        head = f"{self._head}{place.value_version}:"
        if not text.startswith(head):
            raise self._foreign(text)
        nonce, _, body = text[len(head):].partition(":")
        return self.cipher.decrypt(self.key, _decode(nonce), _decode(body), self._associated(place, row))

    def _associated(self, place: Place, row: bytes) -> bytes:
        first, last = self._associated_ends
        return first + row + last + _join(str(place.value_version))

    def _foreign(self, text: str) -> Tampered:
        """Tell what is wrong with a token that does not begin as one of this version and place does."""
        token = Token.parse(text)
        if (token.alg, token.key_id, token.key_version) != (self.cipher.name, self.key_id, self.version):
            return Tampered("An encrypted value does not name the key of its row.")
        return Tampered("An encrypted value is not the newest one of its row.")

    @cached_property
    def _head(self) -> str:
        return f"{FORMAT}:{self.cipher.name}:{self.key_id}:{self.version}:"

    @cached_property
    def _associated_ends(self) -> tuple[bytes, bytes]:
        return _join(FORMAT, self.cipher.name), _join(self.key_id, str(self.version))


@dataclass(frozen=True)
class VaultState:
    """Whether secrets can be written and opened; ``code`` says why not."""

    locked: bool
    code: str = ""
    detail: str = ""
    next_step: str = ""


class Vault:
    """Keys in use. Material is cached, and used only after the caller's own transaction has seen its version alive."""

    def __init__(self, ciphers: Mapping[str, Cipher], sources: Mapping[str, KeySource], default_source: str) -> None:
        self.ciphers = dict(ciphers)
        self.sources = dict(sources)
        self.default_source = default_source
        self._cache: dict[tuple[str, int], tuple[str, bytes]] = {}
        self._reserved: dict[tuple[str, int], int] = {}
        self._guard = threading.Lock()

    # Values

    def give_up(self, name: str) -> None:
        """Offer a cipher or key source no more, and drop the keys in use."""
        self.ciphers.pop(name, None)
        self.sources.pop(name, None)
        with self._guard:
            self._cache.clear()

    def seal(self, conn: Connection, place: Place, value: Sensitive, *, key_name: str = FIRST_KEY) -> Sealed:
        """Encrypt a value under the active version of a key, inside the caller's writing transaction.

        Raises VaultLocked, KeyExhausted, InvalidInput, NotFound for an unknown key.
        """
        version = keys.active_version(conn, keys.by_name(conn, key_name).id)
        material = self.material(conn, version)
        self.count(conn, version, 1)
        return material.seal(place, value)

    def open(self, conn: Connection, place: Place, token: str) -> Sensitive:
        """Decrypt the value of a row. Raises Tampered, VaultLocked."""
        parsed = Token.parse(token)
        try:
            version = keys.version(conn, parsed.key_id, parsed.key_version)
        except NotFound:
            raise Tampered("An encrypted value names a key that does not exist.") from None
        return self.material(conn, version).open(place, token)

    def count(self, conn: Connection, version: KeyVersion, uses: int) -> None:
        """Reserve encryptions in blocks, so that a crash counts too many and never too few. Raises KeyExhausted."""
        cipher = self.cipher(version.alg)
        spot = (version.key_id, version.version)
        with self._guard:
            left = self._reserved.get(spot, 0)
            if left < uses:
                block = max(USES_BLOCK, uses)
                if version.uses + block > cipher.uses_limit:
                    raise KeyExhausted(f"Version {version.version} of the key was used {version.uses} times.")
                keys.reserve_uses(conn, version.key_id, version.version, block)
                left += block
            self._reserved[spot] = left - uses

    # Keys

    def state(self, conn: Connection) -> VaultState:
        """Tell whether every active key can be had now; asks the key sources, past the cache."""
        try:
            found = keys.listing(conn)
            if not found:
                self.source(self.default_source).kek_ids()
                raise VaultLocked("There is no key yet.", code="KEY_MISSING", next_step="Run `mcpweb keys unlock`.")
            for key in found:
                self._unwrap(keys.active_version(conn, key.id))
        except VaultLocked as failure:
            return VaultState(True, failure.code, failure.detail, failure.next_step)
        except Tampered as failure:
            return VaultState(True, "KEY_WRONG", failure.detail, failure.next_step)
        except NotFound as failure:
            return VaultState(True, "KEY_MISSING", failure.detail, "Restore a backup.")
        return VaultState(False)

    def first_key(self, conn: Connection, created_by: str) -> Key | None:
        """Make the first key, and the first KEK where the source can, when there is none yet.

        With a key in the database nothing is made, whatever the source lacks: a new KEK could not open the old key.
        """
        if keys.any_exists(conn):
            return None
        source = self.source(self.default_source)
        source.prepare()
        return self.add_key(conn, FIRST_KEY, created_by=created_by)

    def add_key(
        self, conn: Connection, name: str, *, created_by: str, cipher: str = DEFAULT_CIPHER, source: str | None = None
    ) -> Key:
        """Add a named key with its first version. Raises VaultLocked, NotFound for an unknown cipher or source."""
        now = clock.now()
        key = Key(new_id("key"), name, 1, True, now, None, created_by)
        keys.insert(conn, key)
        keys.insert_version(conn, self._made(key.id, 1, self.cipher(cipher), source or self.default_source))
        return key

    def add_version(self, conn: Connection, key: Key) -> KeyVersion:
        """Make the next version the active one; the one before is retiring from here on, in the same transaction."""
        old = keys.active_version(conn, key.id)
        keys.set_state(conn, key.id, old.version, "retiring")
        new = self._made(key.id, old.version + 1, self.cipher(old.alg), old.kek_source)
        keys.insert_version(conn, new)
        return new

    def rewrap(self, conn: Connection, version: KeyVersion, *, source: str | None = None) -> KeyVersion:
        """Put a version's material under the KEK that wraps now. Raises VaultLocked, Tampered."""
        material = self._unwrap(version)
        name = source or version.kek_source
        wrapped = self.source(name).wrap(material, _wrap_associated(version.key_id, version.version, version.alg))
        keys.rewrap(
            conn, version.key_id, version.version, wrapped_key=wrapped.blob, kek_id=wrapped.kek_id, kek_source=name
        )
        return keys.version(conn, version.key_id, version.version)

    def material(self, conn: Connection, version: KeyVersion) -> Material:
        """Return a version that was read in the caller's transaction, ready to use. Raises VaultLocked, Tampered."""
        spot = (version.key_id, version.version)
        if version.state == "destroyed":
            self.forget(version)
            raise Conflict(f"Version {version.version} of the key was destroyed; what it encrypted cannot be opened.")
        cached = self._cache.get(spot)
        if cached is None or cached[0] != version.kcv:
            cached = self._cache[spot] = (version.kcv, self._unwrap(version))
        return Material(version.key_id, version.version, self.cipher(version.alg), cached[1])

    def forget(self, version: KeyVersion | None = None) -> None:
        """Drop cached material, of one version or all, and let the sources read anew."""
        if version is None:
            self._cache.clear()
            for source in self.sources.values():
                source.refresh()
        else:
            self._cache.pop((version.key_id, version.version), None)

    def source(self, name: str) -> KeySource:
        """Return a key source. Raises VaultLocked when no plugin offers it."""
        if name not in self.sources:
            raise VaultLocked(
                f"No plugin offers the key source {name}; there are {', '.join(self.sources) or 'none'}.", code="KEY_MISSING",
                next_step="Set MCPWEB_KEY_SOURCE, or install the plugin.",
            )
        return self.sources[name]

    def cipher(self, name: str) -> Cipher:
        """Return a cipher. Raises VaultLocked when no plugin offers it."""
        if name not in self.ciphers:
            raise VaultLocked(
                f"No plugin offers the cipher {name}; there are {', '.join(self.ciphers) or 'none'}.", code="CIPHER_MISSING",
                next_step="Install its plugin again.",
            )
        return self.ciphers[name]

    def _made(self, key_id: str, number: int, cipher: Cipher, source: str) -> KeyVersion:
        material = os.urandom(cipher.key_bytes)
        wrapped = self.source(source).wrap(material, _wrap_associated(key_id, number, cipher.name))
        return KeyVersion(
            key_id=key_id, version=number, state="active", alg=cipher.name, wrapped_key=wrapped.blob, kek_id=wrapped.kek_id,
            kek_source=source, kcv=check_value(material, key_id, number), uses=0, created_at=clock.now(),
        )

    def _unwrap(self, version: KeyVersion) -> bytes:
        source = self.source(version.kek_source)
        associated = _wrap_associated(version.key_id, version.version, version.alg)
        try:
            material = source.unwrap(version.kek_id, version.wrapped_key or b"", associated)
        except Failure:
            raise
        except Exception as error:  # a source is a plugin: what it raises may say more than is good
            raise VaultLocked(
                f"The key source {version.kek_source} failed ({type(error).__name__}).", code="KEY_MISSING"
            ) from None
        if not hmac.compare_digest(check_value(material, version.key_id, version.version), version.kcv):
            raise VaultLocked("The key that was unwrapped is not the one that was wrapped.", code="KEY_WRONG")
        return material


def encoded(value: Sensitive) -> bytes:
    """Return the bytes of a value. Raises InvalidInput for more than 64 KiB, or half a character."""
    try:
        plaintext = value.reveal().encode()
    except UnicodeEncodeError:
        raise InvalidInput("The value is not valid text.") from None
    if len(plaintext) > MAX_VALUE_BYTES:
        raise InvalidInput(
            f"The value has {len(plaintext)} bytes; at most {MAX_VALUE_BYTES} are kept.",
            errors=[FieldError("/value", f"at most {MAX_VALUE_BYTES} bytes")],
        )
    return plaintext


def token_digest(token: str) -> str:
    """Return what the audit log keeps of a token: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_value(material: bytes, key_id: str, number: int) -> str:
    """Return the key check value: 128 bits of HMAC-SHA-256, which tell a wrong key from a damaged value."""
    return hmac.new(material, f"kcv {key_id}:{number}".encode(), hashlib.sha256).hexdigest()[:32]


def _row(place: Place) -> bytes:
    return _join(place.secret_id, place.name, place.scope, place.owner_id)


def _wrap_associated(key_id: str, number: int, alg: str) -> bytes:
    return _join("mcpweb key 1", key_id, str(number), alg)


def _join(*fields: str) -> bytes:
    parts = []
    for text in fields:
        data = text.encode()
        parts += [len(data).to_bytes(4, "big"), data]
    return b"".join(parts)


def _encode(data: bytes) -> str:
    return b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        data = a2b_base64(text.encode().translate(_FROM_URL) + b"==="[:-len(text) % 4], strict_mode=True)
    except ValueError:
        raise Tampered("An encrypted value is damaged: it is not a token.") from None
    if len(text) % 4 and text[-1] not in _LAST[len(text) % 4]:
        raise Tampered("An encrypted value is damaged: it is not a token.")
    return data
