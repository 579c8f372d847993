"""The application's log tells what happened and where, and no secret: not in a message, not in what an exception says."""
from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpweb import logs, origin
from mcpweb.contracts import Sensitive
from mcpweb.errors import Conflict
from mcpweb.logs import JsonFormatter, RedactingFormatter
from mcpweb.redaction import Redactor

CANARY = "canary-4f9b1c77aa20"
log = logging.getLogger("tests.logs")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(RedactingFormatter())
    log.addHandler(handler)
    log.propagate = False
    yield out
    log.removeHandler(handler)
    log.propagate = True


def test_a_line_tells_time_level_logger_and_message(written: io.StringIO) -> None:
    log.warning("the container of %s runs", "notes")
    time, level, name, *words = written.getvalue().split(" ")
    assert time.endswith("Z") and time[10] == "T" and (level, name) == ("WARNING", "tests.logs:")
    assert " ".join(words) == "the container of notes runs\n"


def test_a_value_a_redactor_knows_is_not_written_in_any_spelling(written: io.StringIO) -> None:
    known = Redactor([Sensitive(CANARY)])
    log.warning("raw %s, hex %s, and %s", CANARY, CANARY.encode().hex(), {"inside": [CANARY]})
    assert written.getvalue().count("[redacted]") == 3 and known


def test_a_value_nobody_knows_is_found_by_the_rules(written: io.StringIO) -> None:
    log.warning("Authorization: Bearer %s", "abcdefghijklmnop0123456789ABCDEFGHIJ")
    assert "abcdefghijklmnop" not in written.getvalue()


def fails_with(text: str) -> None:
    try:
        raise KeyError(text)
    except KeyError as error:
        raise ValueError(f"cannot read {text!r}") from error


def test_of_a_foreign_exception_type_and_place_are_told_and_not_its_words(written: io.StringIO) -> None:
    try:
        fails_with(CANARY)
    except ValueError as error:
        log.error("it failed", exc_info=error)
        log.error("it failed: %s", error)
        log.exception("again")
    text = written.getvalue()
    assert CANARY not in text
    assert "ValueError" in text and "caused by" in text and "KeyError" in text
    assert "test_logs.py:" in text and "fails_with" in text


def test_our_own_failures_and_the_systems_keep_their_words(written: io.StringIO) -> None:
    log.warning("not done: %s", Conflict("Somebody else does it.", next_step="Wait."))
    try:
        Path("/nowhere/at/all").read_text()
    except OSError as error:
        log.warning("not read: %s", error)
    assert "Somebody else does it." in written.getvalue() and "No such file" in written.getvalue()


def test_a_message_never_begins_a_line_of_its_own(written: io.StringIO) -> None:
    log.warning("name %s", "x\n2026-01-01T00:00:00.000Z ERROR mcpweb: forged\r\x1b[31m\x85")
    assert len(written.getvalue().splitlines()) == 1 and "\x1b" not in written.getvalue()


def test_words_that_do_not_fit_their_arguments_stop_nothing() -> None:
    record = logging.LogRecord("x", logging.WARNING, "here.py", 1, "%d of %s", (CANARY, "x"), None)
    text = RedactingFormatter().format(record)
    assert text.endswith("%d of %s") and CANARY not in text


