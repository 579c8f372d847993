"""Named places where a test may kill, stop or delay this process; nothing happens unless ``MCPWEB_FAILPOINT`` names one.

``rotate.after_commit:kill`` kills at the first visit, ``rotate.after_commit:kill:3`` at the third. Other actions are
``raise``, and ``sleep`` for a second.
"""
from __future__ import annotations

import os
import signal
import threading
import time

from mcpweb.errors import SettingsInvalid
from mcpweb.settings import Settings

ACTIONS = ("kill", "raise", "sleep")


class FailpointReached(RuntimeError):
    """Raised at a failpoint that was told to raise."""


class Failpoints:
    """The failpoints of one process."""

    def __init__(self, settings: Settings) -> None:
        self._name, self._action, self._at = _parsed(settings.failpoint)
        self._visits = 0
        self._guard = threading.Lock()

    def reach(self, name: str) -> None:
        """Pass a named place."""
        if name != self._name:
            return
        with self._guard:
            self._visits += 1
            if self._visits != self._at:
                return
        if self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._action == "raise":
            raise FailpointReached(name)
        time.sleep(1.0)


def _parsed(text: str) -> tuple[str, str, int]:
    if not text:
        return "", "", 0
    name, _, rest = text.partition(":")
    action, _, number = rest.partition(":")
    if action not in ACTIONS or (number and not number.isdigit()):
        raise SettingsInvalid(f"MCPWEB_FAILPOINT is NAME:{'|'.join(ACTIONS)}[:NUMBER], not {text!r}.")
    return name, action, int(number or 1)
