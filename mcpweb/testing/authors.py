"""Further fixtures for plugin authors, beside those of ``mcpweb.testing.fixtures``: ``pytest_plugins = ["mcpweb.testing"]``."""
from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mcpweb.contracts import Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.dao.audit import AuditRow
from mcpweb.pluginhost import PluginHost, PluginRecord
from mcpweb.redaction import Redactor, redactable
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import Visitor
from mcpweb.testing.testruns import Ended, carry_out
from mcpweb.testing.tinyserver import Behaviour, tiny_server


@pytest.fixture
def client(visitor: Visitor) -> Visitor:
    """A browser in which an admin is signed in: ``client.get("/plugins")``, ``client.post("/…", {…})`` with the form's token."""
    return visitor


@pytest.fixture
def database(core: Core) -> Any:
    """The database of ``core``: migrated, with the tables of the plugin under test; ``reading()`` and ``writing()``."""
    return core.db


class Plugins:
    """The plugin manager of ``core``; what is registered here is taken out when the test ends."""

    def __init__(self, host: PluginHost) -> None:
        self.host = host
        self._added: list[str] = []

    def register(self, name: str, module: ModuleType | None = None, **hooks: Callable[..., Any]) -> PluginRecord:
        """Register a module, or one made of hook functions: ``plugins.register("x", mcpweb_track_event=hookimpl(f))``."""
        made: Any = module or SimpleNamespace(__doc__="Made by a test.", mcpweb_api=1, __file__="", **hooks)
        record = self.host.register(made, name)
        self._added.append(name)
        return record

    def unregister(self, name: str) -> None:
        self.host.unregister(name)


@pytest.fixture
def plugins(core: Core) -> Iterator[Plugins]:
    """The plugin manager of ``core``: register, unregister, and ``plugins.host.collect("mcpweb_add_…")``."""
    made = Plugins(core.plugins)
    yield made
    for name in made._added:
        made.unregister(name)


RunTestType = Callable[..., Ended]


@pytest.fixture
def run_test_type(core: Core, runtime: FakeRuntime) -> RunTestType:
    """Run a test type on a fake server and return how it ended, with results: ``run_test_type("mine", lambda: tiny_server(…))``.

    The context it gets is the real one, in a run child of its own; only the engine is a fake. Further arguments are fields
    of the run: ``profile``, ``parameters``, ``config``, ``secrets`` …
    """

    def run(test_type: str, behaviour: Callable[[], Behaviour] = tiny_server, **fields: Any) -> Ended:
        image = f"subject-{secrets.token_hex(4)}:1"
        runtime.add_image(image, lambda intent: behaviour())
        return carry_out(core, runtime, test_type, image=image, **fields)

    return run


@pytest.fixture
def audit_log(core: Core) -> Callable[..., list[AuditRow]]:
    """Return the rows of the audit log, oldest first: ``audit_log()``, ``audit_log("server.add")``."""

    def rows(action: str | None = None) -> list[AuditRow]:
        with core.db.reading() as conn:
            found = audit.listing(conn, limit=200)
        return [row for row in reversed(found) if action is None or row.action == action]

    return rows


@pytest.fixture
def assert_redacted() -> Callable[[str, str], None]:
    """Hold that a text holds a secret in no form, plain or encoded: ``assert_redacted(page.text, "the value")``."""

    def check(text: str, secret: str) -> None:
        assert redactable(Sensitive(secret)), "so short a value cannot be told from ordinary text"
        masked = Redactor([Sensitive(secret)], patterns=False).text(text)
        assert masked == text, "the text holds the secret, or a form of it"

    return check