def test_a_record_is_left_as_it_was_for_other_handlers(written: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    log.propagate = True
    log.warning("for %s", "all")
    assert caplog.records[-1].args == ("all",) and caplog.records[-1].getMessage() == "for all"


@pytest.fixture
def whole() -> Iterator[None]:
    """Let a test set the process's log up, and take it back."""
    root, factory, hooks = logging.getLogger(), logging.getLogRecordFactory(), (sys.excepthook, threading.excepthook)
    handlers, raising, levels = [*root.handlers], logging.raiseExceptions, [logging.getLogger(one).level for one in logs._OURS]
    yield
    for one in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(one)
    logging.setLogRecordFactory(factory)
    (sys.excepthook, threading.excepthook), logging.raiseExceptions = hooks, raising
    for name, level in zip(logs._OURS, levels, strict=True):
        logging.getLogger(name).setLevel(level)


class Hoarder(logging.Handler):
    """A handler somebody else added: it looks at all of a record, and formats it in the library's way."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(f"{record.__dict__!r} {self.format(record)}")


def spill(hoarder: Hoarder) -> str:
    log.addHandler(hoarder)
    try:
        log.warning("given %s", CANARY)
        log.warning({"whole": CANARY})
        log.warning(KeyError(CANARY))
        try:
            fails_with(CANARY)
        except ValueError:
            log.exception("it failed", stack_info=True)
    finally:
        log.removeHandler(hoarder)
    assert len(hoarder.seen) == 4 and "it failed" in hoarder.seen[-1] and "fails_with" in hoarder.seen[-1]
    return "".join(hoarder.seen)


def test_a_record_is_clean_before_any_handler_sees_it(whole: None) -> None:
    known = Redactor([Sensitive(CANARY)])
    assert CANARY in spill(Hoarder()), "without our log the handler does see it"
    logs.take_over(["json", "warning", "test"])
    told = spill(Hoarder())
    assert CANARY not in told and "[redacted]" in told and "ValueError" in told and known


def json_lines(written: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.fixture
def json_written(written: io.StringIO) -> io.StringIO:
    log.handlers[-1].setFormatter(JsonFormatter())
    return written


def test_a_line_of_json_tells_what_it_belongs_to(json_written: io.StringIO) -> None:
    origin.enter("127.0.0.1", "req_1")
    origin.named("ada")
    try:
        log.warning("the container of %s runs", "notes", extra={"server": "notes", "tries": 2})
        with origin.doing("job_7", "bob"):
            log.warning("done")
    finally:
        origin.leave()
    log.warning("nobody asked")
    first, second, third = json_lines(json_written)
    assert first | {"time": "", "process": ""} == {
        "time": "", "level": "warning", "logger": "tests.logs", "process": "", "message": "the container of notes runs", "request": "req_1",
        "actor": "ada", "server": "notes", "tries": 2,
    }
    assert (second["request"], second["job"], second["actor"]) == ("req_1", "job_7", "bob")
    assert not {"request", "job", "actor"} & set(third)


def test_a_line_of_text_tells_it_too(written: io.StringIO) -> None:
    with origin.doing("job_7", "bob\n"):
        log.warning("done")
    assert written.getvalue().endswith("done [job=job_7 actor=bob\\n]\n")


def test_no_field_of_json_holds_a_secret_and_an_ordinary_one_stays_as_it_is(json_written: io.StringIO) -> None:
    known = Redactor([Sensitive(CANARY)])
    try:
        fails_with(CANARY)
    except ValueError as error:
        log.exception("given %s", CANARY, extra={"value": CANARY, "deep": {"in": [CANARY.encode().hex()]}, "fault": error})
    log.warning("given %s", "a quoted \"word\" and 12 %", extra={"value": "ordinary", "deep": {"in": ["words"]}})
    first, second = json_lines(json_written)
    assert CANARY not in str(first) and CANARY.encode().hex() not in str(first) and known
    assert first["fault"] == "ValueError" and "fails_with" in str(first["trace"]) and "caused by" in str(first["trace"])
    assert second["message"] == 'given a quoted "word" and 12 %' and second["value"] == "ordinary" and second["deep"] == "{'in': ['words']}"


def test_no_name_of_json_is_taken_by_a_caller_and_no_line_is_broken(json_written: io.StringIO) -> None:
    log.warning("a\nb\u2028c\u202ed\x1b[31m", extra={"level": "critical", "logger": "forged", "time": "never", "where": "x\u2029y"})
    (one,) = json_lines(json_written)
    assert (one["level"], one["logger"]) == ("warning", "tests.logs") and one["time"] != "never"
    assert not set("\n\u2028\u2029\u202e\x1b") & set(json_written.getvalue().removesuffix("\n"))


def test_what_a_thread_dies_of_is_told_without_its_words(whole: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.take_over(["json", "warning", "test"])
    hoarder = Hoarder()
    logging.getLogger("mcpweb").addHandler(hoarder)
    try:
        thread = threading.Thread(target=fails_with, args=(CANARY,), name="pump")
        thread.start()
        thread.join()
    finally:
        logging.getLogger("mcpweb").removeHandler(hoarder)
    (told,) = hoarder.seen
    assert "the thread pump ended" in told and "ValueError" in told and CANARY not in told + capsys.readouterr().err


def test_the_level_counts_for_ours_alone(whole: None) -> None:
    logs.take_over(["text", "info", "test"])
    assert logging.getLogger("mcpweb.access").isEnabledFor(logging.INFO)
    assert not logging.getLogger("mcp.client").isEnabledFor(logging.INFO), "it tells what was sent"
