"""M02: what is in a text and not to be seen in it. Each find says where, which code points, and what it decodes to.

Writing systems need some of these characters; what a script, an emoji, a flag or a hyphenation uses is left alone.
"""

# ruff: noqa: E501 - a sentence or a pattern is read as a whole
from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from . import script

Weight = Literal["high", "medium", "low"]
TAG, TAG_END, BLACK_FLAG = range(0xE0020, 0xE007F), "\U000e007f", "\U0001f3f4"
ZWNJ, ZWJ, ZWSP, SOFT_HYPHEN, BOM = "\u200c", "\u200d", "\u200b", "\u00ad", "\ufeff"
_SUPPRESS = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\x00-\x08\x0b-\x1f\x7f-\x9f]+"
)
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
_HIDING = re.compile(
    r"(?:\x1b\[|\x9b)(?:(?:[\d;]*;)?(?:8|38;5;0|30;40|37;47)(?:;[\d;]*)?m|[\d;?]*[A-HJKSTfsul])|\x1b\](?:8|52|0|2);|\x1bc"
)
_COMMENT = re.compile(r"<!--(.*?)(?:-->|\Z)|^\[[^\]\n]{1,40}\]:\s*(?:#|<>)\s*[\"'(](.*?)[\"')]\s*$", re.DOTALL | re.MULTILINE)
_STYLED = re.compile(
    r"<(\w{1,20})\b[^<>]{0,300}?(?:\shidden(?=[\s>=/])|aria-hidden\s*=\s*.?true|style\s*=\s*[\"'][^\"']*(?:display\s*:\s*none|visibility\s*:\s*hidden"
    r"|font-size\s*:\s*0|opacity\s*:\s*0(?![.\d]*[1-9])|color\s*:\s*(?:white|#fff(?:fff)?|transparent)))[^<>]{0,300}>(.*?)(?:</\1|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_UNSHOWN = re.compile(
    r"<(template|noscript|script|style|datalist)\b[^<>]{0,200}>(.*?)(?:</\1|\Z)|\\(?:text)?color\{(?:white|transparent|#f{3,6})\}\s*\{(.*?)\}+|\\[hv]?phantom\{(.*?)\}"
    r"|<(?:input|meta)\b[^<>]{0,80}(?:hidden|name=)[^<>]{0,80}(?:value|content)\s*=\s*[\"']([^\"']{12,})[\"']",
    re.IGNORECASE | re.DOTALL,
)
_TOOLING = re.compile(
    r"\b(?:generated|auto-?generated|do not edit|edit by hand|prettier|eslint|markdownlint|lint|todo|fixme|copyright|licen[cs]e|spdx|toc|table of contents|begin|end|start|stop|template|version|snippet|region)\b",
    re.IGNORECASE,
)
_BLANK = "[ \\t\\u00a0\\u2000-\\u200a\\u2800\\u3000]"
_BLANKS = re.compile("[ \\t\\u00a0\\u2000-\\u200a\\u202f\\u205f\\u2800\\u3000]+")
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]{3,}")
_FAR = re.compile(rf"(?<!{_BLANK}){_BLANK}{{120,}}+(?=\S)|(?<![ \t\u00a0\r\n])(?:[ \t\u00a0]*+\r?\n){{25,}}+[ \t\u00a0]*+(?=\S)")
_WORD = re.compile(r"[^\W_]+")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@dataclass(frozen=True)
class Hidden:
    """One find. ``text`` is what it says once it is made visible, empty when it says nothing."""

    kind: str
    start: int
    end: int
    weight: Weight
    codes: tuple[str, ...] = ()
    text: str = ""


def finds(text: str, *, name: bool = False) -> list[Hidden]:
    """Return all finds in a text; a ``name`` has no use for any of them."""
    found: list[Hidden] = []
    if not text.isascii():
        found += _invisible(text, name)
        found += _letters(text, name)
    elif "\x7f" in text or any(char < " " and char not in "\t\n\r" for char in text):
        found += _invisible(text, name)
    found += _terminal(text)
    found += _markup(text)
    found += _far(text)
    found += _blanks(text)
    if "&" in text and ";" in text and (plain := html.unescape(text)) != text:
        written = [one for one in (*_invisible(plain, name), *_markup(plain)) if one.weight != "low" or one.text]
        found += [replace(one, start=0, end=len(text), weight=one.weight if one.text else "medium") for one in written]
    return sorted(found, key=lambda one: one.start)


