"""From a pasted client's file to a tool's result; the set-up out and in again."""
from __future__ import annotations

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from e2e.steps import sign_in, speak
from mcpweb.demo import demo_reference
from mcpweb.testing.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.docker]
VALUE = "ghp_0123456789abcdefghij"
NASTY = '<img src=x onerror="document.title=1"><b hx-get="/servers" hx-trigger="load">\u202e\x1b[31m{{7*7}}'


def client(**entries: dict) -> str:
    return json.dumps({"mcpServers": entries})


def docker(image: str, *options: str, **env: str) -> dict:
    return {"command": "docker", "args": ["run", "-i", "--rm", *options, image], "env": env}


def test_a_pasted_clients_file_becomes_a_server_that_answers(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.get_by_role("link", name="Catalogue").first.click()
    page.get_by_label("Image, command or text").fill(client(pasted=docker(demo_reference(), "-e", "DEMO_TOKEN", "--privileged", DEMO_TOKEN=VALUE)))
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.get_by_text("It would take every protection away")).to_be_visible()
    expect(page.get_by_label("DEMO_TOKEN", exact=True)).to_have_value(VALUE)
    page.get_by_role("button", name="Add server").click()
    expect(page.get_by_role("heading", name="pasted is added")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("button", name="Stop", exact=True).first).to_be_visible(timeout=20_000)
    page.goto(f"{served.url}/servers/pasted/tools?tool=calculate")
    page.locator("select[name='/operation']").select_option('"add"')
    page.locator("[name='/a']").fill("40")
    page.locator("[name='/b']").fill("2")
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_text('"result": 42').first).to_be_visible(timeout=20_000)
    assert VALUE not in served.log()
    served.cli("servers", "remove", "pasted")


def test_pages_of_install_and_transfer_break_no_axe_rule_and_run_no_foreign_text(page: Page, served: Served) -> None:
    sign_in(page, served)
    text = {"registry": {NASTY[:90]: {
        "image": "example/x:1", "title": NASTY, "description": NASTY, "command": [NASTY], "volumes": ["a:/b", NASTY], "user": "1000", "allowHosts": [NASTY],
        "secrets": [{"name": NASTY, "env": "X_KEY", "description": NASTY}], "env": [{"name": "MODE", "value": "a"}, {"name": "B", "value": NASTY}],
        "config": [{"properties": {NASTY: {"type": "string", "description": NASTY}, "n": {"type": "integer"}, "l": {"type": "array"}, "e": {"enum": ["a", NASTY]}}}],
        "tools": [{"name": NASTY}], "metadata": {"category": NASTY}}, "pkg": {"type": "remote", "remote": {"url": NASTY}}}}
    page.goto(f"{served.url}/install")
    page.get_by_label("Image, command or text").fill(json.dumps(text))
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page).to_have_url(re.compile("/install/cat_"))
    where = page.url
    paths = (f"{served.url}/install", where, f"{where}/0", f"{where}/1", f"{served.url}/install/suggestions/1", f"{served.url}/install/done/demo",
             f"{served.url}/settings/transfer", f"{served.url}/servers/demo/connect")
    found = {}
    for scheme, language in (("light", "en"), ("dark", "ja")):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        speak(page, served, language)
        for path in paths:
            page.goto(path)
            results = Axe().run(page)
            if results.violations_count:
                found[path, scheme] = [(v["id"], v["nodes"][0]["html"][:160]) for v in results.response["violations"]]
            assert page.title() != "1" and page.locator("main img, main b[hx-get]").count() == 0
    assert not found, json.dumps(list(found.values()), indent=1)
    speak(page, served, "en")


def test_the_set_up_goes_out_and_its_copy_comes_in(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/settings/transfer")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    page.get_by_label("File").set_input_files(download.value.path())
    page.get_by_label("Servers whose names are taken").select_option("rename")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("only looked at")).to_be_visible()
    page.get_by_label("File").set_input_files(download.value.path())
    page.get_by_label("Servers whose names are taken").select_option("rename")
    page.get_by_label("Only say what would be done").uncheck()
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("link", name="demo-2")).to_be_visible()
    served.cli("servers", "remove", "demo-2")
