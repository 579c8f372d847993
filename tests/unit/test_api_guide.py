"""The guide to the API names every code that an answer can carry, with its status."""
from __future__ import annotations

import re
from pathlib import Path

from mcpweb import errors
from mcpweb.web.errors import _KNOWN

ROOT = Path(__file__).resolve().parents[2]
TABLE = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", (ROOT / "mcpweb" / "docs" / "api.md").read_text(), re.M))
ANSWERING = ("mcpweb/services", "mcpweb/rest", "mcpweb/web", "mcpweb/db", "mcpweb/schemas", "mcpweb/catalogs", "mcpweb/vault.py", "plugins/keysource_file")


def test_each_failure_stands_in_the_guide_with_its_status() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.Failure) and kind is not errors.Failure:
            assert kind.code in TABLE, f"{kind.code} of {kind.__name__} is not in mcpweb/docs/api.md"
            assert str(kind.status) in TABLE[kind.code] or any(
                other.code == kind.code and str(other.status) in TABLE[kind.code] for other in kind.__mro__ if hasattr(other, "code")
            ), (kind.code, kind.status)


def test_each_code_that_is_given_in_place_stands_in_the_guide() -> None:
    files = [file for place in ANSWERING for file in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))]
    given = {code for file in files for code in re.findall(r'\bcode="(\w+)"', file.read_text())}
    assert len(files) > 50 and {"not_json", "csrf"} <= given
    assert given - set(TABLE) == set()
    assert {code for code, _, _ in _KNOWN.values()} <= set(TABLE)
