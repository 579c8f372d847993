"""Functionality: do the tools answer as their schemas say, and does the server keep to the protocol while they do?"""

from __future__ import annotations

from mcpweb.plugin import TestType, hookimpl

from .checks import CHECKS
from .run import run

mcpweb_api = 1


@hookimpl
def mcpweb_add_test_types() -> list[TestType]:
    return [
        TestType(
            name="functionality",
            title="Functionality",
            description="Every tool called with generated input, valid and invalid; lists, resources, prompts, saved cases.",
            checks=CHECKS,
            run=run,
            order=20,
            budget_s={"quick": 60.0, "full": 300.0},
        )
    ]
