"""Security: is the container closed, the image clean, and does what the server tells a model and does itself hold no harm?"""

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
            name="security",
            title="Security",
            description="Container, image, tool descriptions, changes since approval, and how the tools take an attack.",
            checks=CHECKS,
            run=verdicts,
            order=40,
            budget_s={"quick": 60.0, "full": 600.0},
        )
    ]
