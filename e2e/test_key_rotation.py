"""A key is rotated while somebody watches, and every secret still reaches its server."""
from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.steps import LOOKS, add_secret, break_no_rule, sign_in, speak
from mcpweb.testing.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.docker]


def test_a_rotation_is_watched_to_its_end(page: Page, served: Served) -> None:
    sign_in(page, served)
    for number in range(3):
        add_secret(page, served, f"rotated-{number}", f"canary-{number}-of-the-rotation")
    page.goto(f"{served.url}/secrets")
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_text("3 secrets ·")).to_be_visible()
    page.get_by_role("button", name="Rotate", exact=True).click()
    expect(page.get_by_text("3 secrets encrypted anew")).to_be_visible(timeout=30_000)
    rows = page.get_by_role("row")
    expect(rows.filter(has_text="active")).to_contain_text("2")
    expect(rows.filter(has_text="retired")).to_have_count(1)
    page.goto(f"{served.url}/audit?action=key.rotate")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_the_key_encryption_key_is_changed_and_secrets_still_open(page: Page, served: Served) -> None:
    sign_in(page, served)
    add_secret(page, served, "survivor", "canary-survivor")
    page.goto(f"{served.url}/keys")
    page.get_by_text("Change the key-encryption key").click()
    page.get_by_role("button", name="Change the KEK").click()
    expect(page.get_by_text("The key-encryption key was changed.")).to_be_visible()
    page.goto(f"{served.url}/secrets")
    page.get_by_role("link", name="survivor").click()
    page.get_by_text("Show the value").first.click()
    page.get_by_label("Your password").fill("correct horse 7")
    page.get_by_role("button", name="Show the value").click()
    expect(page.get_by_text("canary-survivor")).to_be_visible()


@pytest.mark.parametrize(("scheme", "language"), LOOKS)
def test_no_page_of_keys_breaks_an_axe_rule(page: Page, served: Served, scheme: str, language: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    sign_in(page, served)
    speak(page, served, language)
    break_no_rule(page, served, ["/keys", "/jobs", "/"])


@pytest.mark.parametrize("width", [320, 390, 768])
def test_keys_fit_a_small_screen(page: Page, served: Served, width: int) -> None:
    sign_in(page, served)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{served.url}/keys")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
