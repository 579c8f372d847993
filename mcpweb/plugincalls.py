"""Call what a team wrote so that it can neither keep us waiting nor take the process along."""
from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcpweb.contracts import Actor, Cipher, KeySource, Link, Runtime, Setting, TestType

CALL_S = 5.0
LOAD_S = 20.0
# what hooks that contribute return a list of; one wrong thing in it is a fault of the plugin
LISTS: dict[str, type] = {
    "mcpweb_add_settings": Setting, "mcpweb_add_runtimes": Runtime, "mcpweb_add_ciphers": Cipher,
    "mcpweb_add_key_sources": KeySource, "mcpweb_add_test_types": TestType, "mcpweb_add_sign_in_links": Link,
    "mcpweb_add_blueprints": object,
}


SINGLE: dict[str, tuple[type, ...]] = {
    "mcpweb_authorize": (bool,), "mcpweb_authenticate": (Actor,), "mcpweb_add_migrations": (Path, str),
}


class OverTime(Exception):
    """The call did not come back in its time; its thread goes on alone."""


class TriedToExit(Exception):
    """The call wanted to end the process."""


def within(budget_s: float, function: Callable[[], Any]) -> Any:
    """Return what the function returns, called on a thread of its own with our context. Raises OverTime, TriedToExit, and
    what the function raises."""
    told: list[tuple[bool, Any]] = []
    context = contextvars.copy_context()

    def call() -> None:
        try:
            told.append((True, context.run(function)))
        except Exception as error:
            told.append((False, error))
        except BaseException as error:
            told.append((False, TriedToExit(f"{type(error).__name__}: {error}")))

    thread = threading.Thread(target=call, name="plugin", daemon=True)
    thread.start()
    thread.join(budget_s)
    if not told:
        raise OverTime(f"It did not come back within {budget_s:g} s.")
    fine, result = told[0]
    if not fine:
        raise result
    return result


def shaped(hook: str, result: Any) -> Any:
    """Return a result as the hook promises it. Raises TypeError."""
    wanted = LISTS.get(hook)
    if result is None:
        return None
    single = SINGLE.get(hook)
    if single is not None and not isinstance(result, single):
        raise TypeError(f"{hook} returns {' or '.join(one.__name__ for one in single)} or None, not {type(result).__name__}.")
    if wanted is None:
        return result
    if isinstance(result, str | bytes | dict):
        raise TypeError(f"{hook} returns a list, not {type(result).__name__}.")
    found = list(result)
    for one in found:
        if not isinstance(one, wanted):
            raise TypeError(f"{hook} returns a list of {wanted.__name__}; there is a {type(one).__name__} in it.")
        if wanted is not object and wanted not in (Setting, Link) and not isinstance(getattr(one, "name", None), str):
            raise TypeError(f"{hook}: a {wanted.__name__} has no name.")
    return found