def _codes(chars: str) -> tuple[str, ...]:
    return tuple(f"U+{ord(char):04X}" for char in dict.fromkeys(chars))[:12]


def _invisible(text: str, name: bool) -> Iterator[Hidden]:
    left_over: list[tuple[int, str]] = []
    bare = {char for char in text if script.script(char)}
    right_to_left = script.has_right_to_left(text)
    for match in _SUPPRESS.finditer(text):
        run, start = match[0], match.start()
        before, after = text[start - 1 : start], text[match.end() : match.end() + 1]
        run = _controls_apart(run)
        if not run:
            continue
        tags = "".join(chr(ord(char) - 0xE0000) for char in run if ord(char) in TAG)
        if tags:
            if (
                before == BLACK_FLAG
                and run.endswith(TAG_END)
                and re.fullmatch("[a-z]{2}[a-z0-9]{1,4}", tags)
                and len(run) == len(tags) + 1
            ):
                continue  # the flag of a part of a country
            yield Hidden("tag characters", start, match.end(), "high", _codes(run), tags)
            continue
        selected = _selectors(run)
        if selected is not None:
            payload, count = selected
            if count == 1 and _wanted_selector(before, run, name):
                continue
            yield Hidden("variation selectors", start, match.end(), "high" if count > 2 or name else "low", _codes(run), payload)
            continue
        overrides = [char for char in run if char in "\u202d\u202e"]
        if overrides and after and not (right_to_left and "\u202c" in text[match.end() :] and _turned_rightly(text, match.end(), overrides)):
            yield Hidden("direction override", start, match.end(), "high", _codes(run), _reordered(text, match.end()))
            continue
        left_over += [
            (start + at, char)
            for at, char in enumerate(run)
            if name
            or (len(run) > 3 and char not in "\ufe0f")
            or not _needed(text, start + at, char, before, after, bare, right_to_left)
        ]
    yield from _loose(text, left_over, name)


def _turned_rightly(text: str, start: int, overrides: list[str]) -> bool:
    """Tell whether what an override turns has letters that are written in its direction."""
    stop = text.find("\u202c", start)
    inside = text[start : stop if stop >= 0 else len(text)]
    return script.has_right_to_left(inside) or ("\u202e" not in overrides)


def _controls_apart(run: str) -> str:
    """Leave out what the terminal part looks at."""
    return "".join(char for char in run if ord(char) > 0x9F or char == SOFT_HYPHEN)


def _selectors(run: str) -> tuple[str, int] | None:
    values = [
        ord(c) - 0xFE00 if 0xFE00 <= ord(c) <= 0xFE0F else ord(c) - 0xE0100 + 16 if 0xE0100 <= ord(c) <= 0xE01EF else -1
        for c in run
    ]
    known = [value for value in values if value >= 0]
    if not known:
        return None
    if len(known) < len(values) and len(known) == 1 and ZWJ in run:
        return "", 1  # a joined emoji
    data = bytes(known)
    nibbles = bytes(a << 4 | b for a, b in zip(data[::2], data[1::2], strict=False)) if max(data) < 16 else b""
    text = max((one.decode("utf-8", "replace") for one in (data, nibbles)), key=_readable, default="")
    return (text if _readable(text) > 0.8 else ""), len(known)


def _readable(text: str) -> float:
    return sum(char.isprintable() and char != "\ufffd" for char in text) / len(text) if text else 0.0


def _wanted_selector(before: str, run: str, name: bool) -> bool:
    if not before or name:
        return False
    ideograph = script.script(before) in ("CJK", "MONGOLIAN", "MYANMAR")
    return (
        ideograph
        or script.pictured(before)
        or unicodedata.category(before) in ("So", "Sm", "Po", "Nd", "Sk", "No")
        or before in "©®"
    )


