"""Functionality: do the tools answer as their schemas say, and does the server keep to the protocol while they do?"""

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
            name="functionality",
            title="Functionality",
            description="Every tool called with generated input, valid and invalid; lists, resources, prompts, saved cases.",
            checks=CHECKS,
            run=verdicts,
            order=20,
            budget_s={"quick": 60.0, "full": 300.0},
        )
    ]
