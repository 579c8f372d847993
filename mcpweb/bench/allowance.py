"""The time a test type has. What is cut short by its end says nothing about the server."""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mcpweb.errors import Cancelled, ServerTimeout


class Allowance:
    """Seconds from now on, for the test type of this name."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        return self._until - time.monotonic()

    def require(self) -> float:
        """Return what is left. Raises Cancelled when nothing is."""
        left = self.left()
        if left <= 0:
            raise self.over()
        return left

    @contextmanager
    def within(self, deadline_s: float) -> Iterator[float]:
        """Give the deadline, or what is left where that is less; waiting in vain for only that long is no verdict.

        Raises Cancelled where it would be one.
        """
        left = self.require()
        try:
            yield min(deadline_s, left)
        except ServerTimeout:
            if deadline_s > left:
                raise self.over() from None
            raise

    def over(self) -> Cancelled:
        return Cancelled(f"The test type {self._name} used up its time.", code="time_used_up")
