"""Values nobody can guess, and how they are recognised in an answer, whatever coat they wear."""

from __future__ import annotations

import base64
import binascii
import codecs
import contextlib
import hashlib
import itertools
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator
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


def decoded(texts: Iterable[str], deep: int = 2) -> str:
    """Return what stands in long Base64 or hexadecimal of some texts, packed or not, as far as it is readable."""
    found = []
    for text in texts:
        for blob in _BLOB.findall(text[:65536])[:20]:
            for data in _unwrapped(blob):
                data = unpacked(data)[:65536]
                plain = data.decode("latin-1")
                found.append(plain)
                if deep > 1 and len(data) >= 24:
                    found.append(decoded([plain], deep - 1))
    return "\n".join(one for one in found if one)


def _unwrapped(blob: str) -> Iterator[bytes]:
    with contextlib.suppress(binascii.Error, ValueError):
        yield base64.b64decode(blob.translate(str.maketrans("-_", "+/")) + "=" * (-len(blob) % 4))
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", blob):
        yield bytes.fromhex(blob)


def unpacked(data: bytes) -> bytes:
    """Return what is packed in some bytes, at most 256 KiB of it; the bytes themselves where nothing is."""
    for bits, begin in ((47, b"\x1f\x8b"), (47, b"x")):
        if data.startswith(begin):
            with contextlib.suppress(zlib.error):
                return zlib.decompressobj(bits).decompress(data, 1 << 18)
    return data


def pieces(secret: str, text: str, least: int = 16) -> str:
    """Return a piece of a secret that is long enough to be no chance, as it stands in a text; empty when none does."""
    bare = secret.rpartition("_")[2]
    if len(bare) < least + 4:
        return ""
    small = text.lower()
    for whole in (bare.lower(), bare.lower()[::-1]):
        step = least // 2
        if not any(whole[at : at + step] in small for at in range(0, len(whole) - step + 1, step)):
            continue  # a piece would hold one of these
        for at in range(len(whole) - least + 1):
            if whole[at : at + least] in small:
                return whole[at : at + least]
    return ""


def turned(text: str) -> tuple[bytes, ...]:
    """Return the steps from byte to byte of a text, also turned by 13, and of its Base64: one key for all bytes changes none."""
    inside = [one for blob in _BLOB.findall(text[:8192])[:8] for one in _unwrapped(blob)]
    texts = (text.encode("latin-1", "replace"), codecs.encode(text, "rot13").encode("latin-1", "replace"), *inside)
    return tuple(_steps(data[:8192]) for data in texts)


def unmasked(secret: str, steps: Iterable[bytes]) -> bool:
    """Tell whether a secret stands in something whose bytes were turned, by what ``turned`` returned of it."""
    own = _steps(secret.encode())
    return len(own) >= 11 and any(own in one for one in steps)


@lru_cache(maxsize=512)
def _steps(data: bytes) -> bytes:
    return bytes(a ^ b for a, b in itertools.pairwise(data))


def base36(value: int) -> str:
    """Return a number as JavaScript writes it with ``toString(36)``."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while value:
        value, rest = divmod(value, 36)
        text = digits[rest] + text
    return text or "0"
