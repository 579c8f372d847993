"""A whole installation with gunicorn, worker and engine, and a headless Chromium; the first-run admin is signed in."""
from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from mcpweb.testing.served import Served
from tests.docker.conftest import nothing_left

pytest_plugins: list[str] = []
__all__ = ["nothing_left"]
PASSWORD = "correct horse 7"


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict) -> dict:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or shutil.which("chromium")
    extra = {"executable_path": found} if found else {}
    return {**browser_type_launch_args, **extra, "args": ["--no-sandbox"] if os.geteuid() == 0 else []}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict) -> dict:
    return {**browser_context_args, "viewport": {"width": 1440, "height": 900}, "locale": "en-GB"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation with the demo server registered."""
    folder: Path = tmp_path_factory.mktemp("served")
    served = Served(folder)
    served.cli("demo")
    served.start()
    yield served
    served.cli("servers", "remove", "demo", code=None)
    assert served.stop() == 0


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """A page on which nothing htmx was blocked and no script failed."""
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" and "status of 4" not in message.text else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    assert not faults, faults
