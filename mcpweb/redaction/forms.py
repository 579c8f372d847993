"""How a secret can be written: piece by piece, each with every spelling of each of its characters.

Escapes leave letters and digits as they are, so the longest run of them (the *anchor*) is looked for first, and only
around it the exact pattern runs. Everything but base64 is compared in lower case, which makes %2F and %2f, hex and HEX
one. No pattern has two ways to read the same text, so none of them can be made slow.
"""
from __future__ import annotations

import base64
import html
import html.entities
import json
import re
from collections.abc import Iterable
from functools import cached_property
from urllib.parse import quote

MIN_LENGTH = 6
LONGEST_PIECE = 96  # bounds what a stream has to hold back
_SHORTEST_ANCHOR = 4
_MOST_BACKSLASHES = 7  # JSON in JSON in JSON

Span = tuple[int, int]

_ARMOR = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")
_LETTERS = re.compile(rb"[a-z0-9]+")
_SIMPLE = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f", "\v": "v", "\a": "a", "\0": "0", "\x1b": "e"}
_PERCENT = rb"%(?:25){0,2}"
_AMPERSAND = rb"&(?:amp;){0,2}"
_ENCODED_BACKSLASH = rb"(?:%(?:25)?5c|&(?:amp;)?(?:#0{0,2}92|#x0{0,2}5c|bsol);?)"
_ENCODED_WIDTH = 13
_SPELLED_BACKSLASH = rb"(?:\\{1,4}(?:u005c|x5c|134))"
# quotes in a shell, in SQL and CSV; the quotes of a row are all written the same way
_DOUBLED = {"'": [rb"'\\''", rb"'\"'\"'", b"''"], '"': [b'""']}
_BREAK = rb"(?:(?:[\r\n]|\\{1,4}[rRnN]|%0[AaDd])+[ \t]*)?"  # a wrapped blob goes on in the next line

_NAMES: dict[str, set[str]] = {}
for _name, _char in html.entities.html5.items():
    if len(_char) == 1:
        _NAMES.setdefault(_char, set()).add(_name.rstrip(";").lower())

# an escape of a letter or digit, which nothing ordinary writes
OVERDONE = re.compile(
    rb"%(?:25){0,2}(?:3[0-9]|[46][1-9a-f]|[57][0-9a])"
    rb"|\\(?:u00|x|u\{0*|u000000)(?:3[0-9]|[46][1-9a-f]|[57][0-9a])\}?"
    rb"|\\(?:06[0-7]|07[01]|1[04][1-7]|1[1256][0-7]|1[37][0-2])"
    rb"|&(?:amp;){0,2}#(?:0{0,4}(?:4[89]|5[0-7]|6[5-9]|[78][0-9]|90|9[7-9]|1[01][0-9]|12[0-2])(?![0-9]);?"
    rb"|x0{0,6}(?:3[0-9]|[46][1-9a-f]|[57][0-9a])(?![0-9a-f]);?)"
)


class Piece:
    """A line of a secret, or a part of a long one, in any spelling that keeps its characters apart."""

    def __init__(self, text: str) -> None:
        self.raw = text.encode("utf-8", "surrogatepass").lower()
        runs = list(_LETTERS.finditer(self.raw))
        best = max(runs, key=lambda run: (len(run[0]) >= _SHORTEST_ANCHOR, _rarity(run[0]), len(run[0])), default=None)
        self.plain = best is not None and len(best[0]) == len(self.raw)
        anchored = best is not None and len(best[0]) >= _SHORTEST_ANCHOR
        self.anchor = best[0] if best is not None and anchored else b""
        # what stands before a piece can look like the beginning of an escape and swallow its first letters
        swallowed = 6 if best is not None and best.start() == 0 else 0
        self.inner = self.anchor[swallowed:]
        self._elements = list(_elements(text))
        self.width = sum(width for _, width in self._elements)

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        return re.compile(b"".join(pattern for pattern, _ in self._elements), re.DOTALL)

    @cached_property
    def spaced(self) -> re.Pattern[bytes]:
        """The text as UTF-16 and UTF-32 write it."""
        return re.compile(rb"\0{0,3}".join(re.escape(self.raw[at: at + 1]) for at in range(len(self.raw))), re.DOTALL)

    def find(self, lower: bytes, spans: list[Span]) -> None:
        """Add where the piece stands in a lower-case text."""
        if self.plain:
            _every(lower, self.raw, spans)
        elif self.anchor:
            at = lower.find(self.anchor)
            while at >= 0:
                start, end = at - self.width, at + self.width
                # anchors that stand close together make one stretch
                while (following := lower.find(self.anchor, at + 1, end + self.width)) >= 0:
                    at, end = following, following + self.width
                self.search(lower, max(0, start), end, spans)
                at = lower.find(self.anchor, end)
        else:
            _every(lower, self.raw, spans)
            self.search(lower, 0, len(lower), spans)

    def search(self, lower: bytes, start: int, end: int, spans: list[Span]) -> None:
        """Add where any spelling stands between two places."""
        while match := self.pattern.search(lower, start, end):
            spans.append(match.span())
            start = match.start() + 1


