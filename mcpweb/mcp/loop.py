"""One asyncio loop in a daemon thread of its own, per process, made at the first session."""
from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_guard = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _forget() -> None:
    """A forked child has the loop's memory but not its thread."""
    global _loop, _guard
    _loop, _guard = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def get() -> asyncio.AbstractEventLoop:
    """Return the running loop of this process."""
    global _loop
    with _guard:
        if _loop is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="mcp-loop", daemon=True).start()
            _loop = loop
        return _loop


def submit(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the loop from any other thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, get())


def run(coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """Run a coroutine on the loop and wait. Raises TimeoutError; the coroutine is cancelled then."""
    future = submit(coroutine)
    try:
        return future.result(timeout_s)
    except TimeoutError:
        future.cancel()
        raise
