"""D: what the server does – on its own, when it is used, and when it is attacked."""

from __future__ import annotations

from collections.abc import Iterator

from mcpweb.plugin import Check, CheckResult, TestContext

CHECKS: tuple[Check, ...] = ()


def run(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts of the D checks."""
    yield from ()
