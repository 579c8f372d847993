"""For our own tests and for plugin authors: contracts to inherit, honest stand-ins, fixtures.

``pytest_plugins = ["mcpweb.testing"]`` in a ``conftest.py`` brings the fixtures; nothing is loaded into other test runs.
"""
pytest_plugins = ["mcpweb.testing.fixtures", "mcpweb.testing.authors"]
