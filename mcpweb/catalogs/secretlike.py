"""Which variables are secrets by the look of them: a name that says so with a value that could be one, or a value like a key."""
from __future__ import annotations

import re

_NAME = re.compile(
    r"(?:^|[_.-])(?:api_?key|key|token|secret|password|passwd|passphrase|pwd|pass|private_?key|access_?key|secret_?key|credentials?"
    r"|auth|authorization|bearer|pat|cookie|dsn|connection_?string|webhook)(?:$|[_.-])"
    r"(?!.*(?:file|path|dir|name|id|url|type|ttl|limit|size)$)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?:gh[pousr]_|github_pat_|glpat-|sk-|sk_live_|sk_test_|rk_live_|xox[abprs]-|AKIA|ASIA|AIza|ya29\.|eyJ[A-Za-z0-9_-]{10,}\.|npm_|"
    r"pypi-|hf_|SG\.|dop_v1_|lin_api_|ntn_|secret_|shp(?:at|ss)_|tvly-|pplx-|gsk_)[A-Za-z0-9_./+=-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|[a-z][a-z0-9+.-]{1,30}://[^/\s:@]+:[^/\s@]+@"
)
_PLACEHOLDER = re.compile(
    r"\s*|<.*>|\[.*\]|\{.*\}|\$\{.*\}|\$[A-Za-z_]\w*|\*+|x{3,}|\.{3,}|(?:your|my|the|some|replace|change|insert|enter|put|example|dummy|xxx)"
    r"[\s_-].*|change_?me|placeholder|todo|none|null|secret|password|token|api[_-]?key",
    re.IGNORECASE | re.DOTALL,
)
_PLAIN = re.compile(r"true|false|yes|no|on|off|-?[0-9]{1,9}(?:\.[0-9]+)?|/[\w./-]*|[a-z]{1,12}", re.IGNORECASE)


def secret_name(name: str) -> bool:
    """Tell whether a variable's name says that it is a secret."""
    return bool(_NAME.search(name))


def placeholder(value: str) -> bool:
    """Tell whether a value only holds the place of one that is still to come."""
    return bool(_PLACEHOLDER.fullmatch(value[:300]))


def secret_value(name: str, value: str) -> bool:
    """Tell whether a variable holds a secret in plain text."""
    if placeholder(value):
        return False
    return bool(_VALUE.search(value)) or (secret_name(name) and not _PLAIN.fullmatch(value))
