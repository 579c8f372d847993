"""A server turns after two calls: the call is refused, a person sees what changed and approves; a finding is accepted."""
from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.steps import LOOKS, break_no_rule, sign_in, speak
from mcpweb.testing.served import Served
from tests.docker.images import build_image


@pytest.fixture(scope="module")
def turned(served: Served) -> str:
    """A running server that is not what was approved any more; its id."""
    served.cli("servers", "add", "turning", "--image", build_image("corpus"), "--command", "pins-after-two")
    served.json("servers", "start", "turning")
    for code in (0, 0, 2):
        served.cli("servers", "call", "turning", "echo", '{"text": "hello"}', code=code)
    served.cli("test", "turning", "--type", "security", "--fail-on", "critical", code=None)
    return str(served.json("servers", "show", "turning")["id"])


def shoot(page: Page, name: str) -> None:
    """Keep a picture where somebody wants to look at them."""
    if folder := os.environ.get("MCPWEB_E2E_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(("scheme", "language"), LOOKS)
def test_the_tab_breaks_no_axe_rule(page: Page, served: Served, turned: str, scheme: str, language: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    sign_in(page, served)
    page.goto(f"{served.url}/servers/{turned}/security")
    finding = str(page.locator("td.text a").first.get_attribute("href"))
    speak(page, served, language)
    for name, path in (("security", f"/servers/{turned}/security"), ("finding", finding), ("untested", "/servers/demo/security")):
        break_no_rule(page, served, [path])
        shoot(page, f"{name}-{scheme}-{language}")


def test_the_tab_is_no_wider_than_a_small_screen(page: Page, served: Served, turned: str) -> None:
    sign_in(page, served)
    page.set_viewport_size({"width": 320, "height": 800})
    page.goto(f"{served.url}/servers/{turned}/security")
    shoot(page, "security-small")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_what_changed_is_seen_and_approved_and_the_tool_is_called_again(page: Page, served: Served, turned: str) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers/{turned}")
    expect(page.get_by_text("It is not what was approved.")).to_be_visible()
    page.get_by_role("link", name="Look at it").click()
    expect(page.locator("ins mark")).to_contain_text("private key")
    page.get_by_role("button", name="Approve echo").click()
    expect(page.get_by_text("The server says what was approved.")).to_be_visible()
    expect(page.get_by_text("It is not what was approved.")).to_have_count(0)
    served.cli("servers", "call", "turning", "echo", '{"text": "hello"}')
    page.get_by_role("button", name="Warn").click()
    expect(page.get_by_role("button", name="Warn")).to_have_attribute("aria-pressed", "true")


def test_a_finding_is_accepted_for_a_while_and_withdrawn(page: Page, served: Served, turned: str) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers/{turned}/security")
    page.locator("td.text a").first.click()
    page.get_by_label("Reason").fill("It runs without a network.")
    page.get_by_role("button", name="Accept", exact=True).click()
    expect(page.get_by_text("It runs without a network.")).to_be_visible()
    page.get_by_role("link", name="Security", exact=True).first.click()
    expect(page.get_by_text("These do not count until the day that is given.")).to_be_visible()
    page.get_by_text("It runs without a network.").locator("xpath=..").get_by_role("link").click()
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("heading", name="Accept this finding")).to_be_visible()
