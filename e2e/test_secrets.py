"""A secret from the form to a running container, and back to nobody's eyes; every page of it under axe."""
from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import PASSWORD
from e2e.steps import LOOKS, add_secret, break_no_rule, sign_in, speak
from mcpweb.testing.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.docker]
CANARY = "canary-Jk49-of-the-browser"


def looked_at(page: Page, served: Served) -> str:
    """Return the path of a secret's page; there is one in any order of the tests."""
    page.goto(f"{served.url}/secrets?name=looked-at")
    if page.get_by_role("link", name="looked-at").count() == 0:
        add_secret(page, served, "looked-at", CANARY)
        page.goto(f"{served.url}/secrets?name=looked-at")
    return str(page.get_by_role("link", name="looked-at").get_attribute("href"))


def test_a_secret_is_added_bound_and_given_to_a_server_that_starts(page: Page, served: Served) -> None:
    sign_in(page, served)
    add_secret(page, served, "api-key", CANARY)
    assert CANARY not in page.content()
    page.get_by_role("textbox", name="Variable").fill("API_KEY")
    page.get_by_label("environment: everybody").check()
    expect(page.get_by_text("Choose it only where")).to_be_visible()
    page.get_by_label("over standard input").check()
    expect(page.get_by_text("Choose it only where")).to_be_hidden()
    page.get_by_role("button", name="Bind", exact=True).click()
    row = page.locator("tr", has=page.get_by_role("link", name="demo / default"))
    expect(row).to_contain_text("no container has it")
    page.goto(f"{served.url}/servers/demo")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible(timeout=30_000)
    page.goto(f"{served.url}/secrets")
    page.get_by_role("link", name="api-key").click()
    expect(row).to_contain_text("can read it")
    page.get_by_text("Replace the value").click()
    page.get_by_label("New value").fill("another canary")
    page.get_by_role("button", name="Replace", exact=True).click()
    expect(page.get_by_text("v2", exact=False).first).to_be_visible()


def test_a_value_is_shown_once_and_leaves_by_itself(page: Page, served: Served) -> None:
    sign_in(page, served)
    add_secret(page, served, "shown-once", CANARY)
    page.clock.install()
    page.get_by_text("Show the value").first.click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Show the value").click()
    expect(page.get_by_text(CANARY)).to_be_visible()
    page.clock.fast_forward(29_000)
    expect(page.get_by_text(CANARY)).to_be_visible()
    page.clock.fast_forward(2_000)
    expect(page.get_by_text(CANARY)).to_have_count(0)
    page.goto(f"{served.url}/audit?action=secret.reveal")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_what_is_typed_stays_hidden_until_one_asks(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/secrets/new")
    box = page.get_by_label("Value")
    assert box.evaluate("(one) => getComputedStyle(one).webkitTextSecurity") == "disc"
    page.get_by_label("Show what I type").check()
    assert box.evaluate("(one) => getComputedStyle(one).webkitTextSecurity") == "none"


def test_a_server_without_its_secret_says_which_one(page: Page, served: Served) -> None:
    served.cli("servers", "stop", "demo")
    sign_in(page, served)
    page.goto(f"{served.url}/secrets")
    page.get_by_role("link", name="api-key").click()
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_role("button", name="Activate")).to_be_visible()
    page.goto(f"{served.url}/servers/demo")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("requires api-key (inactive)").first).to_be_visible(timeout=20_000)


@pytest.mark.parametrize(("scheme", "language"), LOOKS)
def test_no_page_of_secrets_and_configurations_breaks_an_axe_rule(page: Page, served: Served, scheme: str, language: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    sign_in(page, served)
    secret = looked_at(page, served)
    page.goto(f"{served.url}/servers/demo/configurations")
    configuration = str(page.locator("tbody a").first.get_attribute("href"))
    speak(page, served, language)
    break_no_rule(page, served, [
        "/secrets", "/secrets?name=none", "/secrets/new", secret, "/audit", "/audit?who=nobody", "/step-up",
        "/servers/demo/configurations", "/servers/demo/configurations/new", configuration, f"{configuration}/edit",
    ])


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_of_secrets_is_wider_than_a_small_screen(page: Page, served: Served, width: int) -> None:
    sign_in(page, served)
    page.set_viewport_size({"width": width, "height": 800})
    secret = looked_at(page, served)
    for path in ("/secrets", "/secrets/new", secret, "/audit", "/servers/demo/configurations", "/servers/demo/configurations/new"):
        page.goto(served.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
