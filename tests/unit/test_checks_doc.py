"""docs/checks.md says of each check what the plugins register: id, title, severity, and what it proves."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from mcpweb.contracts import Check
from mcpweb.core import load_plugins, registered_test_types
from mcpweb.settings import load

DOCUMENT = Path(__file__).resolve().parents[2] / "mcpweb" / "docs" / "checks.md"
NOT_YET: set[str] = set()  # a test type leaves this list when its section is written
ROW = re.compile(r"^\| ([A-Z]+\d+[a-z]?) \| (.+?) \| (\w+) \| (.+?) \| (.+?) \|$", re.M)


def documented() -> dict[str, dict[str, tuple[str, str, str, str]]]:
    """Return the rows of each section by id."""
    parts = re.split(r"^## (.+)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.M)
    return {
        title.strip(): {row[0]: row[1:] for row in ROW.findall(body)}
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.fixture(scope="module")
def registered() -> dict[str, tuple[Check, ...]]:
    host = load_plugins(load({"MCPWEB_DATA_DIR": "/nowhere"}))
    return {one.title: one.checks for one in registered_test_types(host).values() if one.name not in NOT_YET}


def test_every_check_is_documented_as_it_is_registered(registered: dict[str, tuple[Check, ...]]) -> None:
    sections = documented()
    for title, checks in registered.items():
        rows = sections.get(title)
        assert rows is not None, f"docs/checks.md has no section {title}"
        assert {check.id: (check.title, check.severity) for check in checks} == {key: row[:2] for key, row in rows.items()}


def test_every_row_says_what_is_proven_and_with_what() -> None:
    for rows in documented().values():
        for number, (_, _, proves, evidence) in rows.items():
            assert len(proves) > 20 and len(evidence) > 3, number
