"""The application's log: one line a record on standard error, without secrets, however the text came about.

Of a foreign exception its type and its place are told and never its words: those may hold what was in flight. Our own
failures speak in sentences that hold no values. All of it goes through the redactors this process knows, and the rules for
what looks like a secret, when a record is made: whoever adds a handler (a plugin, the web server) gets it clean.

A line is text for a terminal, else JSON with time, level, logger, process, message, and the request, job and actor it belongs to.
The standard library does it: plugins log with it anyway, and what structlog would add was here already.
"""
from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mcpweb import origin
from mcpweb.errors import Failure

if TYPE_CHECKING:
    from mcpweb.settings import Settings

FORMATS = ("text", "json")
LEVELS = ("error", "warning", "info")
_LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
_OURS = ("mcpweb", "mcpweb_plugins")  # whose level the setting decides; libraries below warnings would tell too much
_MOST_CAUSES = 5
_CODES = (*range(32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_UNSEEN = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _CODES if code != 9} | {10: "\\n", 13: "\\r"}
_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}
_CLEAN = "_clean"  # a record that was made clean
_plain_record = logging.LogRecord


class RedactingFormatter(logging.Formatter):
    """Writes time (UTC), level, logger, message and what it belongs to; a message never breaks its line."""

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__("%(message)s" if plain else _LINE, "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime
        self._plain = plain

    def format(self, record: logging.LogRecord) -> str:
        shown = _cleaned(record)
        if not self._plain and (about := _about()):
            shown.msg += f" [{' '.join(f'{name}={value}' for name, value in about.items())}]".translate(_UNSEEN)
        return super().format(shown)


class JsonFormatter(RedactingFormatter):
    """Writes each record as one JSON object; what a caller gave as ``extra`` is a field, hidden as the message is."""

    def format(self, record: logging.LogRecord) -> str:
        from mcpweb.redaction import hide

        shown = _cleaned(record)
        line: dict[str, Any] = {
            "time": f"{self.formatTime(shown, self.datefmt)}.{int(shown.msecs):03d}Z", "level": shown.levelname.lower(),
            "logger": shown.name, "process": f"{_form.role}:{shown.process}", "message": shown.msg, **_about(),
        }
        for name, value in shown.__dict__.items():
            if name not in _STANDARD and not name.startswith("_"):
                told = described(value) if isinstance(value, BaseException) else str(value)
                line.setdefault(name, value if isinstance(value, int | float | None) else hide(told))
        if trace := "\n".join(part for part in (shown.exc_text, shown.stack_info) if part):
            line["trace"] = trace
        return json.dumps(line, ensure_ascii=False).translate(_UNSEEN)


class _Form:
    """How this process writes; a child is handed it."""

    formatter: RedactingFormatter | None = None
    role = "mcpweb"
    words: tuple[str, str] = ("text", "warning")


_form = _Form()


def _about() -> dict[str, str]:
    """Return what this thread is doing, for whom."""
    where = origin.current()
    told = {"request": where.request_id, "job": where.job, "actor": where.actor}
    return {name: value for name, value in told.items() if value}


def _cleaned(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy whose message is final, hidden and one line, and whose exception is told without its words."""
    shown = logging.makeLogRecord(record.__dict__)
    if not hasattr(record, _CLEAN):
        _clean(shown)
    return shown


def _clean(record: logging.LogRecord) -> None:
    from mcpweb.redaction import hide

    if isinstance(record.args, tuple):
        record.args = tuple(described(one) if isinstance(one, BaseException) else one for one in record.args)
    try:
        message = described(record.msg) if isinstance(record.msg, BaseException) else record.getMessage()
    except Exception:  # arguments that do not fit the words, or that cannot be shown
        message = str(record.msg)
    record.msg, record.args = hide(message).translate(_UNSEEN), ()
    if record.exc_info:
        record.exc_text = hide(_told(record.exc_info[1] if isinstance(record.exc_info, tuple) else None))
    elif record.exc_text:
        record.exc_text = hide(record.exc_text)
    if record.stack_info:
        record.stack_info = hide(record.stack_info)
    record.exc_info = None
    setattr(record, _CLEAN, True)


def _made_clean(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """Make a record that holds no secret: nothing that handles it can tell one."""
    record = _plain_record(*args, **kwargs)
    _clean(record)
    return record


def _told(error: BaseException | None) -> str:
    lines: list[str] = []
    for one, way in _chain(error):
        lines += [*([way] if way else []), *_places(one.__traceback__), described(one)]
    return "\n".join(lines)


def described(error: BaseException) -> str:
    """Return what may be said of an exception: the words of our own failures and of the system, else its type alone."""
    name = type(error).__qualname__
    if isinstance(error, Failure):
        return f"{name}: {error.sentence}".translate(_UNSEEN)
    told = error.strerror if isinstance(error, OSError) else getattr(error, "sqlite_errorname", None)
    return f"{name}: {told}" if isinstance(told, str) else name


def set_up(settings: Settings | None = None, *, role: str = "mcpweb", plain: bool = False) -> None:
    """Send this process's log to standard error; calling it again changes the form. ``plain`` is for people at a command line."""
    if settings is not None:
        _form.words = form_of(settings), settings.log_level
    take_over([*_form.words, role], plain=plain)


def form_of(settings: Settings) -> str:
    """Return text or json: what is set, else what suits who reads standard error."""
    return settings.log_format or ("text" if sys.stderr.isatty() else "json")


def handed_on(role: str) -> list[str]:
    """Return how a child is to write; it hands that to ``take_over``."""
    return [*_form.words, role]


def take_over(form: list[str], *, plain: bool = False) -> None:
    """Write as another process said."""
    shape, level, _form.role = form
    _form.words = shape, level
    formatter = _form.formatter = JsonFormatter() if shape == "json" and not plain else RedactingFormatter(plain=plain)
    root = logging.getLogger()
    handler = next((one for one in root.handlers if isinstance(one.formatter, RedactingFormatter)), None)
    if handler is None:
        handler = logging.StreamHandler(sys.stderr)
        root.addHandler(handler)
    handler.setFormatter(formatter)
    logging.setLogRecordFactory(_made_clean)
    if not plain:
        logging.raiseExceptions = False  # what a handler cannot write would be shown as it is
        sys.excepthook = lambda kind, error, trace: logging.getLogger("mcpweb").critical("the process ends", exc_info=error)
        threading.excepthook = _thread_ended
        for name in _OURS:
            logging.getLogger(name).setLevel(level.upper())


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    if not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread is not None else "?"
        logging.getLogger("mcpweb").error("the thread %s ended", name, exc_info=args.exc_value)


def cover(logger: logging.Logger) -> None:
    """Make a logger that has handlers of its own (the web server's) write as ours does."""
    for handler in logger.handlers:
        handler.setFormatter(_form.formatter or RedactingFormatter())


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
