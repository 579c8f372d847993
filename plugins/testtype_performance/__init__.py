"""Performance: how fast the server starts and answers, how much it takes on, what it uses, and whether it got slower."""
from __future__ import annotations

from mcpweb.plugin import TestType, hookimpl

from .checks import CHECKS
from .run import run

mcpweb_api = 1


@hookimpl
def mcpweb_add_test_types() -> list[TestType]:
    return [
        TestType(
            name="performance",
            title="Performance",
            description="Cold start, latency, throughput, memory; slower than a baseline or not, by statistics.",
            checks=CHECKS,
            run=run,
            order=30,
            budget_s={"quick": 300.0, "full": 1800.0},
            exclusive=True,
        )
    ]
