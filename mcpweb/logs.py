"""The application's log: one line a record on standard error, without secrets, however the text came about.

Of a foreign exception its type and its place are told and never its words: those may hold what was in flight. Our own
failures speak in sentences that hold no values. All of it goes through the redactors this process knows, and the rules for
what looks like a secret.
"""
from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from types import TracebackType

from mcpweb.errors import Failure

_LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
_MOST_CAUSES = 5
_UNSEEN = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9} | {10: "\\n", 13: "\\r"}


class RedactingFormatter(logging.Formatter):
    """Writes time (UTC), level, logger and message; a message never breaks its line."""

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__("%(message)s" if plain else _LINE, "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        from mcpweb.redaction import hide

        shown = logging.makeLogRecord(record.__dict__)
        if isinstance(shown.args, tuple):
            shown.args = tuple(described(one) if isinstance(one, BaseException) else one for one in shown.args)
        try:
            message = shown.getMessage()
        except Exception:  # arguments that do not fit the words, or that cannot be shown
            message = str(shown.msg)
        shown.msg, shown.args, shown.exc_text = hide(message).translate(_UNSEEN), None, None
        text = super().format(shown)
        return hide(text) if shown.exc_info or shown.stack_info else text

    def formatException(self, ei: object) -> str:
        lines: list[str] = []
        for error, way in _chain(ei[1] if isinstance(ei, tuple) else None):
            lines += [*([way] if way else []), *_places(error.__traceback__), described(error)]
        return "\n".join(lines)


def described(error: BaseException) -> str:
    """Return what may be said of an exception: the words of our own failures and of the system, else its type alone."""
    name = type(error).__qualname__
    if isinstance(error, Failure):
        return f"{name}: {error.sentence}".translate(_UNSEEN)
    told = error.strerror if isinstance(error, OSError) else getattr(error, "sqlite_errorname", None)
    return f"{name}: {told}" if isinstance(told, str) else name


def set_up(*, plain: bool = False) -> None:
    """Send this process's log to standard error; calling it again changes the form only."""
    root = logging.getLogger()
    handler = next((one for one in root.handlers if isinstance(one.formatter, RedactingFormatter)), None)
    if handler is None:
        handler = logging.StreamHandler(sys.stderr)
        root.addHandler(handler)
    handler.setFormatter(RedactingFormatter(plain=plain))


def cover(logger: logging.Logger) -> None:
    """Make a logger that has handlers of its own (the web server's) write as ours does."""
    for handler in logger.handlers:
        handler.setFormatter(RedactingFormatter())


def _chain(error: BaseException | None) -> Iterator[tuple[BaseException, str]]:
    """Yield an exception and what it came from, the latest first."""
    way = ""
    for _ in range(_MOST_CAUSES):
        if error is None:
            return
        yield error, way
        if error.__cause__ is not None:
            error, way = error.__cause__, "caused by"
        elif error.__context__ is not None and not error.__suppress_context__:
            error, way = error.__context__, "while this was handled"
        else:
            return


def _places(trace: TracebackType | None) -> list[str]:
    return [f"  {frame.filename}:{frame.lineno} {frame.name}: {frame.line}" for frame in traceback.extract_tb(trace)[-20:]]
