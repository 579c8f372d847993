"""Waiting for what other threads, processes and containers do, in one way for all tests."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def eventually(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return the first true answer. Raises AssertionError when none came in so many seconds."""
    until = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
    return answer
