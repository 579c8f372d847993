"""What changes in place: rows, a search while the list refreshes itself, notices, evidence that stays open."""
from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from e2e.steps import sign_in
from mcpweb.testing.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.docker]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation as elsewhere, that tests with one type only: a row shows a run of one as it does of four."""
    served = Served(tmp_path_factory.mktemp("served"), MCPWEB_PLUGINS_OFF="testtype_functionality,testtype_performance,testtype_security")
    served.cli("demo")
    served.start()
    yield served
    served.cli("servers", "remove", "demo", code=None)
    assert served.stop() == 0


def test_a_search_stays_while_the_list_refreshes_itself(page: Page, served: Served) -> None:
    served.cli("servers", "add", "other", "--image", "nothing/here:1")
    sign_in(page, served)
    page.goto(f"{served.url}/servers")
    box = page.get_by_label("Search by name")
    box.press_sequentially("dem", delay=60)
    expect(page.get_by_role("link", name="other", exact=True)).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/servers\?.*q=dem"))
    with page.expect_response(lambda answer: "/servers?" in answer.url, timeout=8000) as polled:
        pass
    assert "q=dem" in polled.value.url
    box.press_sequentially("o")
    expect(box).to_have_value("demo")
    expect(box).to_be_focused()
    expect(page).to_have_url(re.compile(r"/servers\?q=demo"))
    expect(page.get_by_role("link", name="demo", exact=True)).to_be_visible()
    page.get_by_role("link", name="All").first.click()
    expect(page).to_have_url(re.compile(r"/servers\?q=demo"))
    served.cli("servers", "remove", "other")


def test_a_row_starts_tests_and_stops_without_leaving_the_list(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers")
    row = page.locator("tr", has=page.get_by_role("link", name="demo", exact=True))
    row.get_by_role("button", name="Start", exact=True).click()
    expect(row.get_by_role("button", name="Stop", exact=True)).to_be_visible(timeout=20_000)
    row.get_by_role("button", name="Test", exact=True).click()
    expect(row.get_by_text("Testing")).to_be_visible()
    expect(row.locator(".mark")).to_be_visible(timeout=120_000)
    row.get_by_role("button", name="Stop", exact=True).click()
    expect(row.get_by_role("button", name="Start", exact=True)).to_be_visible(timeout=20_000)
    assert page.url == f"{served.url}/servers"


def test_evidence_stays_open_while_a_page_refreshes_itself(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers/demo")
    page.get_by_text("Remove this server").click()
    page.get_by_label("Type its name").fill("half a na")
    for _ in range(2):  # when the second answer is there, the first stands on the page
        with page.expect_response(re.compile(r"/servers/srv_\w+$")):
            page.evaluate("document.body.dispatchEvent(new Event('server-changed'))")
    expect(page.get_by_label("Type its name")).to_have_value("half a na")
    expect(page.get_by_label("Type its name")).to_be_visible()


def test_a_failure_is_a_notice_that_stays_until_it_is_dismissed(page: Page, served: Served) -> None:
    page.clock.install()
    sign_in(page, served)
    page.goto(f"{served.url}/servers")
    page.route("**/start", lambda route: route.continue_(url=f"{served.url}/servers/gone/start"))
    page.get_by_role("button", name="Start", exact=True).first.click()
    notice = page.locator("#notices .notice")
    expect(notice).to_contain_text("There is no server gone")
    expect(page.get_by_role("link", name="demo", exact=True)).to_be_visible()
    page.clock.fast_forward(6500)
    notice.get_by_role("button", name="Dismiss").click()
    expect(notice).to_have_count(0)


def test_the_first_steps_can_be_taken_by_keyboard(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    stops = 0
    while not page.evaluate("document.activeElement.matches('tbody a')"):
        page.keyboard.press("Tab")
        stops += 1
        assert stops <= 10, "ten stops lead to the first row"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/servers/srv_"))


def test_two_runs_are_chosen_and_compared_on_a_phone(page: Page, served: Served) -> None:
    served.cli("servers", "add", "absent", "--image", "nothing/here:1")
    for _ in range(2):  # an image that is missing ends a run at once
        served.cli("test", "absent", "--type", "connection", code=None)
    sign_in(page, served)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{served.url}/test-runs?server=absent")
    boxes, button = page.get_by_role("checkbox", name="Compare"), page.get_by_role("button", name="Compare two")
    boxes.first.check()
    expect(button).to_be_disabled()
    boxes.last.check()
    button.click()
    expect(page.get_by_role("heading", name="Two runs compared")).to_be_visible()
    assert "first=run_" in page.url and page.url.split("first=")[1] < page.url.split("second=")[1]
    served.cli("servers", "remove", "absent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_door_breaks_no_axe_rule_in_japanese_either(page: Page, served: Served, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    found = {}

    def look(path: str) -> None:
        page.goto(served.url + path)
        results = Axe().run(page)
        if results.violations_count:
            found[path] = [(v["id"], v["nodes"][0]["html"][:120]) for v in results.response["violations"]]

    sign_in(page, served)
    page.goto(f"{served.url}/servers")
    page.locator("summary[aria-label]").click()
    page.get_by_role("button", name="日本語").click()
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    look("/no/where")
    page.context.clear_cookies()
    look("/sign-in")
    look("/setup/nothing")
    assert not found, found
