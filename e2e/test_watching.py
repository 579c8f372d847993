"""Watching in a browser: a log that is followed and searched, a stream where there is none left, the end of a job told."""
from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.steps import break_no_rule, sign_in, speak
from mcpweb import clock
from mcpweb.testing.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.docker]
PAGES = [
    "/servers/demo/logs", "/servers/demo/logs?q=line&level=info", "/servers/demo/stats", "/jobs", "/jobs?state=failed", "/audit",
    "/settings", "/settings/retention", "/settings/doctor", "/plugins",
]


@pytest.fixture(scope="module")
def running(served: Served) -> Iterator[Path]:
    """The newest log file of the demo server, which runs."""
    served.cli("servers", "start", "demo")
    (folder,) = (served.folder / "data" / "logs").iterdir()
    yield max(folder.glob("*.log"))
    served.cli("servers", "stop", "demo")


def say(log: Path, count: int, text: str = "INFO line") -> None:
    with log.open("a") as file:
        file.writelines(f"{clock.now()}\tstderr\t{text} {number}\n" for number in range(count))


def test_a_log_is_followed_until_one_scrolls_up_and_again_when_one_wants(page: Page, served: Served, running: Path) -> None:
    sign_in(page, served)
    with page.expect_response(lambda answer: "/logs/stream" in answer.url) as opened:
        page.goto(f"{served.url}/servers/demo/logs")
    assert opened.value.status == 200
    say(running, 300)
    expect(page.get_by_text("INFO line 299", exact=True)).to_be_in_viewport()
    log, button = page.get_by_role("log"), page.get_by_role("button", name="new line")
    log.evaluate("(log) => { log.scrollTop = 0; }")
    expect(page.get_by_label("Follow")).not_to_be_checked()
    say(running, 7, "WARN later")
    expect(button).to_have_text("7 new lines")
    assert log.evaluate("(log) => log.scrollTop") < 100, "who reads is not moved"
    button.click()
    expect(page.get_by_text("WARN later 6", exact=True)).to_be_in_viewport()
    expect(button).to_be_hidden()
    for _ in range(6):
        say(running, 450)
        page.wait_for_timeout(250)
    assert page.locator("[data-line]").count() == 2000


def test_hits_are_walked_and_the_rest_of_a_log_is_read_page_by_page(page: Page, served: Served, running: Path) -> None:
    say(running, 3, "INFO needle")
    sign_in(page, served)
    page.goto(f"{served.url}/servers/demo/logs?q=needle")
    page.get_by_role("button", name="Previous hit").click()
    expect(page.get_by_text("3 / 3")).to_be_visible()
    page.get_by_role("button", name="Next hit").click()
    expect(page.get_by_text("1 / 3")).to_be_visible()
    expect(page.locator("mark[aria-current]")).to_be_in_viewport()
    page.get_by_role("link", name="Older lines").click()
    expect(page.get_by_role("link", name="Newest lines")).to_be_visible()


def test_where_no_stream_is_left_the_page_polls_by_itself(page: Page, served: Served, running: Path) -> None:
    sign_in(page, served)
    cookie = next(one["value"] for one in page.context.cookies() if one["name"] == "mcpweb")
    page.goto(f"{served.url}/servers/demo/logs")
    page.goto("about:blank")
    held: list[socket.socket] = []
    path = f"/servers/{running.parent.name}/logs/stream"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nCookie: mcpweb={cookie}\r\n\r\n".encode()
    refused = 0
    while len(held) < 96 and refused < 400:  # 48 in each of two processes; which of them answers is chance
        sock = socket.create_connection(("127.0.0.1", served.port), timeout=20)
        sock.sendall(request)
        if b" 200 " in sock.recv(64):
            held.append(sock)
        else:
            refused += 1
            sock.close()
    try:
        assert len(held) >= 90
        page.goto(f"{served.url}/servers/demo/logs")
        say(running, 1, "INFO polled")
        expect(page.get_by_text("INFO polled 0", exact=True)).to_be_visible(timeout=15_000)
    finally:
        for sock in held:
            sock.close()
    expect(page.locator("#tail.live")).to_be_attached(timeout=15_000)  # a place is free again, and the page takes it


def test_the_end_of_a_job_is_told_where_one_is_by_then(page: Page, served: Served, running: Path) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/servers/demo")
    with page.expect_response(lambda answer: answer.url.endswith("/restart")):
        page.get_by_role("button", name="Restart").first.click()
    page.goto(f"{served.url}/settings")
    expect(page.locator("#notices")).to_contain_text("Restart: demo", timeout=20_000)
    page.locator("#notices").get_by_role("link", name="Look at it").click()
    expect(page.get_by_role("heading", name="Restart: demo")).to_be_visible()


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("ja", "dark")])
def test_no_page_for_watching_breaks_an_axe_rule(page: Page, served: Served, running: Path, language: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    sign_in(page, served)
    job = served.json("jobs", "list")["items"][0]["id"]
    speak(page, served, language)
    break_no_rule(page, served, [*PAGES, f"/jobs/{job}"])


def test_nothing_for_watching_is_wider_than_a_small_screen(page: Page, served: Served, running: Path) -> None:
    sign_in(page, served)
    page.set_viewport_size({"width": 320, "height": 700})
    job = served.json("jobs", "list")["items"][0]["id"]
    for path in (*PAGES, f"/jobs/{job}"):
        page.goto(served.url + path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320, f"{path} is {wide} wide"
