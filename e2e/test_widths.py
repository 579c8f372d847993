"""No page is wider than its window: on a small screen, at twice the size of letters, with words that are two fifths longer."""
from __future__ import annotations

import pytest
from playwright.sync_api import Page

from e2e.steps import sign_in, speak
from e2e.test_first_run import PAGES
from mcpweb.testing.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.docker]
LONGER = """() => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walk.nextNode()) texts.push(walk.currentNode);
  for (const one of texts) {
    if (!one.parentElement.closest("code, pre, script, template, .mono")) {
      one.nodeValue = one.nodeValue.replace(/[A-Za-z]{4,}/g, (word) => word + "éxtréméllong".slice(0, Math.ceil(word.length * 0.4)));
    }
  }
}"""


@pytest.mark.parametrize(("language", "widths"), [("ja", [320]), ("en", [390, 720, 768, 1440])])
def test_no_page_is_wider_than_its_window(page: Page, served: Served, language: str, widths: list[int]) -> None:
    sign_in(page, served)
    speak(page, served, language)
    wide = {}
    for path in PAGES:
        page.set_viewport_size({"width": widths[0], "height": 900})
        page.goto(served.url + path)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            if width == 1440:
                page.evaluate(LONGER)
            if (found := page.evaluate("document.documentElement.scrollWidth")) > width:
                wide[path, width] = found
    assert not wide, wide
