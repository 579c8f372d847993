"""Passwords: Argon2id, two hashes at a time, verified exactly as typed."""
from __future__ import annotations

import os
import threading

from mcpweb.errors import FieldError, InvalidInput

SHORTEST, LONGEST = 12, 256
# Argon2id at the parameters of RFC 9106's second choice, within ASVS 5.0 11.4.2
_ITERATIONS, _LANES, _MEMORY_KIB = 3, 4, 64 * 1024
_at_once = threading.BoundedSemaphore(2)
_COMMON = frozenset(
    """123456789012 1234567890123 password1234 passwordpassword qwertyuiop12 qwertyuiopas administrator
    administrator1 letmeinletmein iloveyou1234 welcome12345 changeme1234 adminadminadmin aaaaaaaaaaaa 000000000000
    111111111111 abcdefghijkl abcd1234abcd password12345 qwerty123456 p@ssw0rd1234
    correcthorsebatterystaple""".split()
)
# what an unknown user's password is checked against, so that both take the same time
NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$8hXo9h3TtSfFzq5sOzhvIZ5q3s5i0bYfQq3zvcb0uVQ"


def check_strength(password: str) -> None:
    """Raise InvalidInput for one that is too short, too long or among the first to be tried."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInput(
            f"A password has {SHORTEST} to {LONGEST} characters.",
            errors=[FieldError("/password", f"{SHORTEST} to {LONGEST} characters")],
        )
    if password.lower() in _COMMON or len(set(password)) < 4:
        raise InvalidInput("This password is among the first that are tried.",
                           errors=[FieldError("/password", "too common")])


def hashed(password: str) -> str:
    """Return the PHC string of a password."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    with _at_once:
        kdf = Argon2id(salt=os.urandom(16), length=32, iterations=_ITERATIONS, lanes=_LANES, memory_cost=_MEMORY_KIB)
        return str(kdf.derive_phc_encoded(password.encode()))


def fits(password: str, phc: str | None) -> bool:
    """Tell whether the password fits; without a hash (none, or empty) the same work is done and the answer is no."""
    from cryptography.exceptions import InvalidKey
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    with _at_once:
        try:
            Argon2id.verify_phc_encoded(password.encode(), phc or NOBODYS)
        except InvalidKey:
            return False
    return bool(phc)
