"""Performance: how fast the server starts and answers, how much it takes on, what it uses, and whether it got slower."""
from __future__ import annotations

from collections.abc import Iterator

from mcpweb.plugin import CheckResult, TestContext, TestType, hookimpl

from .checks import CHECKS

mcpweb_api = 1


def verdicts(context: TestContext) -> Iterator[CheckResult]:
    """Test the server; what that takes is imported where a test runs, not by every command and page."""
    from . import run

    yield from run.run(context)


@hookimpl
def mcpweb_add_test_types() -> list[TestType]:
    return [
        TestType(
            name="performance",
            title="Performance",
            description="Cold start, latency, throughput, memory; slower than a baseline or not, by statistics.",
            checks=CHECKS,
            run=verdicts,
            order=30,
            budget_s={"quick": 300.0, "full": 1800.0},
            exclusive=True,
        )
    ]
