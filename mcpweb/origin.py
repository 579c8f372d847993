"""Where a request or job came from, for the audit rows of whatever it changes and for the lines of the log."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Origin:
    """The peer's address and the number of the request, the job being done, and who asked; empty outside of them."""

    ip: str = ""
    request_id: str = ""
    job: str = ""
    actor: str = ""


_NOWHERE = Origin()
_origin: ContextVar[Origin] = ContextVar("origin", default=_NOWHERE)


def current() -> Origin:
    """Return the origin of what is being done on this thread."""
    return _origin.get()


def enter(ip: str, request_id: str) -> None:
    """Say that from here on this thread serves a request from there."""
    _origin.set(Origin(ip, request_id))


def named(actor: str) -> None:
    """Say who asks, once that is known."""
    _origin.set(replace(_origin.get(), actor=actor))


def leave() -> None:
    """Say that the request is over."""
    _origin.set(_NOWHERE)


@contextlib.contextmanager
def doing(job: str, actor: str) -> Iterator[None]:
    """Say that this thread does a job within."""
    before = _origin.set(replace(_origin.get(), job=job, actor=actor))
    try:
        yield
    finally:
        _origin.reset(before)