def _needed(text: str, at: int, char: str, before: str, after: str, scripts: set[str], right_to_left: bool) -> bool:
    """Tell whether a writing system or an emoji needs this character here."""
    prior, following = script.script(before) if before else "", script.script(after) if after else ""
    if char == BOM:
        return at == 0
    if char == SOFT_HYPHEN:
        return before.isalpha() and after.isalpha()
    if char in "\u200e\u200f\u061c\u202a\u202b\u202c\u2066\u2067\u2068\u2069":
        return right_to_left
    if char == ZWJ and before and after and (script.pictured(before) or before == "\ufe0f" or 0x1F3FB <= ord(before) <= 0x1F3FF):
        return script.pictured(after)
    if char in (ZWJ, ZWNJ):
        return (
            prior in script.JOINED
            or following in script.JOINED
            or (char == ZWNJ and prior == following == "LATIN" and _ligature(before, after))
        )
    if char in (ZWSP, "\u2060"):
        return prior in script.UNSPACED or following in script.UNSPACED or (not before.isalnum() or not after.isalnum())
    if char in "\u115f\u1160":
        return prior == "HANGUL" or following == "HANGUL"
    if "\u180b" <= char <= "\u180f":
        return prior == "MONGOLIAN"
    if "\u2061" <= char <= "\u2064":
        return any(mark in text for mark in "∑∫√≤≥·×") or any(unicodedata.category(one) == "Sm" for one in text)
    return False


def _ligature(before: str, after: str) -> bool:
    return before in "fſt" and after in "filtjſ"  # German typesetting parts them


def _loose(text: str, left: list[tuple[int, str]], name: bool) -> Iterator[Hidden]:
    """Yield what no script needs: many of them are a message, one within a word hides it, one beside it is an accident."""
    if not left:
        return
    chars = "".join(char for _, char in left)
    start, end = left[0][0], left[-1][0] + 1
    inside = sum(text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum() for at, _ in left)
    coded = _binary(chars)
    longest = max(len(run) for run in re.findall("[" + re.escape("".join(set(chars))) + "]+", text[start:end]) or [""])
    turns = any(char in "\u202a\u202b\u2066\u2067\u2068" for char in chars)  # no letter here is written from right to left
    many = name or coded or longest >= 4 or len(left) >= 12 or inside >= 4
    weight: Weight = "high" if many else "medium" if inside or turns else "low"
    yield Hidden("invisible characters", start, end, weight, _codes(chars), coded)


def _binary(chars: str) -> str:
    """Return the text that two or more kinds of invisible characters spell as bits, if they do."""
    kinds = [char for char, _ in sorted(((char, chars.count(char)) for char in set(chars)), key=lambda one: -one[1])]
    if len(kinds) < 2 or len(chars) < 16:
        return ""
    zero, one = kinds[0], kinds[1]
    bits = "".join("0" if char == zero else "1" for char in chars if char in (zero, one))
    for told in (bits, bits.translate(str.maketrans("01", "10"))):
        for width in (8, 7):
            whole = "".join(chr(int(told[at : at + width], 2)) for at in range(0, len(told) - width + 1, width))
            if whole and _readable(whole) > 0.95 and sum(char.isalpha() or char == " " for char in whole) > 0.7 * len(whole):
                return whole
    return ""


def _reordered(text: str, start: int) -> str:
    stop = text.find("\u202c", start)
    return text[start : stop if stop >= 0 else len(text)][::-1][:200]


def _letters(text: str, name: bool) -> Iterator[Hidden]:
    """Yield words that read as Latin and are not."""
    told = [match for match in _WORD.finditer(text) if not match[0].isascii()]
    spoofs = [match for match in told if script.spoofed(match[0])]
    plain = [match for match in told if not script.spoofed(match[0])]
    if not any(_foreign(match[0]) for match in plain):
        spoofs += [match for match in plain if script.whole_spoof(match[0])]
    fancy = [
        match
        for match in told
        if unicodedata.normalize("NFKC", match[0]).isascii()
        and sum(map(str.isalpha, match[0])) >= 3
        and not any(script.script(char) == "LATIN" and not char.isascii() for char in match[0])
    ]
    if spoofs:
        spoofs.sort(key=lambda match: match.start())
        odd = "".join(char for match in spoofs for char in match[0] if char in script.LIKE_LATIN)
        weight: Weight = "high" if name or len({match[0] for match in spoofs}) > 1 or len(odd) > 2 else "medium"
        yield Hidden(
            "look-alike letters",
            spoofs[0].start(),
            spoofs[-1].end(),
            weight,
            _codes(odd),
            " ".join(script.skeleton(match[0]) for match in spoofs)[:400],
        )
    if fancy and not any(script.script(char) in script.UNSPACED for char in text):
        styled = "".join(match[0] for match in fancy)
        yield Hidden(
            "styled letters",
            fancy[0].start(),
            fancy[-1].end(),
            "medium" if name else "low",
            _codes(styled),
            unicodedata.normalize("NFKC", " ".join(match[0] for match in fancy))[:400],
        )


