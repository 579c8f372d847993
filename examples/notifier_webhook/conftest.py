"""The fixtures of mcpweb (core, client, runtime, audit_log …), with this plugin loaded."""
from pathlib import Path

import pytest

pytest_plugins = ["mcpweb.testing"]


@pytest.fixture(scope="session")
def under_test() -> dict[str, Path]:
    """The plugins that ``core`` loads beside the built-in ones."""
    return {"notifier_webhook": Path(__file__).parent / "src" / "mcpweb_notifier_webhook"}
