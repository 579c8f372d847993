"""The checks of all loaded test types, as pages name them."""
from __future__ import annotations

from mcpweb.contracts import Check
from mcpweb.web.identity import core
from mcpweb.web.words import said


def checks() -> dict[str, Check]:
    """Return all checks there are, by id."""
    return {check.id: check for kind in core().test_types.values() for check in kind.checks}


def titles() -> dict[str, str]:
    """Return the titles of all checks in the language of the page, by id."""
    return {check_id: said(check.title) for check_id, check in checks().items()}
