"""Verbs of the journeys."""
from __future__ import annotations

from playwright.sync_api import Page, expect

from e2e.conftest import PASSWORD
from mcpweb.testing.served import Served


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
