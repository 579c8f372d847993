"""Servers in pairs: one that a check must catch and a twin that it must leave alone.

Each module beside this one holds servers of one family, each a function with a name (``@corpus("f07-lax")``) that
returns a ``Server``. All of them are in one image; ``tests/docker/pairs.py`` runs them through the real bench.
"""
