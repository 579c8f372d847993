"""Texts within texts: what an encoding keeps from a reader and a model decodes without effort."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

MOST = 24
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{20,}(?:\s?\n[A-Za-z0-9+/_-]{20,})*={0,2}")
_BASE32 = re.compile(r"(?<![A-Z2-7=])[A-Z2-7]{24,}={0,6}(?![A-Za-z0-9])")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x)?(?:[0-9a-fA-F]{2}[ ,:]?){12,}(?![0-9A-Za-z])|(?:\\x[0-9a-fA-F]{2}){6,}")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}[\w.~-]{0,8}){6,}")
_ENTITY = re.compile(r"(?:[\w\s]{0,3}&#(?:\d{2,6}|x[0-9a-fA-F]{2,5});){5,}")
_ESCAPED = re.compile(r"(?:\\u\{?[0-9a-fA-F]{4,5}\}?){5,}")
_OCTETS = re.compile(r"(?:\b[01]{8}\b\s?){6,}")
_NUMBERS = re.compile(r"(?:\b(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6])\b[\s,;]+){9,}\b\d{2,3}\b")
_SPACED = re.compile(r"\b(?:\w[ .\-_*|/]){3,}\w\b")
_LEET = str.maketrans("013457@$!", "oieastasi")


@dataclass(frozen=True)
class Decoded:
    """A text that was found encoded at ``start:end``; ``how`` names the encoding."""

    how: str
    start: int
    end: int
    text: str


def _from_base64(said: str) -> bytes:
    plain = re.sub(r"\s", "", said).replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4))


def _from_base32(said: str) -> bytes:
    plain = said.rstrip("=")
    return base64.b32decode(plain + "=" * (-len(plain) % 8))


_PARTS: tuple[tuple[str, re.Pattern[str], Callable[[str], bytes | str]], ...] = (
    ("hexadecimal", _HEX, lambda said: bytes.fromhex(re.sub(r"0x|\\x|[ ,:]", "", said))),
    ("base64", _BASE64, _from_base64),
    ("base32", _BASE32, _from_base32),
    ("percent encoding", _PERCENT, unquote),
    ("HTML entities", _ENTITY, html.unescape),
    ("escapes", _ESCAPED, lambda said: re.sub(r"\\u\{?([0-9a-fA-F]{4,5})\}?", lambda m: chr(int(m[1], 16)), said)),
    ("binary", _OCTETS, lambda said: bytes(int(part, 2) for part in said.split())),
    ("character codes", _NUMBERS, lambda said: "".join(chr(int(part)) for part in re.findall(r"\d+", said))),
)
_WHOLE: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("spaced letters", lambda said: _SPACED.sub(lambda match: re.sub(r"[ .\-_*|/]", "", match[0]), said)),
    (
        "digits for letters",
        lambda said: re.sub(r"\b(?=\w*[a-z])(?=\w*[\d@$!])[\w@$!]+", lambda match: match[0].translate(_LEET), said),
    ),
)


def decoded(text: str, depth: int = 2) -> Iterator[Decoded]:
    """Yield the parts of a text that decode to prose; what is encoded twice is decoded twice."""
    left = MOST
    for how, pattern, decode in _PARTS:
        for match in pattern.finditer(text):
            left -= 1
            if left < 0:
                return
            try:
                plain = decode(match[0])
                told = plain if isinstance(plain, str) else _as_text(plain)
            except (ValueError, binascii.Error, OverflowError):
                continue
            inner = list(decoded(told, depth - 1)) if depth > 1 and told else []
            if inner:
                yield from (Decoded(f"{how}, {one.how}", match.start(), match.end(), one.text) for one in inner)
            elif prose(told):
                yield Decoded(how, match.start(), match.end(), told)


def turned(text: str) -> Iterator[Decoded]:
    """Yield the text with letters turned, for those who can tell whether it says something then.

    Sentences that have plain words are left as they are: turned around they say nothing.
    """
    strange = [part for part in re.split(r"(?<=[.!?\n])\s*", text) if len(part) >= 16 and not _PLAIN.search(part.lower())]
    joined = " ".join(strange)[:20_000]
    if joined:
        yield Decoded("rot13", 0, len(text), codecs.encode(joined, "rot13"))
        yield Decoded("reversed", 0, len(text), joined[::-1])
    for how, turn in _WHOLE:
        if (said := turn(text)) != text:
            yield Decoded(how, 0, len(text), said)


_PLAIN = re.compile(
    r"\b(?:the|and|to|of|for|is|in|with|a|an|or|if|are|this|that|be|by|from|as|on|it|not|de|la|el|le|und|der|die|il|di)\b"
)


def _as_text(data: bytes) -> str:
    for name in ("utf-8", "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"):
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            continue
    return ""


def prose(text: str) -> bool:
    """Tell whether a text reads as words: letters and spaces, and little else."""
    if len(text) < 8:
        return False
    letters = sum(char.isalpha() or char in " .,'!?:;/-_~\n" for char in text)
    return letters >= 0.9 * len(text) and (
        " " in text or any(ord(char) > 0x2E80 for char in text) or len(re.findall(r"[a-z]{3,}", text)) >= 1
    )
