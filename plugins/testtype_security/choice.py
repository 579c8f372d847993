"""Which checks a run wants."""

from __future__ import annotations

from collections.abc import Sequence

from mcpweb.plugin import TestContext


def asked(context: TestContext, checks: Sequence[str]) -> bool:
    """Tell whether a run wants any of these checks: all of them, or those that begin as its parameter ``checks`` says."""
    words = context.parameters.get("checks")
    if not isinstance(words, list) or not words:
        return True
    return any(check.startswith(str(word)) for check in checks for word in words)
