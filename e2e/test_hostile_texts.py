"""A server whose every text wants to be more than text: on each page it stays text, and the page keeps its shape."""
from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Page, Request, expect

from e2e.steps import sign_in
from mcpweb.testing.served import Served
from tests.docker.images import build_image

pytestmark = [pytest.mark.browser, pytest.mark.docker]
# what a page of ours never has: an attribute of htmx without our nonce, a frame, a handler, a picture from elsewhere
STRANGE = """() => {
  const nonce = document.querySelector("script[nonce]").nonce;
  const found = [];
  for (const one of document.querySelectorAll("*")) {
    for (const { name, value } of one.attributes) {
      if (name.startsWith("on") || /^\\s*javascript:/i.test(value)) found.push(`${one.tagName} ${name}`);
      if (name.startsWith("hx-") && one.getAttribute("hx-nonce") !== nonce) found.push(`${one.tagName} ${name} has no nonce`);
    }
    if (one.matches("iframe, object, embed, main dialog, main script, main img:not([src^='data:image/png']), base, main style")) found.push(one.tagName);
  }
  if (window.pwned) found.push("a script ran");
  return found;
}"""


@pytest.fixture(scope="module")
def hostile(served: Served) -> list[str]:
    """A running server of the corpus whose tools were called once each; their names."""
    served.cli("servers", "add", "hostile", "--image", build_image("corpus"), "--command", "screens-hostile")
    served.cli("servers", "start", "hostile")
    names = [tool["name"] for tool in served.json("servers", "tools", "hostile")["items"]]
    for name in names:
        served.cli("servers", "call", "hostile", "--", name, "{}", code=None)
    return names


def test_no_text_of_a_server_becomes_more_than_text(page: Page, served: Served, hostile: list[str]) -> None:
    asked: list[str] = []
    dialogs: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((served.url, "data:")) or urlsplit(request.url).path.startswith("/beacon"):
            asked.append(request.url)

    page.on("request", note)
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    sign_in(page, served)
    jobs = [job for job in served.json("jobs", "list")["items"] if job["kind"] == "call"]
    assert len(hostile) == 5 and len(jobs) >= 5
    server = "/servers/hostile"
    paths = [
        "/", "/servers", server, f"{server}/configurations", f"{server}/secrets", f"{server}/tests", f"{server}/logs", f"{server}/activity",
        f"{server}/stats", f"{server}/security", f"{server}/tools", f"{server}/tests/cases/new", "/jobs", "/audit", "/palette?q=W", "/palette?q=img",
        *(f"/jobs/{job['id']}" for job in jobs[:5]), *(f"{server}/tools?job={job['id']}" for job in jobs[:5]),
    ]
    paths += [f"{server}/tools?tool={quote(name[:1500], safe='')}" for name in hostile]
    wide = []
    for width in (1440, 320):
        page.set_viewport_size({"width": width, "height": 900})
        for path in paths:
            answer = page.goto(served.url + path)
            assert answer is not None and answer.status in (200, 404), (path, answer.status if answer else None)
            page.wait_for_timeout(60)
            assert not (found := page.evaluate(STRANGE)), (path[:80], found)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append((width, path[:80]))
    assert not asked and not dialogs
    assert not wide, wide
    assert "62615533" not in page.content()


def test_the_form_of_a_hostile_tool_works_and_its_answer_is_read(page: Page, served: Served, hostile: list[str]) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers/hostile/tools")
    page.get_by_role("button", name="Add row").first.click()
    expect(page.locator("[name='/hx-get/2']")).to_be_visible()
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.locator("#result")).to_contain_text("onerror", timeout=20_000)
    assert not page.evaluate(STRANGE)
    hidden = re.compile("[\u202e\u2066\u200b]")
    for shown in page.locator(".menu a span:first-child, h2 code").all_inner_texts():
        assert not hidden.search(shown), "what nobody sees is written out in a name"
