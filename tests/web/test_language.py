"""Pages speak English and Japanese, both wholly."""
from __future__ import annotations

import re
import subprocess
import sys

import pytest

from mcpweb import paths
from mcpweb.testing.fixtures import MakeServer, Visitor, check_markup

PAGES = ("/", "/servers", "/servers/new", "/servers/demo", "/servers/demo/tests", "/test-runs", "/jobs", "/audit", "/settings",
         "/secrets", "/secrets/new", "/keys", "/servers/demo/configurations", "/servers/demo/configurations/new")


def test_no_text_is_missing_fuzzy_or_left_over_in_a_catalogue() -> None:
    pytest.importorskip("babel")
    tool = paths.PACKAGE.parent / "tools" / "messages.py"
    done = subprocess.run(
        [sys.executable, str(tool), "--check"], capture_output=True, text=True, cwd=tool.parent.parent,
        env={"PYTHONPATH": str(tool.parent.parent)}, timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", PAGES)
def test_a_japanese_page_is_japanese(visitor: Visitor, make_server: MakeServer, path: str) -> None:
    make_server("demo")
    visitor.post("/preferences", {"language": "ja"})
    text = visitor.get(path).text
    assert '<html lang="ja">' in text
    check_markup(visitor.app, text)
    assert re.search(r"<h1>[^<]*[぀-ヿ一-鿿]", text) or "<h1>demo</h1>" in text
    for english in ("Servers<", "Settings<", "Sign out", "Add server", ">Test<", "Skip to content"):
        assert english not in text, english


def test_names_that_machines_read_are_never_translated(visitor: Visitor, make_server: MakeServer) -> None:
    make_server("Settings")
    visitor.post("/preferences", {"language": "ja"})
    assert ">Settings</a>" in visitor.get("/servers").text
