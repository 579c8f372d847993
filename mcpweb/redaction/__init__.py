"""Redaction: what a server says leaves without the secrets it was given, however they are written.

Known values are found in every usual encoding and, in a stream, across the borders of its chunks; rules for what looks
like a secret are the second net. A line shorter than ``MIN_LENGTH`` characters cannot be told from ordinary text.
"""
from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from mcpweb.contracts import Sensitive
from mcpweb.redaction import rules
from mcpweb.redaction.forms import MIN_LENGTH, OVERDONE, Span, blob_key, blobs_of, letter, lines_of, pieces_of, text_key
from mcpweb.redaction.forms import Piece as _Piece

__all__ = ["MARK", "MIN_LENGTH", "RedactingStream", "Redactor", "hide", "redactable"]

MARK = "[redacted]"
MOST_DEPTH = 200
_MARK = MARK.encode()
_LONGEST_PATTERN = 4096  # of the second net, in a line that does not end
_TELLING = 4  # so many letters of a blob may be the beginning of one; fewer end many a line by chance
_WRAPPED_LINE = 32  # a line that ends with so long a word may go on in the next one
_BLOB_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
_TOO_DEEP = "\0"
_alive: weakref.WeakSet[Redactor] = weakref.WeakSet()
_guard = threading.Lock()


def redactable(value: Sensitive) -> bool:
    """Tell whether a value can be found in text: one of its lines has at least ``MIN_LENGTH`` characters."""
    return any(line.lower() not in MARK for line in lines_of(value.reveal()))


def hide(text: str) -> str:
    """Return a text without what any redactor of this process knows, and without what looks like a secret."""
    with _guard:
        known = [*_alive]
    for redactor in [*known, _rules()]:
        text = redactor.text(text)
    return text


@functools.cache
def _rules() -> Redactor:
    return Redactor()


class Redactor:
    """Takes known values, and what looks like a secret, out of text, bytes and JSON. Safe from any thread."""

    def __init__(self, values: Iterable[Sensitive] = (), *, patterns: bool = True) -> None:
        lines = dict.fromkeys(
            piece for value in values if redactable(value) for piece in pieces_of(value.reveal()) if piece.lower() not in MARK
        )
        self._patterns = patterns
        self._pieces = [_Piece(line) for line in lines]
        self._blobs = [blob for line in lines for blob in blobs_of(line)]
        self._numbers = [line for line in lines if line.isdecimal()]
        widths = [piece.width for piece in self._pieces] + [blob.width for blob in self._blobs]
        self.longest = max([*widths, _LONGEST_PATTERN if patterns else 1])  # what a stream holds back of an endless line
        shortest = min((len(blob.key) for blob in self._blobs), default=rules.KEY_RUN)
        self._run = min(shortest, _WRAPPED_LINE)
        self._beginnings = b"".join(b" " + blob.key for blob in self._blobs)
        self._longest_blob = max((len(blob.key) for blob in self._blobs), default=0)
        with _guard:
            _alive.add(self)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._pieces)} pieces>"

    def text(self, text: str) -> str:
        """Return the text without secrets; the same object when it holds none."""
        data = text.encode("utf-8", "surrogatepass")
        spans = self.spans(data)
        return replaced(data, spans).decode("utf-8", "surrogatepass") if spans else text

    def data(self, data: bytes) -> bytes:
        """Return the bytes without secrets."""
        spans = self.spans(data)
        return replaced(data, spans) if spans else data

    def detects(self, text: str | bytes) -> bool:
        """Tell whether there is something to redact."""
        return bool(self.spans(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text))

    def json(self, value: Any) -> Any:
        """Return a JSON value without secrets in its strings, keys and numbers; the same object when it holds none.

        The strings are looked at as one text, so a secret that goes on in the next string is found, too.
        """
        strings = [*_strings(value, 0)]
        data = [string.encode("utf-8", "surrogatepass") for string in strings]
        spans = self.spans(b"\n".join(data))
        deep = any(string is _TOO_DEEP for string in strings)
        if not spans and not deep and not (self._numbers and _has_number(value, 0)):
            return value
        return self._rebuilt(value, iter(_apart(data, spans)), 0)

    def stream(self) -> RedactingStream:
        """Return a redactor for bytes that come in chunks."""
        return RedactingStream(self)

    def spans(self, data: bytes) -> list[Span]:
        """Return where secrets stand, in order, none touching the next."""
        if len(data) < MIN_LENGTH:
            return []
        lower = data.lower()
        found: list[Span] = []
        for piece in self._pieces:
            piece.find(lower, found)
        if self._pieces:
            if b"%" in data or b"\\" in data or b"&#" in data:
                self._overdone(lower, found)
            if b"\0" in data:
                squeezed = lower.replace(b"\0", b"")
                for piece in self._pieces:
                    if piece.raw in squeezed:
                        found += [match.span() for match in piece.spaced.finditer(lower)]
        self._encoded(data, lower, found)
        if self._patterns:
            rules.find_texts(data, lower, found)
        return merged(found) if found else found

    def _encoded(self, data: bytes, lower: bytes, found: list[Span]) -> None:
        """Look into the long words only: base64, hex and keys are in no other place."""
        key = text_key(lower)
        size = self._run
        words = [word for word in key.split() if len(word) >= size]
        if not words:
            return
        runs = b" ".join(words)
        if self._patterns and len(max(words, key=len)) >= rules.KEY_RUN:
            rules.find_keys(data, lower, runs, found)
        if b"\n " in data or b"\n\t" in data or b"\\n " in data:
            runs = key.replace(b" ", b"")
        for blob in self._blobs:
            if blob.key in runs:
                blob.find(data, found)

    def _overdone(self, lower: bytes, found: list[Span]) -> None:
        """Look for pieces whose letters and digits are escaped, too; such escapes are read once for all pieces."""
        read, count = OVERDONE.subn(letter, lower)
        if count:
            for piece in self._pieces:
                if piece.inner in read:
                    piece.search(lower, 0, len(lower), found)

    def line_end(self, data: bytes) -> tuple[int, int]:
        """Return up to where whole lines can be shown, and where what must be looked at again with the next bytes begins.

        No secret that begins before goes on behind, but for one of which fewer than ``_TELLING`` letters are seen: a line
        that ends with so few is no sign of a secret, and would else wait for the next line, which may never come.
        """
        end = data.rfind(b"\n") + 1
        if end and self._patterns and (opened := rules.open_pem(data[:end])) >= 0 and end - opened < rules.LONGEST_PEM:
            end = data.rfind(b"\n", 0, opened) + 1
        line = data[data.rfind(b"\n", 0, max(0, end - 1)) + 1: end].strip()
        word = len(line) - len(line.rstrip(_BLOB_BYTES))
        if not word or (word < _WRAPPED_LINE and word < len(line)):
            return end, end
        # the line ends like a wrapped blob: which of its last letters could begin one of ours?
        tail = blob_key(data[max(0, end - 3 * self._longest_blob): end]).replace(b" ", b"")
        size = next((n for n in range(min(self._longest_blob - 1, len(tail)), 0, -1) if b" " + tail[-n:] in self._beginnings), 0)
        begin, few = end, size < _TELLING
        while size:
            begin -= 1
            size -= data[begin: begin + 1] in _BLOB_BYTES
        if few:
            return end, begin
        line_begin = data.rfind(b"\n", 0, begin) + 1
        return line_begin, line_begin

    def _rebuilt(self, value: Any, strings: Iterator[str], depth: int) -> Any:
        if isinstance(value, str):
            return next(strings)
        if depth > MOST_DEPTH:
            next(strings)
            return MARK
        if isinstance(value, dict):
            fresh: dict[str, Any] = {}
            for key, inner in value.items():
                name = wanted = next(strings) if isinstance(key, str) else key
                count = 1
                while name in fresh:
                    count += 1
                    name = f"{wanted} {count}"
                fresh[name] = self._rebuilt(inner, strings, depth + 1)
            return fresh
        if isinstance(value, list | tuple):
            return [self._rebuilt(inner, strings, depth + 1) for inner in value]
        if self._numbers and _is_number(value) and any(number in repr(value) for number in self._numbers):
            return MARK
        return value


