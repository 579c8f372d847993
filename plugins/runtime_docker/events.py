"""What happens to our containers, told by the engine as it happens."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mcpweb.plugin import RuntimeEvent, RuntimeUnavailable

from . import labels

if TYPE_CHECKING:
    from .engine import Engine

_TOLD = frozenset({"create", "start", "die", "oom", "kill", "stop", "destroy", "pause", "unpause"})


class Events:
    """The engine's event stream. Remembers the last event of an instance, so a cut loses nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: dict[str, int] = {}
        self._guard = threading.Lock()

    def listen(self, instance: str, stop: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        """Yield events from this call on, or from where the last listening broke, until ``stop()``.

        Raises RuntimeUnavailable when cut.
        """
        with self._guard:
            last = self._last.setdefault(instance, time.time_ns())
        return self._listen(instance, last, stop)

    def _listen(self, instance: str, last: int, stop: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        filters = {"type": "container", "label": f"{labels.INSTANCE}={instance}"}

        def begin(client: Any) -> Iterator[Any]:
            since = f"{last // 10**9}.{last % 10**9:09d}"
            return iter(client.events(since=since, filters=filters, decode=True))

        stream = self._engine.stream("send events", begin)
        silence = self._engine.deadlines.stream_silence
        heard = time.monotonic()
        try:
            for message in stream:
                if stop():
                    return
                if message is not None:
                    heard = time.monotonic()
                    event = _read(message)
                    at = int(message.get("timeNano") or 0)
                    if event is not None and at > last:
                        with self._guard:
                            self._last[instance] = last = at
                        yield event
                elif time.monotonic() - heard > silence:
                    heard = time.monotonic()
                    self._still_there()
            raise RuntimeUnavailable("The container engine ended its event stream.")
        finally:
            stream.close()  # type: ignore[attr-defined]

    def _still_there(self) -> None:
        """A stream that is silent may be dead: ask. Raises RuntimeUnavailable."""
        deadline_s = self._engine.deadlines.health
        self._engine.call("answer", lambda client: client.version(), deadline_s=deadline_s, probe=True)


def _read(message: dict[str, Any]) -> RuntimeEvent | None:
    action = str(message.get("Action", ""))
    if action not in _TOLD:
        return None
    actor = message.get("Actor") or {}
    marks = {name: value for name, value in (actor.get("Attributes") or {}).items() if name.startswith("mcpweb.")}
    return RuntimeEvent(action, str(actor.get("ID", "")), marks, int(message.get("timeNano") or 0) / 1e9)
