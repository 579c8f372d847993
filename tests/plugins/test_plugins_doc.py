"""The page for plugin authors is true: its commands run in their order, its code works, and what it names is there."""
from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from mcpweb import plugincalls, pluginhost, pluginload, pluginprobe
from mcpweb.kit.new import KINDS
from mcpweb.testing import authors, contracts, fixtures, vaultcontracts
from tests.apart import ROOT, environment_at

TEXT = (ROOT / "mcpweb" / "docs" / "plugins.md").read_text()
MODULE = "mcpweb-plugin-licences/src/mcpweb_licences/__init__.py"


def test_the_first_plugin_is_made_as_the_page_says(tmp_path: Path) -> None:
    python = environment_at(tmp_path / "venv")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MCPWEB_")}
    environment = {
        **clean, "PATH": f"{python.parent}:{clean['PATH']}", "MCPWEB_DATA_DIR": str(tmp_path / "data"),
        "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": "/dev/null", "PIP_RETRIES": "0",
    }
    at = tmp_path
    told = ""
    blocks = re.findall(r"```(sh|python)\n(.*?)```", TEXT, re.S)
    assert [kind for kind, _ in blocks] == ["sh", "python", "sh", "sh"]
    for kind, block in blocks:
        if kind == "python":
            assert len([line for line in block.splitlines() if line.strip()]) <= 12
            text = (tmp_path / MODULE).read_text()
            (tmp_path / MODULE).write_text(re.sub(r"CHECKS = .*?(?=\n\n\n@hookimpl)", block.strip().replace("\\", r"\\"), text, flags=re.S))
            continue
        for command in block.strip().splitlines():
            if command.startswith("cd "):
                at = at / command.removeprefix("cd ")
                continue
            done = subprocess.run(command, shell=True, cwd=at, env=environment, capture_output=True, text=True, timeout=150)
            assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            told += done.stdout
    assert "L01" not in told and "licences is fine." in told and "passed" in told and "loaded" in told


def test_the_kinds_the_limits_and_the_fixtures_it_names_are_those_there_are() -> None:
    assert set(re.findall(r"^\| (\w+) \| `mcpweb_", TEXT, re.M)) == set(KINDS)
    assert (plugincalls.CALL_S, plugincalls.LOAD_S, pluginprobe.TIME_LIMIT_S, pluginload.MEMORY >> 30) == (5, 20, 20, 2)
    assert (pluginhost.FAULTS, pluginhost.FAULTS_WITHIN_S) == (10, 300)
    table = TEXT[TEXT.index("| fixture |"):]
    for name in re.findall(r"^\| (`.*?) \|", table, re.M):
        for one in re.findall(r"`(\w+)`", name):
            assert hasattr(fixtures, one) or hasattr(authors, one), one
    for name in re.findall(r"`(\w+Contract)`", TEXT):
        assert hasattr(contracts, name) or hasattr(vaultcontracts, name), name


@pytest.mark.parametrize("fixture", ["client", "database", "plugins", "run_test_type", "audit_log", "assert_redacted", "under_test"])
def test_every_fixture_for_authors_says_what_it_is(fixture: str) -> None:
    found = getattr(authors, fixture, None) or getattr(fixtures, fixture)
    assert (found.__doc__ or found._get_wrapped_function().__doc__).strip()
