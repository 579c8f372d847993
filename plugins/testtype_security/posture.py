"""K01 to K07: the container as the engine holds it, against what a closed container is and what the configuration says."""

from __future__ import annotations

from collections.abc import Iterator

from mcpweb.plugin import CheckResult, TestContext, TestSession


def check(context: TestContext, session: TestSession) -> Iterator[CheckResult]:
    """Yield the verdicts of K01."""
    host = (session.inspect().raw or {}).get("HostConfig") or {}
    open_ = bool(host.get("Privileged")) or "ALL" not in (host.get("CapDrop") or ())
    yield CheckResult(
        "K01",
        "fail" if open_ else "pass",
        "The container is privileged." if open_ else "It has no privileges.",
        evidence={"CapAdd": host.get("CapAdd"), "CapDrop": host.get("CapDrop")},
    )
