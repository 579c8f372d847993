"""Security: is the container closed, the image clean, and does what the server tells a model and does itself hold no harm?"""

from __future__ import annotations

from mcpweb.plugin import TestType, hookimpl

from .checks import CHECKS
from .run import run

mcpweb_api = 1


@hookimpl
def mcpweb_add_test_types() -> list[TestType]:
    return [
        TestType(
            name="security",
            title="Security",
            description="Container, image, tool descriptions, changes since approval, and how the tools take an attack.",
            checks=CHECKS,
            run=run,
            order=40,
            budget_s={"quick": 60.0, "full": 600.0},
        )
    ]
