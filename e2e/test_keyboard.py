"""The whole first run by keyboard alone; the palette, the help and the filter by their keys."""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import PASSWORD
from e2e.steps import sign_in
from mcpweb.testing.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.docker]
FOCUSED = """() => {
  const one = document.activeElement;
  return one && one !== document.body ? (one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText || one.name || "").trim() : "";
}"""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation with nothing in it."""
    served = Served(tmp_path_factory.mktemp("empty"))
    served.start()
    yield served
    served.cli("servers", "remove", "demo", code=None)
    assert served.stop() == 0


def reach(page: Page, name: str, most: int = 40) -> int:
    """Press Tab until what has the focus is called so, and return how often; it must be seen to have it."""
    for count in range(most):
        if re.fullmatch(name, str(page.evaluate(FOCUSED))):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"{name} does not show that it has the focus"
            return count
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} is not among the first {most} stops")


def past_navigation(page: Page) -> int:
    """Skip to the content as a person with a keyboard does and return how many keys that took."""
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to content"
    page.keyboard.press("Enter")
    return 1


def test_a_newcomer_needs_no_mouse_from_the_setup_link_to_the_answer_of_a_tool(page: Page, empty: Served) -> None:
    page.goto(empty.setup_link)
    empty.setup_link = ""
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{empty.url}/")
    pressed = 0
    for button in ("Add the demo server", "Start demo"):
        expect(page.get_by_role("button", name=button)).to_be_visible(timeout=90_000)
        past_navigation(page)
        reach(page, button)
        page.keyboard.press("Enter")
        pressed += 1
    expect(page).to_have_url(re.compile("/servers/"))
    expect(page.get_by_role("button", name="Stop", exact=True).first).to_be_visible(timeout=30_000)
    past_navigation(page)
    reach(page, "Tools")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/tools"))
    past_navigation(page)
    reach(page, r"text\s*")
    page.keyboard.type("héllo")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#result")).to_contain_text("héllo", timeout=30_000)
    pressed += 2
    assert pressed <= 5, "interactions from the sign-in to the first answer"
    page.keyboard.press("Control+k")
    page.keyboard.type("test demo")
    expect(page.locator(".hits button")).to_contain_text("Test: demo")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/test-runs/run_"))


def test_ten_keys_lead_to_the_first_row(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers")
    assert past_navigation(page) + reach(page, "demo") <= 10


def test_the_palette_is_worked_by_its_keys_and_gives_the_focus_back(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers")
    search = page.locator("main input[type=search]")
    page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_hidden(), "in a field a question mark is a letter"
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    page.keyboard.type("audi")
    expect(page.locator(".hits a").first).to_contain_text("Audit")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".hits a").first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#palette input")).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#palette')")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    expect(search).to_be_focused()
    page.keyboard.press("Control+k")
    page.keyboard.type("audi")
    expect(page.locator(".hits a").first).to_contain_text("Audit")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{served.url}/audit")
    page.keyboard.press("?")
    expect(page.locator("#help kbd").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page).to_have_url(f"{served.url}/servers")


def test_nothing_happens_while_text_is_composed_and_once_it_is_whole_it_counts(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "q=" in request.url else None)
    search = page.locator("main input[type=search]")
    search.focus()
    compose = """(input, [kind, text]) => {
      if (kind === "key") input.dispatchEvent(new KeyboardEvent("keydown", { key: text, ctrlKey: true, bubbles: true, isComposing: true, cancelable: true }));
      if (kind === "input") { input.value = text; input.dispatchEvent(new InputEvent("input", { bubbles: true, isComposing: true })); }
      if (kind === "end") input.dispatchEvent(new CompositionEvent("compositionend", { bubbles: true, data: text }));
    }"""
    search.evaluate(compose, ["input", "ｄｅ"])
    search.evaluate(compose, ["key", "k"])
    page.wait_for_timeout(700)
    assert not asked
    expect(page.locator("#palette")).to_be_hidden()
    search.evaluate(compose, ["end", "ｄｅ"])
    expect(page).to_have_url(re.compile("q="))
    expect(page.get_by_role("link", name="demo", exact=True)).to_be_visible()


def test_shortcuts_that_are_switched_off_do_nothing(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.context.add_cookies([{"name": "mcpweb-shortcuts", "value": "off", "url": served.url}])
    page.goto(f"{served.url}/servers")
    for key in ("Control+k", "?", "g", "t", "/"):
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert page.url == f"{served.url}/servers" and not page.evaluate("!!document.querySelector('dialog[open]')")
    assert page.evaluate("document.activeElement === document.body")


def test_chosen_rows_stay_chosen_while_the_list_is_read_again(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers")
    page.get_by_role("checkbox", name="demo").check()
    expect(page.locator(".chosen")).to_be_visible()
    with page.expect_response(re.compile(r"/servers$"), timeout=15_000):
        pass
    page.wait_for_timeout(200)
    expect(page.get_by_role("checkbox", name="demo")).to_be_checked()
    expect(page.locator("[data-count]")).to_have_text("1")
    page.locator(".chosen button[value=stop]").click()
    expect(page.locator("#notices")).to_contain_text("Asked for 1 server.")
    assert page.url == f"{served.url}/servers"


def test_the_first_load_is_small_and_nothing_moves(page: Page, served: Served, tmp_path: Path) -> None:
    sign_in(page, served)
    page.context.clear_cookies(name="nothing")
    client = page.context.new_cdp_session(page)
    client.send("Network.enable")
    client.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: dict[str, float] = {}
    urls: dict[str, str] = {}
    client.on("Network.responseReceived", lambda event: urls.__setitem__(event["requestId"], event["response"]["url"]))
    client.on("Network.loadingFinished", lambda event: sizes.__setitem__(event["requestId"], event["encodedDataLength"]))
    page.add_init_script("window.moved = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) window.moved += one.value; })"
                         ".observe({ type: 'layout-shift', buffered: true });")
    page.goto(f"{served.url}/servers")
    page.wait_for_timeout(800)
    loaded = {urls[one]: size for one, size in sizes.items() if one in urls and "://" in urls[one] and not urls[one].startswith("data:")}
    assert len(loaded) <= 8, sorted(loaded)
    assert sum(loaded.values()) <= 60 * 1024, loaded
    assert sum(size for url, size in loaded.items() if ".js" in url) <= 25 * 1024, loaded
    assert page.evaluate("window.moved") < 0.01
    assert page.evaluate("document.querySelector('tbody tr').getBoundingClientRect().height") <= 37


def test_while_nobody_answers_a_notice_says_so_and_leaves_with_the_next_answer(page: Page, served: Served) -> None:
    sign_in(page, served)
    page = page.context.new_page()  # one on which the browser may complain
    page.goto(f"{served.url}/servers")
    page.route("**/servers", lambda route: route.abort())
    expect(page.locator("#notices [data-offline]")).to_be_visible(timeout=12_000)
    assert page.locator("#notices [data-offline]").count() == 1
    page.unroute("**/servers")
    expect(page.locator("#notices [data-offline]")).to_have_count(0, timeout=12_000)
