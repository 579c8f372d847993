"""Connection: does the server start hardened, shake hands, speak the protocol cleanly and leave when asked to?"""
from __future__ import annotations

from mcpweb.plugin import TestType, hookimpl

from .checks import CHECKS
from .run import run

mcpweb_api = 1


@hookimpl
def mcpweb_add_test_types() -> list[TestType]:
    return [
        TestType(
            name="connection",
            title="Connection",
            description="Create, start, handshake, list; which step failed and what to do.",
            checks=CHECKS,
            run=run,
            order=10,
            budget_s={"quick": 60.0, "full": 180.0},
        )
    ]
