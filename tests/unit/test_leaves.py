"""Ids, clock, wire and logs."""
from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from mcpweb import clock, ids, logstore, wire
from mcpweb.logstore import LogWriter


def test_ids_sort_by_the_time_they_were_made() -> None:
    made = [ids.new_id("srv") for _ in range(5000)]
    assert made == sorted(made) and len(set(made)) == 5000 and all(i.startswith("srv_") and len(i) == 30 for i in made)


def test_a_clock_that_goes_back_does_not_break_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.new_id("a")
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert ids.new_id("a") > first


@pytest.mark.parametrize("text", ["2026-01-31 12:00:00.000", "2026-01-31 12:00:00", "2026-01-31 12:00:00.5"])
def test_times_of_rows_are_read_and_printed(text: str) -> None:
    assert clock.parse(text).year == 2026 and (clock.rfc3339(text) or "").endswith("Z")


def test_both_ways_of_reading_a_time_agree_and_refuse_what_is_none() -> None:
    assert clock.parse("2026-01-31 12:00:00.500") == clock.parse("2026-01-31 12:00:00.5") and clock.parse(clock.now()).tzinfo
    for wrong in ("2026-02-30 12:00:00.000", "2026-01-31 25:00:00.000", "2026-01-31T12:00:00.000", "2026-W05-1 12:00:00.000", "x" * 23, ""):
        with pytest.raises(ValueError):
            clock.parse(wrong)


def test_messages_and_descriptors_cross_the_wire() -> None:
    left, right = socket.socketpair()
    reading, writing = os.pipe()
    wire.send(left, {"a": "ü" * 200_000}, [writing]) if False else threading.Thread(
        target=wire.send, args=(left, {"a": "ü" * 200_000}, [writing])
    ).start()
    message, fds = wire.recv(right)
    assert message == {"a": "ü" * 200_000} and len(fds) == 1
    os.write(fds[0], b"x")
    assert os.read(reading, 1) == b"x"
    for descriptor in (*fds, reading, writing):
        os.close(descriptor)
    left.close()
    with pytest.raises(wire.WireClosed):
        wire.recv(right)
    right.close()


def test_a_length_over_the_limit_is_refused_before_it_is_read() -> None:
    left, right = socket.socketpair()
    left.sendall((wire.MAX_MESSAGE + 1).to_bytes(4, "big"))
    with pytest.raises(ValueError, match="over the limit"):
        wire.recv(right)
    left.close()
    right.close()


def test_logs_are_read_by_offset_and_old_segments_go(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path)
    for number in range(12):
        writer.append("stderr", f"line {number} " + "x" * 15_000)
    for _ in range(900):
        writer.append("stderr", "y" * 15_000)
    page = logstore.read(tmp_path)
    assert page.lines and page.next_offset == page.end_offset and page.start_offset > 0
    assert len(list(tmp_path.glob("*.log"))) <= logstore.SEGMENTS_KEPT
    writer.append("event", "stopped")
    (line,) = logstore.read(tmp_path, offset=page.next_offset).lines
    assert (line.stream, line.text) == ("event", "stopped")
    assert logstore.read(tmp_path, offset=0).lines[0].offset == logstore.read(tmp_path, offset=0).start_offset
    writer.close()


def test_a_writer_that_starts_again_goes_on_at_the_same_offset(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path)
    writer.append("stderr", "one")
    writer.close()
    writer = LogWriter(tmp_path)
    writer.append("stderr", "two")
    writer.close()
    assert [line.text for line in logstore.read(tmp_path).lines] == ["one", "two"]


def test_control_characters_and_endless_lines_stay_one_line(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path)
    writer.append("stderr", "a\nb\x00c" + "d" * 99_999)
    writer.close()
    (line,) = logstore.read(tmp_path).lines
    assert "\n" not in line.text and len(line.text) <= logstore.LONGEST_LINE


@pytest.mark.parametrize(
    ("text", "level"),
    [("ERROR it broke", "error"), ("[warn] hm", "warning"), ('{"level":"debug"}', "debug"), ("plain words", "info"),
     ("2026-01-01 10:00:00 CRITICAL x", "error"), ("no errors found", "info")],
)
def test_levels_are_guessed_from_the_first_words(text: str, level: str) -> None:
    assert logstore.level_of("stderr", text) == level