class Blob:
    """A piece inside base64 or hex, whatever stands before and behind it; lines may be wrapped."""

    def __init__(self, written: bytes, *, before: bool = False, behind: bool = False, exact: bool = True) -> None:
        self.key = blob_key(written)
        self.exact = exact
        self.width = 2 * len(written) + 64
        self._written = written
        self._before, self._behind = before, behind

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        units = [_BLOB_UNITS.get(unit, unit) for unit in (self._written[at: at + 1] for at in range(len(self._written)))]
        # a letter that holds bits of the secret and of its neighbour goes, too
        first, last = (rb"[A-Za-z0-9+/_-]?" if shared else b"" for shared in (self._before, self._behind))
        return re.compile(first + _BREAK.join(units) + last, 0 if self.exact else re.IGNORECASE)

    def find(self, data: bytes, spans: list[Span]) -> None:
        start = 0
        while match := self.pattern.search(data, start):
            spans.append(match.span())
            start = match.start() + 1


def lines_of(value: str) -> list[str]:
    """Return what of a value is looked for: each line that is long enough, without the fixed lines of PEM."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", value)]
    kept = [line for line in lines if len(line) >= MIN_LENGTH and not _ARMOR.fullmatch(line)]
    return [line for line in kept if len(lines) == 1 or len(set(line)) > 2]


def pieces_of(value: str) -> list[str]:
    """Return the lines of a value, long ones cut into equal parts."""
    found = []
    for line in lines_of(value):
        parts = -(-len(line) // LONGEST_PIECE)
        size = -(-len(line) // parts)
        found += [line[at: at + size] for at in range(0, len(line), size)]
    return [piece for piece in found if len(piece) >= MIN_LENGTH] if len(found) > 1 else found


def blobs_of(piece: str) -> Iterable[Blob]:
    """Yield base64 at each alignment and hex of a piece, also of its escaped spellings and of UTF-16."""
    data = piece.encode("utf-8", "surrogatepass")
    spellings = [data, piece.encode("utf-16-le", "surrogatepass")]
    spellings += [json.dumps(piece)[1:-1].encode(), json.dumps(piece, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")]
    spellings += [quote(data, safe="").encode(), html.escape(piece).encode("utf-8", "surrogatepass")]
    for spelling in dict.fromkeys(spellings):
        yield Blob(spelling.hex().encode(), exact=False)
        for shift in range(3):
            encoded = base64.b64encode(bytes(shift) + spelling).rstrip(b"=")
            start = (0, 2, 3)[shift]
            end = (shift + len(spelling)) // 3 * 4
            yield Blob(encoded[start:end], before=shift > 0, behind=end < len(encoded))


def letter(escape: re.Match[bytes]) -> bytes:
    """Return the letter or digit an escape of ``OVERDONE`` stands for."""
    text = escape[0]
    if text not in _READ:
        code = text.rstrip(b";}")
        octal, decimal = text[:1] == b"\\" and text[1:2].isdigit(), text[:1] == b"&" and b"x" not in text
        digits = code[code.rindex(b"#") + 1:] if decimal else code[1:] if octal else code[-2:]
        if len(_READ) > 10_000:
            _READ.clear()
        _READ[text] = bytes([int(digits, 8 if octal else 10 if decimal else 16)]).lower()
    return _READ[text]


_READ: dict[bytes, bytes] = {}


def blob_key(data: bytes) -> bytes:
    """Return what blobs are compared by: lower case, one alphabet."""
    return data.lower().translate(_ALPHABET)


def text_key(lower: bytes) -> bytes:
    """Return a lower-case text as blobs are compared with it: without line breaks, the alphabet written plainly."""
    if b"\\" in lower:
        lower = lower.replace(b"\\r", b"").replace(b"\\n", b"").replace(b"\\u002b", b"+").replace(b"\\", b"")
    if b"%" in lower:
        while b"%25" in lower:
            lower = lower.replace(b"%25", b"%")
        lower = lower.replace(b"%2b", b"+").replace(b"%2f", b"/").replace(b"%0d", b"").replace(b"%0a", b"")
    if b"&#" in lower:
        lower = lower.replace(b"&#43;", b"+").replace(b"&#x2b;", b"+").replace(b"&#47;", b"/").replace(b"&#x2f;", b"/")
    return lower.translate(_ALPHABET, b"\r\n")


_ALPHABET = bytes(
    ord("+") if code == ord("-") else ord("/") if code == ord("_")
    else code if chr(code) in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/" else ord(" ")
    for code in range(256)
)
_BLOB_UNITS = {
    b"+": rb"(?:[+-]|%(?:25)*2[bB]|&#(?:43|[xX]2[bB]);|\\+u002[bB])",
    b"/": rb"(?:\\*[/_]|%(?:25)*2[fF]|&#(?:47|[xX]2[fF]);)",
}


def _elements(text: str) -> Iterable[tuple[bytes, int]]:
    """Yield pattern and greatest width of each character, with the backslashes before it.

    They belong together: how many backslashes an escape adds cannot be told from how many there were.
    """
    backslashes, first, at = 0, True, 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            backslashes += 1
            continue
        if char in _DOUBLED:
            run = 1
            while text[at: at + 1] == char:
                run, at = run + 1, at + 1
            styles = [rb"\\{%d}(?:%b){%d}" % (backslashes, style, run) for style in _DOUBLED[char]]
            (begin, most), (pattern, width) = _element(char, backslashes, first=False), _element(char, 0, first=False)
            yield rb"(?:%b|%b%b{%d})" % (b"|".join(styles), begin, pattern, run - 1), most + width * (run - 1) + 8
        else:
            yield _element(char, backslashes, first=first)
        backslashes, first = 0, False
    if backslashes:
        plain, most = _backslashes(backslashes)
        yield rb"(?:%b{%d}|%b)" % (_SPELLED_BACKSLASH, backslashes, plain), max(most, 9 * backslashes)


def _backslashes(run: int) -> tuple[bytes, int]:
    """Return the pattern of a run of backslashes, or of those an escape adds."""
    least, most, encoded = max(run, 1), run * 8 + _MOST_BACKSLASHES, run * 2 + 3
    plain = rb"(?:\\{%d,%d}|%b{%d,%d})" % (least, most, _ENCODED_BACKSLASH, least, encoded)
    return plain, max(most, encoded * _ENCODED_WIDTH)


def _element(char: str, backslashes: int, *, first: bool) -> tuple[bytes, int]:
    code, data = ord(char), char.encode("utf-8", "surrogatepass")
    direct = [] if char == "&" else [re.escape(data.lower())]
    if char == " ":
        direct += [rb"\+", b"&nbsp;"]
    direct.append(b"".join(_PERCENT + b"%02x" % byte for byte in data))
    direct.append(rb"%b(?:%b);?" % (_AMPERSAND, b"|".join(_entities(char))))
    if char == "&":
        direct.append(rb"&(?:amp;){0,3}")
    spelled = list(dict.fromkeys(_after_backslash(char, code, data)))
    width = max(len(data) * 7, 9 + 32, len(data) * (3 * _ENCODED_WIDTH + 5))
    added, most = _backslashes(backslashes)
    behind = spelled if char.isascii() and char.isalnum() and not backslashes else [*direct, *spelled]
    if backslashes:
        itself, more = _element(char, 0, first=False)
        spelled_out = rb"%b{%d}%b" % (_SPELLED_BACKSLASH, backslashes, itself)
        return rb"(?:%b|%b(?:%b))" % (spelled_out, added, b"|".join(behind)), max(width + most, 9 * backslashes + more)
    if first:  # each way begins with a byte of its own, so that the search skips where none of them begins
        ways = [rb"\\\\{0,%d}(?:%b)" % (_MOST_BACKSLASHES - 1, b"|".join(spelled)), rb"%%(?:25)?5c(?:%b)" % b"|".join(spelled)]
    else:
        ways = [rb"%b(?:%b)" % (added, b"|".join(behind))]
    return rb"(?:%b)" % b"|".join([*direct, *ways]), width + most


def _entities(char: str) -> list[bytes]:
    names = [rb"#0{0,4}%d(?![0-9])" % ord(char), rb"#x0{0,6}%x(?![0-9a-f])" % ord(char)]
    if char != "&":
        names += [re.escape(name.encode()) for name in sorted(_NAMES.get(char, ()), key=len, reverse=True)]
    return names


def _after_backslash(char: str, code: int, data: bytes) -> Iterable[bytes]:
    next_one = _backslashes(0)[0]
    if code > 0xFFFF:
        high, low = 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF)
        yield rb"u%04x%bu%04x" % (high, next_one, low)
    else:
        yield b"u%04x" % code
    yield b"u%08x" % code
    yield rb"u\{0{0,6}%x\}" % code
    if code < 0x100:
        yield b"x%02x" % code
    yield next_one.join(b"x%02x" % byte for byte in data)
    yield next_one.join(b"%03o" % byte for byte in data)
    if char in _SIMPLE:
        yield _SIMPLE[char].encode()


def _every(text: bytes, wanted: bytes, spans: list[Span]) -> None:
    at = text.find(wanted)
    while at >= 0:
        spans.append((at, at + len(wanted)))
        at = text.find(wanted, at + 1)


def _rarity(run: bytes) -> int:
    """Words are common in logs, digits among letters are not."""
    changes = sum(one.isdigit() != two.isdigit() for one, two in zip(run.decode(), run.decode()[1:], strict=False))
    return min(len(run), _SHORTEST_ANCHOR * 2) + 2 * min(changes, 4)
