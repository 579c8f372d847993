"""What keeps secrets: values that do not show, ciphers, key sources, and the way to a container."""
from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal

from mcpweb.errors import InvalidInput


class Sensitive:
    """A value that does not print, compare as text, pickle or serialise; ``reveal()`` is the only way in."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "<sensitive>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<sensitive>"

    def __reduce__(self) -> str:
        raise TypeError("a sensitive value cannot be pickled")

    def __len__(self) -> int:
        return len(self._value)


Delivery = Literal["stdin", "file", "environment"]


@dataclass(frozen=True)
class SecretDelivery:
    """One opened secret on its way into a container, under a variable, by one of the ways."""

    variable: str
    value: Sensitive
    way: Delivery = "stdin"


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What a loader, a shell or an interpreter reads by itself: such a value would be code, or break the shell that takes it.
_READ_BY_LOADERS = re.compile(
    r"(LD|DYLD|GLIBC|GCONV|MALLOC|BASH|KSH|ZSH|__MCPWEB)_.*|BASH|BASHOPTS|OPT(IND|ARG|ERR)|PS[0-9]|PATH|IFS|ENV|CDPATH|PWD|OLDPWD"
    r"|SHELL|SHELLOPTS|SHLVL|PPID|U?ID|EUID|GROUPS|LINENO|RANDOM|SECONDS|_+|PROMPT_COMMAND|GLOBIGNORE|HOSTALIASES|LOCPATH|NLSPATH"
    r"|TERMCAP|TERMINFO|TMPDIR|PYTHON(PATH|HOME|STARTUP|INSPECT|USERBASE|BREAKPOINT|WARNINGS)|NODE_(OPTIONS|PATH|EXTRA_CA_CERTS)"
    r"|PERL5?(LIB|OPT|DB)|RUBY(LIB|OPT)|GEM_(HOME|PATH)|LUA_(INIT|PATH|CPATH)|PHPRC|PHP_INI_SCAN_DIR|CLASSPATH"
    r"|(_JAVA|JDK_JAVA|JAVA_TOOL)_OPTIONS|DOTNET_STARTUP_HOOKS|COR(ECLR)?_(ENABLE_)?PROFIL.*"
    r"|GIT_(SSH|SSH_COMMAND|EXEC_PATH|ASKPASS|EXTERNAL_DIFF)",
    re.IGNORECASE,
)


def variable_fault(name: str) -> str:
    """Return why no secret is delivered under a name, empty for one that will do."""
    if not _NAME.fullmatch(name):
        return (
            f"{name[:128]!r} is not the name of a variable for a secret: letters, digits and underscores, at most 128, and no "
            "digit first."
        )
    if _READ_BY_LOADERS.fullmatch(name):
        return f"{name} is read by loaders, shells or interpreters; no secret is delivered under it."
    return ""


class Cipher(ABC):
    """Encrypts and decrypts bytes with a key. Stateless and safe from any thread.

    ``name`` is the algorithm's word in tokens (upper-case letters and digits). After ``uses_warn`` encryptions under
    one key people are asked to rotate, after ``uses_limit`` the vault refuses to encrypt.
    """

    name: str
    key_bytes: int
    uses_warn: int
    uses_limit: int

    @abstractmethod
    def encrypt(self, key: bytes, plaintext: bytes, associated: bytes) -> tuple[bytes, bytes]:
        """Return (nonce, body); the nonce is new for each call, the body is bound to ``associated``."""

    @abstractmethod
    def decrypt(self, key: bytes, nonce: bytes, body: bytes, associated: bytes) -> bytes:
        """Return the plaintext. Raises Tampered when key, nonce, body or ``associated`` do not fit together."""


@dataclass(frozen=True)
class Wrapped:
    """A key under a key-encryption key."""

    kek_id: str
    blob: bytes = field(repr=False)


@dataclass(frozen=True)
class KeySourceHealth:
    """Whether keys can be unwrapped now. ``code`` is one of KEY_MISSING, KEY_WRONG, KEY_PASSPHRASE_NEEDED,
    KEY_PERMISSIONS, or empty."""

    ok: bool
    code: str = ""
    detail: str = ""
    next_step: str = ""


class KeySource(ABC):
    """Holds key-encryption keys (KEKs) outside the database and wraps data keys with them. Safe from any thread.

    Every method may raise VaultLocked with one of the codes of ``KeySourceHealth``.
    """

    name: str

    @abstractmethod
    def prepare(self) -> None:
        """Make the first KEK where the source can and none exists; never replaces one. Called at first start only."""

    @abstractmethod
    def kek_ids(self) -> tuple[str, ...]:
        """Return the KEKs that can unwrap; the first one wraps.

        An id is public and stands in the database; two different KEKs never have the same one.
        """

    @abstractmethod
    def wrap(self, key: bytes, associated: bytes) -> Wrapped:
        """Encrypt a data key, bound to ``associated``."""

    @abstractmethod
    def unwrap(self, kek_id: str, blob: bytes, associated: bytes) -> bytes:
        """Decrypt a data key. Raises VaultLocked(KEY_WRONG) for an unknown KEK, Tampered for a damaged blob."""

    @abstractmethod
    def health(self) -> KeySourceHealth:
        """Tell whether the source answers; never raises."""

    def add_kek(self) -> str:
        """Add a KEK that wraps from now on and return its id. Raises InvalidInput where the source cannot."""
        raise InvalidInput(f"The key source {self.name} cannot make keys.", next_step="Change the key where it is kept.")

    def remove_kek(self, kek_id: str) -> None:
        """Forget a KEK for good. Raises InvalidInput where the source cannot, Conflict for the one that wraps."""
        raise InvalidInput(f"The key source {self.name} cannot remove keys.", next_step="Remove it where it is kept.")

    def refresh(self) -> None:  # noqa: B027 - a source that keeps nothing has nothing to forget
        """Forget what was read, so that the next call reads the key material again."""
