"""Fixtures come from ``mcpweb.testing.fixtures``, the same that plugin authors use."""
from __future__ import annotations

pytest_plugins = ["mcpweb.testing.fixtures"]