class RedactingStream:
    """Redacts bytes that come in chunks; what may be the beginning of a secret waits for the next chunk.

    Whole lines pass at once, unless they end like a wrapped blob that holds the beginning of a secret. The first few
    letters of a blob may have passed when the rest of it comes, and is hidden.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._rest = b""
        self._shown = 0  # bytes at the beginning of the rest that were shown, and may yet begin a secret
        self._covered = 0  # bytes at the beginning of the rest that belong to a secret already told of

    def feed(self, data: bytes) -> bytes:
        """Take a chunk; return what is safe to show."""
        self._rest += data
        cut, keep = self._redactor.line_end(self._rest)
        longest = self._redactor.longest
        if len(self._rest) - cut > 2 * longest:
            cut = keep = len(self._rest) - longest
        return self._emit(cut, keep)

    def flush(self) -> bytes:
        """Return what is left; nothing more will come."""
        return self._emit(len(self._rest), len(self._rest))

    def _emit(self, cut: int, keep: int) -> bytes:
        shown, covered = self._shown, self._covered
        if cut <= shown:
            return b""
        spans = self._redactor.spans(self._rest)
        if covered:
            spans = merged([(shown, covered), *spans])
        hidden = [(max(start, shown) - shown, min(end, cut) - shown) for start, end in spans if start < cut and end > shown]
        out = replaced(self._rest[shown:cut], hidden)
        self._covered = max([end - keep for start, end in spans if start < cut < end], default=0)
        self._shown = cut - keep
        self._rest = self._rest[keep:]
        return out.removeprefix(_MARK) if covered else out


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that touch as one."""
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            if end > out[-1][1]:
                out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def replaced(data: bytes, spans: Iterable[Span]) -> bytes:
    """Return the bytes with a mark in place of each span."""
    parts, at = [], 0
    for start, end in spans:
        parts += [data[at:start], _MARK]
        at = end
    return b"".join([*parts, data[at:]])


def _strings(value: Any, depth: int) -> Iterator[str]:
    """Yield the strings of a JSON value, keys first; what is nested too deeply stands for itself."""
    if isinstance(value, str):
        yield value
    elif depth > MOST_DEPTH:
        yield _TOO_DEEP
    elif isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str):
                yield key
            yield from _strings(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner, depth + 1)


def _apart(strings: list[bytes], spans: list[Span]) -> Iterator[str]:
    """Yield each string without its part of the spans, which count from the beginning of the first one."""
    waiting = iter(spans)
    span = next(waiting, None)
    at = 0
    for data in strings:
        mine: list[Span] = []
        while span is not None and span[0] < at + len(data):
            if span[1] > at:
                mine.append((max(0, span[0] - at), min(len(data), span[1] - at)))
            if span[1] > at + len(data):
                break
            span = next(waiting, None)
        yield (replaced(data, mine) if mine else data).decode("utf-8", "surrogatepass")
        at += len(data) + 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_number(value: Any, depth: int) -> bool:
    if depth > MOST_DEPTH:
        return False
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(_has_number(inner, depth + 1) for inner in value)
    return _is_number(value)
