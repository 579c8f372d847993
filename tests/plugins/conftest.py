"""A clock that stands where a test puts it."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from mcpweb import clock


@pytest.fixture
def clock_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock to so many seconds after the moment the test began; until then and after it runs as always."""
    began = clock.source()

    def put(seconds: float) -> None:
        monkeypatch.setattr(clock, "source", lambda: began + seconds)

    put(0)
    return put
