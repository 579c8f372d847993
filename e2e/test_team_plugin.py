"""A team's plugin from the first command to the history it leaves: written, changed, checked, installed, seen, run, removed."""
from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.steps import sign_in
from mcpweb.testing.served import Served
from tests.apart import environment_at

pytestmark = [pytest.mark.browser, pytest.mark.docker]
# ten lines: which checks, how each tool is judged, and what the test type is called
EDITS = {
    '    Check("LICENCES01", "Each tool says what it is for", "low", "People and models choose a tool by its description."),\n':
        '    Check("L01", "Each tool names a licence", "medium", "Answers without a licence cannot be used in our reports."),\n',
    "            fine = len(text) >= LEAST\n": '            fine = "licence" in text.lower()\n',
    '                "LICENCES01", "pass" if fine else "fail",\n': '                "L01", "pass" if fine else "fail",\n',
    '                "It says what it is for." if fine else f"Its description has {len(text)} letters.",\n':
        '                "It names a licence." if fine else "It names no licence.",\n',
    '                next_step="" if fine else "Describe in a sentence what the tool does and when to use it.",\n':
        '                next_step="" if fine else "Name the licence in the description.",\n',
    '"Licences", "Do its tools say what they are for?"': '"Licences of tools", "Do its tools say how answers may be used?"',
    "LEAST = 10  # letters\n": "",
    '"""Licences: looks whether each tool of a server says what it is for."""': '"""Licences: looks whether each tool names one."""',
}


def test_a_plugin_is_written_changed_checked_installed_seen_run_and_removed(page: Page, tmp_path: Path) -> None:
    served = Served(tmp_path, python=str(environment_at(tmp_path / "venv")), PIP_INDEX_URL="http://127.0.0.1:9/", PIP_CONFIG_FILE="/dev/null")
    served.cli("demo")
    served.cli("plugins", "new", "licences")
    project = tmp_path / "mcpweb-plugin-licences"
    module = project / "src" / "mcpweb_licences" / "__init__.py"
    text = module.read_text()
    for old, new in EDITS.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    module.write_text(text)
    assert len(EDITS) <= 10 and "licences is fine." in served.cli("plugins", "check", str(project))
    served.cli("plugins", "install", str(project), "--yes")

    served.start()
    try:
        sign_in(page, served)
        page.goto(f"{served.url}/plugins")
        row = page.get_by_role("row").filter(has=page.get_by_text("licences", exact=True))
        expect(row).to_contain_text("loaded")
        expect(row).to_contain_text("Licences: looks whether each tool names one.")
        page.goto(f"{served.url}/servers/demo/tests")
        expect(page.get_by_text("Licences of tools").first).to_be_visible()
        told = served.json("test", "demo", "--type", "licences", "--fail-on", "medium", code=1)
        assert told["verdict"] == "fail" and told["types"] == ["licences"]
        page.goto(f"{served.url}/test-runs/{told['id']}")
        expect(page.get_by_text("It names no licence.").first).to_be_visible()

        page.goto(f"{served.url}/plugins")
        row.get_by_role("button", name="Disable").click()
        expect(row).to_contain_text("Switched off by")
        served.cli("test", "demo", "--type", "licences", code=2)
        row.get_by_role("button", name="Enable").click()
        expect(page.get_by_text("loaded when mcpweb starts again")).to_be_visible()
        served.cli("plugins", "uninstall", "licences", "--yes")
        assert served.stop() == 0

        served.start()
        page.goto(f"{served.url}/plugins")
        expect(page.get_by_role("heading", name="Plugins")).to_be_visible()
        expect(page.get_by_text("licences", exact=True)).to_have_count(0)
        page.goto(f"{served.url}/test-runs")
        expect(page.locator(f"a[href*='{told['id']}']").first).to_be_visible()
        page.goto(f"{served.url}/test-runs/{told['id']}")
        expect(page.get_by_text("It names no licence.").first).to_be_visible()
        assert [row["action"] for row in served.json("audit", "list")["items"] if row["action"].startswith("plugin.")] == [
            "plugin.uninstall", "plugin.enable", "plugin.disable", "plugin.install",
        ]
        served.cli("audit", "verify")
    finally:
        served.cli("servers", "remove", "demo", code=None)
        served.stop()
