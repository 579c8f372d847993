"""What in an image is a secret: by the shape of the value, or by a name that says so and a value that could be one."""
# ruff: noqa: E501 - one rule a line
from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_KNOWN: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (name, tuple(begins.split()), re.compile(rf"(?<![A-Za-z0-9_-]){pattern}(?![A-Za-z0-9_])"))
    for name, begins, pattern in (
        ("an AWS access key", "AKIA ASIA", r"A(?:KI|SI)A[0-9A-Z]{16}"),
        ("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255})"),
        ("a GitLab token", "glpat-", r"glpat-[A-Za-z0-9_-]{20,64}"), ("a Slack token", "xox", r"xox[abprse]-[A-Za-z0-9-]{10,255}"),
        ("a Stripe key", "k_live_", r"[rs]k_live_[A-Za-z0-9]{16,128}"), ("an API key", "sk-", r"sk-(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{20,255}"),
        ("a Google key", "AIza", r"AIza[A-Za-z0-9_-]{35}"), ("an npm token", "npm_", r"npm_[A-Za-z0-9]{30,64}"),
        ("a PyPI token", "pypi-", r"pypi-[A-Za-z0-9_-]{50,512}"), ("a Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{30,64}"),
        ("a Docker token", "dckr_pat_", r"dckr_pat_[A-Za-z0-9_-]{20,64}"), ("a Vault token", "hvs.", r"hvs\.[A-Za-z0-9_-]{20,255}"),
        ("a SendGrid key", "SG.", r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}"),
        ("a signed token", "eyJ", r"eyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{8,4096}"),
    )
)
_PEM = re.compile(r"-----BEGIN ((?:[A-Z0-9]{1,12} ){0,3})PRIVATE KEY-----\s+[A-Za-z0-9+/=:,\s-]{40,}")
_WORD = re.compile(r"(?i)passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?key|credentials?")
_NAME_BEFORE = re.compile(r"[A-Za-z0-9_.-]{0,60}\Z")
_VALUE_AFTER = re.compile(r"(?P<rest>[A-Za-z0-9_-]{0,20})[\"']?\s{0,3}(?:=|:)\s{0,3}[\"']?(?P<value>[^\s\"',;<>(){}\[\]]{6,512})")
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>]{1,128}:(?P<value>[^\s/@\"'<>]{3,256})@(?P<host>[\w.-]+)")
_AUTH_LINE = re.compile(r"(?im)_authToken\s*=\s*(?P<value>\S{8,})|_auth\s*=\s*(?P<value2>\S{8,})|^\s*password\s+(?P<value3>\S{4,})|\"auth\"\s*:\s*\"(?P<value4>[A-Za-z0-9+/=]{8,})\"|authorization:\s*(?:basic|bearer)\s+(?P<value5>[^\s\"']{8,})")
_NOT_NAMES = re.compile(r"(?i)(?:_|^|-)(?:file|path|dir|url|uri|name|id|type|length|len|size|count|ttl|expir\w*|max\w*|min\w*|policy|field|header|prefix|regex|pattern|endpoint|issuer|algorithm|format|version|mode|enabled|required|hint|limit|budget)s?$|tokeniz|max_?token|token_?(?:type|count|limit|url)|public")
_PLACEHOLDER = re.compile(
    r"(?i)\$\{?[\w:.-]+\}?|%\w+%|<.*|\{\{.*|[*x.\-_#?]+|\d{1,5}|(?:your|my|the|some|example|change|replace|insert|enter|put|set|add|todo|dummy|fake|sample|placeholder|default|none|null|nil|undefined|"
    r"true|false|string|required|optional|missing|invalid|empty|unset|redacted|secret|password|token|test|foo|bar|demo|localhost|process\.env|os\.environ|env\.|config\.|self\.|this\.|settings\.|args\.|options\.|getenv|function|return|"
    r"str|int|bool|bytes|any|type|class|import|const|let|var|def|new|await|async|request|response|data|user|key|value|not|is|in)(?:[\W_].*)?|/[\w./-]+|\w+\(.*|.*\*\*\*.*|sha256.*|[a-z]+(?:_[a-z]+)+|[A-Z]+(?:_[A-Z]+)+|[a-z]+(?:-[a-z]+)+|[a-z]+"
)


@dataclass(frozen=True)
class Found:
    """A secret that was found. ``shown`` is as much of it as can be told, ``mark`` tells it from another."""

    what: str
    name: str
    shown: str
    mark: str
    certain: bool  # its shape says so, not its name alone


def find(text: str, *, code: bool = False, holder: bool = True) -> Iterator[Found]:
    """Yield the secrets of a text. In ``code`` only what its shape gives away counts; a ``holder`` is a file made for secrets."""
    seen: set[str] = set()
    for what, begins, pattern in _KNOWN:
        for match in pattern.finditer(text) if any(begin in text for begin in begins) else ():
            if match[0] not in seen and not _example(match[0]):
                seen.add(match[0])
                yield _found(what, "", match[0], certain=True)
    for match in _PEM.finditer(text) if "PRIVATE KEY-----" in text else ():
        yield _found("a private key", f"{match[1].strip().lower() or 'PKCS 8'}", match[0], certain=True)
    if code:
        return
    for match in _ADDRESS.finditer(text) if "://" in text else ():
        if match["value"] not in seen and not _PLACEHOLDER.fullmatch(match["value"]) and not re.search(r"example\.|\.test$|^localhost$", match["host"]):
            seen.add(match["value"])
            yield _found("a password in an address", match["host"], match["value"], certain=holder)
    for match in _AUTH_LINE.finditer(text) if holder else ():
        value = next(part for part in match.groups() if part)
        if value not in seen and not _PLACEHOLDER.fullmatch(value):
            seen.add(value)
            yield _found("a sign-in", "", value, certain=True)
    for word in _WORD.finditer(text):
        after = _VALUE_AFTER.match(text, word.end())
        if after is None:
            continue
        before = _NAME_BEFORE.search(text[max(0, word.start() - 60):word.start()])
        name = f"{before[0] if before else ''}{word[0]}{after['rest']}"
        value = after["value"]
        if value not in seen and not _NOT_NAMES.search(name) and likely(value, strict=not holder):
            seen.add(value)
            yield _found("a value named like a secret", name, value, certain=False)


def of_variable(name: str, value: str) -> Found | None:
    """Return the secret that a variable of an image holds, None when it holds none."""
    known = next(find(value), None)
    if known is not None and known.certain:
        return _found(known.what, name, value, certain=True)
    named = re.search(r"(?i)passw(?:or)?d|passphrase|pwd$|secret|token|api_?key|access_?key|private_?key|auth_?key|credential", name)
    if named and not _NOT_NAMES.search(name) and len(value) >= 4 and not _PLACEHOLDER.fullmatch(value):
        return _found("a value named like a secret", name, value, certain=False)
    if named and not _NOT_NAMES.search(name) and len(value) >= 6 and re.fullmatch(r"[a-z]+", value) is None and likely(value):
        return _found("a value named like a secret", name, value, certain=False)
    return None


def likely(value: str, *, strict: bool = False) -> bool:
    """Tell whether a value could be a secret: no placeholder, no word, no path; in strict sight random enough."""
    if _PLACEHOLDER.fullmatch(value) or _example(value):
        return False
    mixed = bool(re.search(r"\d", value)) and bool(re.search(r"[A-Za-z]", value))
    return (mixed and len(value) >= 20 and entropy(value) >= 3.6) if strict else (mixed or entropy(value) >= 3.2)


def entropy(value: str) -> float:
    """Return the bits a character of a text carries."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values()) if value else 0.0


def _example(value: str) -> bool:
    return bool(re.search(r"(?i)example|sample|dummy|placeholder|xxxx|1234567890|abcdefgh|0000000|your[_-]?", value)) or len(set(value)) < 5


def _found(what: str, name: str, value: str, *, certain: bool) -> Found:
    shown = f"{value[:4]}… ({len(value)} characters)" if len(value) > 12 else f"({len(value)} characters)"
    return Found(what, name, shown, hashlib.sha256(value.encode()).hexdigest()[:12], certain)
