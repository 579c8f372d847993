"""The page that says which test proves which promise: every row is there, and every test it names."""
from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "mcpweb" / "docs" / "reliability.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
# a word that tells each row of the design from all others; a row may be worded better, and not be dropped
THREATS = (
    "Stolen database or backup", "after a key was destroyed", "Row swap", "Old value", "missing key", "in inspect", "in errors", "secret of another",
    "Script", "rebinding", "fixation", "Guessing", "More rights", "Host takeover", "floods", "our own network", "Audit log", "faulty plugin", "Key file",
    "Import too large", "same user", "Supply chain",
)
FAULTS = (
    "Kill of a writer", "Kill at each step", "Rotation while", "Many starters", "fails half way", "newer migration", "Mixed load", "Long reader",
    "Disk full", "Read-only", "Corrupt", "Zero-byte", "Backup while", "Crash in a backup", "Clock jumps", "Engine absent", "Engine restarts",
    "Container killed", "Pull fails", "breaks in a call", "Name conflict", "Two managers", "used up by streams", "SIGTERM", "Plugin raises",
)


def rows(heading: str) -> dict[str, str]:
    """Return what proves each row of a table, by its first cell."""
    part = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")][2:]
    assert all(len(row) == 3 for row in cells)
    return {row[0].strip(): row[2].strip() for row in cells}


@cache
def names_in(name: str) -> set[str]:
    tree = ast.parse((ROOT / name).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize(("heading", "wanted"), [("Threats", THREATS), ("Faults", FAULTS)])
def test_every_row_of_the_design_has_one_row_here_with_a_test_or_says_what_is_open(heading: str, wanted: tuple[str, ...]) -> None:
    found = rows(heading)
    assert len(found) == len(wanted)
    for words in wanted:
        (row,) = [row for row in found if words in row]
        assert NAMED.search(found[row]) or "*not proven*" in found[row], row


def test_every_test_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE.read_text())
    assert len(named) > 80
    assert [f"{path}::{name}" for path, name in named if name not in names_in(path)] == []
