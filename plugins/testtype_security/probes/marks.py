"""Values nobody can guess, and how they are recognised in an answer, whatever coat they wear."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

_BLOB = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
SPAN = 60


def number(digits: int = 5) -> int:
    """Return a random number of so many digits, none of its ends a zero."""
    low: int = 10 ** (digits - 1)
    return (low + secrets.randbelow(9 * low)) | 1


def token(length: int = 10) -> str:
    """Return a random name: a letter, then small letters and digits."""
    return "q" + secrets.token_hex(length)[: length - 1]


@lru_cache(maxsize=256)
def forms(secret: str) -> tuple[str, ...]:
    """Return how a text may look in an answer: plain, reversed, hex, and the middle of Base64 at each alignment."""
    raw = secret.encode()
    found = [secret, secret[::-1], raw.hex(), quote(secret, safe="")]
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw).decode()
        first, last = (4 if shift else 0), len(whole.rstrip("=")) - (len(raw) + shift) % 3
        core = whole[first:last]
        if len(core) >= 10:
            found += [core, core.translate(str.maketrans("+/", "-_"))]
    if len(raw) >= 16:
        found.append(base64.b32encode(raw).decode().rstrip("=")[: len(raw) * 8 // 5])
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=64)
def digests(secret: str) -> tuple[str, ...]:
    """Return the sums of a file that holds this line: a tool that tells them has read it."""
    return tuple(
        getattr(hashlib, name)(content).hexdigest()
        for content in (f"{secret}\n".encode(), secret.encode())
        for name in ("md5", "sha1", "sha256", "sha512")
    )


def seen(secret: str, text: str) -> str:
    """Return the form in which a secret stands in a text, empty when it does not."""
    small = text.lower()
    return next((form for form in forms(secret) if form in text or (form.lower() in small and form == secret)), "")


def read(canary: str, text: str) -> str:
    """Return how a text shows that a file holding the canary was read: itself in some form, or a sum of it."""
    return seen(canary, text) or next((digest for digest in digests(canary) if digest in text.lower()), "")


def span(text: str, found: str) -> str:
    """Return a little of the text around what was found."""
    at = text.lower().find(found.lower())
    return text[max(at - SPAN, 0) : at + len(found) + SPAN] if at >= 0 else text[: 2 * SPAN]


def decoded(texts: Iterable[str]) -> str:
    """Return what stands in long Base64 of some texts, as far as it is readable."""
    found = []
    for text in texts:
        for blob in _BLOB.findall(text[:65536])[:20]:
            try:
                data = base64.b64decode(blob.translate(str.maketrans("-_", "+/")) + "=" * (-len(blob) % 4))
            except (binascii.Error, ValueError):
                continue
            found.append(data[:65536].decode("latin-1"))
    return "\n".join(found)


def base36(value: int) -> str:
    """Return a number as JavaScript writes it with ``toString(36)``."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while value:
        value, rest = divmod(value, 36)
        text = digits[rest] + text
    return text or "0"
