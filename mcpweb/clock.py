"""The one source of time. Rows hold UTC text with milliseconds; tests freeze ``source``."""
from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

source: Callable[[], float] = time.time

_FORMAT = "%Y-%m-%d %H:%M:%S"
_LENGTH = len("2026-01-31 12:00:00.000")


def now() -> str:
    """Return the time as rows hold it: ``YYYY-MM-DD HH:MM:SS.mmm`` in UTC."""
    return text(source())


def text(seconds: float) -> str:
    """Return seconds since the epoch as rows hold time."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "milliseconds")[:_LENGTH]


def later(seconds: float) -> str:
    """Return the time that lies ``seconds`` ahead (behind if negative)."""
    return text(source() + seconds)


def parse(value: str) -> datetime:
    """Return a row's time as an aware datetime; also reads the seed's whole seconds. Raises ValueError."""
    if len(value) == 23 and (value[7], value[10], value[19]) == ("-", " ", "."):  # as we write it, read without a format
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    head, _, fraction = value.partition(".")
    moment = datetime.strptime(head, _FORMAT).replace(tzinfo=UTC)
    return moment + timedelta(milliseconds=int((fraction + "000")[:3]))


def age(value: str) -> float:
    """Return how many seconds ago a row's time was."""
    return source() - parse(value).timestamp()


def rfc3339(value: str | None) -> str | None:
    """Return a row's time as the API prints it: ``2026-01-31T12:00:00.000Z``."""
    if value is None:
        return None
    padded = value if "." in value else value + ".000"
    return padded.replace(" ", "T") + "Z"
