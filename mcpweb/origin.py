"""Where a request came from, for the audit rows of whatever it changes."""
from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """The peer's address and the number of the request; both empty outside of one."""

    ip: str = ""
    request_id: str = ""


_NOWHERE = Origin()
_origin: ContextVar[Origin] = ContextVar("origin", default=_NOWHERE)


def current() -> Origin:
    """Return the origin of what is being done on this thread."""
    return _origin.get()


def enter(ip: str, request_id: str) -> None:
    """Say that from here on this thread serves a request from there."""
    _origin.set(Origin(ip, request_id))


def leave() -> None:
    """Say that the request is over."""
    _origin.set(_NOWHERE)
