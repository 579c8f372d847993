"""Verbs of the journeys."""
from __future__ import annotations

import json

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from e2e.conftest import PASSWORD
from mcpweb.testing.served import Served
from tests.sizes import NIGHT

# a rule is broken by a colour or by a word: two pairs hold both themes and both languages, the night has all four
LOOKS = [("light", "ja"), ("dark", "en"), *([("light", "en"), ("dark", "ja")] if NIGHT else [])]


def sign_in(page: Page, served: Served) -> None:
    """Sign in, through the setup link the first time."""
    if served.setup_link:
        page.goto(served.setup_link)
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create and sign in").click()
        served.setup_link = ""
    else:
        page.goto(f"{served.url}/sign-in")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{served.url}/")


def add_secret(page: Page, served: Served, name: str, value: str) -> None:
    """Add a global secret and stay on its page."""
    page.goto(f"{served.url}/secrets/new")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Value").fill(value)
    page.get_by_role("button", name="Add secret").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def speak(page: Page, served: Served, language: str) -> None:
    """Choose the language of the pages."""
    page.context.add_cookies([{"name": "mcpweb-language", "value": language, "url": served.url}])


def break_no_rule(page: Page, served: Served, paths: list[str]) -> None:
    """Look at pages with axe, every fold of them open; none may break a rule."""
    found = {}
    for path in paths:
        page.goto(served.url + path)
        page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
        results = Axe().run(page)
        if results.violations_count:
            found[path] = [(v["id"], v["nodes"][0]["html"][:160]) for v in results.response["violations"]]
    assert not found, json.dumps(found, indent=1, ensure_ascii=False)
