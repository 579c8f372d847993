"""Time-ordered text ids with a prefix: ``srv_01jd…`` sorts by the time it was made."""
from __future__ import annotations

import os
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32
_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """Return a new id: prefix, 48 bit of milliseconds, 80 bit that grow within a process and are random otherwise.

    The layout is that of ULID (github.com/ulid/spec), in lower case.
    """
    global _last
    with _lock:
        value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
        if value <= _last:
            value = _last + 1 + int.from_bytes(os.urandom(4), "big")
        _last = value
    return f"{prefix}_{_encode(value)}"


def _encode(value: int) -> str:
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))
