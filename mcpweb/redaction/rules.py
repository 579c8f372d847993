"""The second net: what looks like a secret although nobody told us so.

Each rule begins at a word that is looked for first, so a text without the words costs next to nothing.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mcpweb.redaction.forms import Span, blob_key

LONGEST_PEM = 16 * 1024
KEY_RUN = 16  # no known key is shorter

_PLACEHOLDER = re.compile(
    rb"\[redacted\]?|[*x.\-_#?]+|\$\{?\w+\}?|%\w+%|\d{1,5}|(?:your|my|the|some|example|change|secret|null|none|nil|true|false"
    rb"|undefined|string|required|optional|missing|invalid|expired|empty|unset|not)[\w-]*",
    re.IGNORECASE,
)
_OPEN, _QUOTE = rb"[^\s\"'<>,;&()\[\]{}\\|`]", rb"(?:\\{0,3}[\"'])?"
_NO_CODE = rb"(?!/|[\w.]{1,64}\()"  # a path tells where a value is, a call how to get it
_BEGINS, _ENDS = rb"(?<![A-Za-z0-9_-])", rb"(?![A-Za-z0-9_])"


@dataclass(frozen=True)
class Rule:
    """A pattern that is tried where one of its words stands; its named group, or all of it, disappears."""

    name: str
    words: tuple[bytes, ...]
    pattern: re.Pattern[bytes]

    def find(self, data: bytes, lower: bytes, spans: list[Span]) -> None:
        for word in self.words:
            at = lower.find(word)
            while at >= 0:
                after = at + len(word)
                match = self.pattern.match(data, at)
                if match:
                    group = match.lastgroup or 0
                    if not _PLACEHOLDER.fullmatch(match[group]):
                        spans.append(match.span(group))
                    after = max(after, match.end(group))
                at = lower.find(word, after)


def _key(words: str, pattern: bytes) -> Rule:
    return Rule(words.split()[0], tuple(words.encode().split()), re.compile(_BEGINS + pattern + _ENDS))


# words are lower case; patterns see the text as it is
KEYS: tuple[Rule, ...] = (
    _key("akia asia", rb"A(?:KI|SI)A[0-9A-Z]{16}"),
    _key("ghp_ gho_ ghu_ ghs_ ghr_", rb"gh[pousr]_[A-Za-z0-9]{20,255}"),
    _key("github_pat_", rb"github_pat_[A-Za-z0-9_]{22,255}"),
    _key("glpat-", rb"glpat-[A-Za-z0-9_-]{20,64}"),
    _key("xoxa- xoxb- xoxp- xoxr- xoxs- xoxe-", rb"xox[abprse]-[A-Za-z0-9-]{10,255}"),
    _key("sk_live_ sk_test_ rk_live_ rk_test_", rb"[rs]k_(?:live|test)_[A-Za-z0-9]{16,128}"),
    _key("sk-", rb"sk-(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{20,255}"),
    _key("aiza", rb"AIza[A-Za-z0-9_-]{35}"),
    _key("ya29.", rb"ya29\.[A-Za-z0-9_.-]{20,512}"),
    _key("npm_", rb"npm_[A-Za-z0-9]{30,64}"),
    _key("pypi-", rb"pypi-[A-Za-z0-9_-]{32,512}"),
    _key("hf_", rb"hf_[A-Za-z0-9]{30,64}"),
    _key("hvs.", rb"hvs\.[A-Za-z0-9_-]{20,255}"),
    _key("sg.", rb"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}"),
    _key("dckr_pat_", rb"dckr_pat_[A-Za-z0-9_-]{20,64}"),
    _key("mcpweb_pat_", rb"mcpweb_pat_[A-Za-z0-9_-]{20,255}"),
    _key("eyj", rb"eyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{8,4096}"),
)

TEXTS: tuple[Rule, ...] = (
    Rule("bearer", (b"bearer",), re.compile(
        _BEGINS + rb"bearer(?:\s|%20|\+){1,3}(?P<token>(?=[A-Za-z._~+/=-]{0,128}[0-9])[A-Za-z0-9._~+/=-]{16,4096})",
        re.IGNORECASE)),
    Rule("basic", (b"authorization",), re.compile(
        rb"authorization" + _QUOTE + rb"\s?[:=]\s?" + _QUOTE
        + rb"(?:basic|token|digest)\s{1,3}(?P<token>[A-Za-z0-9._~+/=-]{8,4096})", re.IGNORECASE)),
    Rule("address", (b"://",), re.compile(rb"://[^\s/:@\"']{0,128}:(?P<password>[^\s/@\"']{3,256})@")),
    Rule(
        "assignment",
        (b"passw", b"passphrase", b"pwd", b"secret", b"token", b"key"),
        re.compile(
            rb"(?:passw(?:or)?d|passphrase|pwd|secret(?:[_-]?(?:access)?[_-]?key)?|token"
            rb"|(?:(?<=api)|(?<=api[_-])|(?<=access)|(?<=access[_-])|(?<=private)|(?<=private[_-]))key)" + _QUOTE + rb"\s{0,2}"
            # told by "=" it is a value; after ":" prose is as likely, which has no digits among its letters
            rb"(?:=(?![=>])\s{0,2}" + _QUOTE + _NO_CODE + rb"(?P<value>" + _OPEN + rb"{6,4096})"
            rb"|:\s{0,2}" + _QUOTE + _NO_CODE + rb"(?=" + _OPEN + rb"{0,64}[0-9])(?=" + _OPEN + rb"{0,64}[A-Za-z])"
            rb"(?P<told>" + _OPEN + rb"{8,4096})" + rb")",
            re.IGNORECASE,
        ),
    ),
)

_PEM_BEGINS = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----")
_PEM_BODY = re.compile(rb"(?:[A-Za-z0-9+/=:,\s-]|\\[rn])*")


def find_keys(data: bytes, lower: bytes, runs: bytes, spans: list[Span]) -> None:
    """Add keys with a known beginning; ``runs`` holds the long words of the text, where alone they can be."""
    for rule in KEYS:
        if any(blob_key(word).split()[0][:3] in runs for word in rule.words):
            rule.find(data, lower, spans)


def find_texts(data: bytes, lower: bytes, spans: list[Span]) -> None:
    """Add what text calls a secret: bearer tokens, passwords in addresses and assignments, private keys."""
    for rule in TEXTS:
        rule.find(data, lower, spans)
    at = lower.find(b"-----begin")
    while at >= 0:
        after = at + 10
        if match := _PEM_BEGINS.match(data, at):
            after = pem_end(data, match.end())
            spans.append((at, after))
        at = lower.find(b"-----begin", after)


def pem_end(data: bytes, start: int) -> int:
    """Return where a private key ends that began before ``start``; one without its last line ends with its body."""
    closing = data.find(b"-----END", start, start + LONGEST_PEM)
    if closing < 0:
        body = _PEM_BODY.match(data, start, start + LONGEST_PEM)
        return body.end() if body else start
    last = data.find(b"-----", closing + 8, closing + 64)
    return last + 5 if last >= 0 else closing + 8


def open_pem(data: bytes) -> int:
    """Return where a private key begins whose end has not come yet, -1 when there is none."""
    begins: Iterable[re.Match[bytes]] = _PEM_BEGINS.finditer(data, max(0, len(data) - LONGEST_PEM))
    for match in begins:
        if data.find(b"-----END", match.end()) < 0:
            return match.start()
    return -1