def _foreign(word: str) -> bool:
    """Tell whether a word is plainly written in a script of its own."""
    return any(script.script(char) not in ("LATIN", "") and char not in script.LIKE_LATIN for char in word)


def _terminal(text: str) -> Iterator[Hidden]:
    """Yield what a terminal takes as an order, not as text."""
    sequences = list(_ESCAPE.finditer(text))
    if sequences:
        hides = any(_HIDING.match(one[0]) for one in sequences)
        start, end = sequences[0].start(), sequences[-1].end()
        said = _ESCAPE.sub("", text[start:end]).strip()
        yield Hidden("terminal escape sequences", start, end, "high" if hides else "medium", ("U+001B",), said[:400])
    controls = [
        at for at, char in enumerate(text) if unicodedata.category(char) == "Cc" and char not in "\t\n\r\x1b\x9b\x0b\x0c\x85"
    ]
    over = (
        [match.start() for match in re.finditer(r"\r(?!\n|\Z)(?=[^\r\n]{3})", text)]
        if "\n" in text or text.count("\r") == 1
        else []
    )
    if controls:
        odd = "".join(text[at] for at in controls)
        back = odd.count("\b") + odd.count("\x7f")
        weight: Weight = "high" if back >= 3 and back > 0.8 * len(odd) else "medium"  # bytes of a picture have all kinds
        yield Hidden("control characters", controls[0], controls[-1] + 1, weight, _codes(odd))
    elif over:
        yield Hidden("overwritten line", over[0], len(text), "medium", ("U+000D",), text[over[0] :].strip()[:400])


def _markup(text: str) -> Iterator[Hidden]:
    """Yield comments and styles that a renderer leaves out and a model reads."""
    code = [match.span() for match in _CODE.finditer(text)]
    if (match := _PRIVATE.search(text)) is not None:
        yield Hidden("private characters", match.start(), match.end(), "medium", _codes(match[0]), "")
    for match in [*_COMMENT.finditer(text), *_STYLED.finditer(text), *_UNSHOWN.finditer(text)]:
        if any(start <= match.start() < end for start, end in code):
            continue
        said = next((part for part in match.groups()[::-1] if part), "").strip()
        if len(said.split()) >= 4:
            kind = "comment" if match.re is _COMMENT else "text styled away" if match.re is _STYLED else "text that is not shown"
            weight: Weight = "low" if kind != "text styled away" and _TOOLING.search(said) else "medium"
            yield Hidden(kind, match.start(), match.end(), weight, (), said[:1000])


def _far(text: str) -> Iterator[Hidden]:
    for match in _FAR.finditer(text):
        yield Hidden("text pushed out of view", match.start(), match.end(), "medium", (), text[match.end() :].strip()[:1000])
        return


def _blanks(text: str) -> Iterator[Hidden]:
    """Yield what blanks of two kinds or lengths spell as bits: in one run, or between the words of the whole text."""
    for match in _BLANKS.finditer(text):
        run = match[0]
        before = text[match.start() - 1 : match.start()]
        if len(run) >= 16 and len(set(run)) > 1 and before not in ("", "\n"):
            said = _binary(run)
            if said or not run.isascii() or (len(run) >= 32 and min(run.count(" "), run.count("\t")) >= 8):
                yield Hidden("blanks of several kinds", match.start(), match.end(), "high" if said else "medium", _codes(run), said)
        elif len(run) >= 40 and not run.isascii():
            yield Hidden("text pushed out of view", match.start(), match.end(), "medium", _codes(run), text[match.end() :].strip()[:1000])
    between = [match[0] for match in _BLANKS.finditer(text) if text[match.start() - 1 : match.start()] not in ("", "\n")]
    if len(between) >= 32 and len(set(between)) > 1:
        first = between[0]
        kinds = "".join("a" if one == first else "b" for one in between)
        said = _binary(kinds) if 0.2 < kinds.count("b") / len(kinds) < 0.8 else ""
        if said:
            yield Hidden("blanks that spell something", 0, len(text), "high", _codes("".join(set(between))), said)
