"""Rules of the URL map that make what builds an address when the first address is built."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule as Eager


class Rule(Eager):
    """As werkzeug's, which compiles two functions for each of hundreds of rules when they are added: a tenth of a start."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled: list[Callable[..., tuple[str, str]]] = []
        compile_now = super()._compile_builder

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            if not compiled:  # two threads at once make the same
                compiled.append(compile_now(append_unknown))
            return compiled[0](rule, **values)

        return build
