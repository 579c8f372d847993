"""The application's log tells what happened and where, and no secret: not in a message, not in what an exception says."""
from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpweb.contracts import Sensitive
from mcpweb.errors import Conflict
from mcpweb.logs import RedactingFormatter
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
