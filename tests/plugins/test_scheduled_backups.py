"""Scheduled backups: made when due, kept as many as are wanted, and doctor tells when they are not."""
from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mcpweb import clock, paths
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.errors import Failure
from mcpweb.services import backups, health, jobs, periods, rounds
from mcpweb.worker import Worker

ME = Actor.cli("me")
HOUR = 3600.0


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the clock."""
    real, moved = clock.source, [0.0]
    monkeypatch.setattr(clock, "source", lambda: real() + moved[0])

    def move(hours: float) -> None:
        moved[0] += hours * HOUR

    return move


def choose(core: Core, every: int, keep: int = 7) -> None:
    periods.set_all(core, ME, {"backup_every_hours": every, "backup_keep": keep})


def told(core: Core) -> health.Finding:
    return next(one for one in health.findings(core) if one.name == "backup")


def test_none_is_asked_for_until_it_is_chosen_then_the_worker_writes_a_private_one_that_can_be_restored(
    core: Core, worker: Worker
) -> None:
    assert rounds.request(core, ME) is None
    choose(core, 24)
    asked = rounds.request(core, ME)
    assert asked is not None and jobs.wait(core, asked.id, 20).state == "succeeded"
    ((_, file),) = rounds.written(core)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file.parent, file)] == [0o700, 0o600]
    assert backups.check(core.settings, [("core", paths.SQL)], file)["manifest"]["instance"] == core.instance.id
    assert rounds.request(core, ME) is None, "not due again"
    with core.db.reading() as conn:
        assert audit.newest(conn, "db.backup").detail["file"] == str(file)  # type: ignore[union-attr]


def test_one_is_due_after_its_hours_and_only_the_newest_of_our_own_stay(
    core: Core, ahead: Callable[[float], None]
) -> None:
    choose(core, 6, keep=2)
    rounds.folder(core).mkdir(mode=0o755)
    others = [rounds.folder(core) / name for name in ("mine.db", "mcpweb-20200101T000000000Z.db.old", "mcpweb-2020.db")]
    for other in others:
        other.write_text("not ours")
    (rounds.folder(core) / "mcpweb-20200101T000000000Z.db").symlink_to(others[0])
    made = []
    for _ in range(4):
        made.append(rounds.write(core, ME)["file"])
        ahead(5.9)
        assert rounds.request(core, ME) is None
        ahead(0.2)
    assert [str(path) for _, path in rounds.written(core)] == made[:1:-1]
    assert all(other.read_text() == "not ours" for other in others) and len(list(rounds.folder(core).iterdir())) == 6
    assert stat.S_IMODE(rounds.folder(core).stat().st_mode) == 0o700
    with core.db.reading() as conn:
        gone = [row.detail["files"] for row in audit.listing(conn, audit.Wanted(action="db.backup_deleted"))]
    assert gone == [[Path(made[1]).name], [Path(made[0]).name]]
    assert rounds.request(core, ME) is not None


def test_a_clock_that_was_ahead_stops_no_backup_and_makes_no_storm(core: Core, ahead: Callable[[float], None]) -> None:
    choose(core, 6)
    ahead(24 * 400)
    rounds.write(core, ME)
    ahead(-24 * 400)
    assert rounds.request(core, ME) is not None
    rounds.write(core, ME)
    with core.db.writing() as conn:
        conn.execute("UPDATE jobs SET state = 'succeeded'")
    assert rounds.request(core, ME) is None


def test_a_failure_deletes_nothing_is_told_by_doctor_and_tried_again_within_the_hour(
    core: Core, worker: Worker, ahead: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(core, 6, keep=1)
    kept = rounds.write(core, ME)["file"]
    assert told(core).level == "ok" and "0 hours old" in told(core).sentence
    ahead(7)
    real = backups.backup

    def fail(*given: object, **more: object) -> object:
        raise Failure("The disk of somewhere is full.")

    monkeypatch.setattr(backups, "backup", fail)
    asked = rounds.request(core, ME)
    assert asked is not None and jobs.wait(core, asked.id, 20).state == "failed"
    assert os.path.exists(kept)
    finding = told(core)
    assert (finding.level, "disk of somewhere is full" in finding.sentence) == ("problem", True)
    assert rounds.request(core, ME) is None, "not at once"
    ahead(1.1)
    assert told(core).level == "problem"
    monkeypatch.setattr(backups, "backup", real)
    again = rounds.request(core, ME)
    assert again is not None and jobs.wait(core, again.id, 20).state == "succeeded"
    assert told(core).level == "ok" and not os.path.exists(kept)


def test_doctor_tells_when_none_was_made_or_the_newest_is_late(core: Core, ahead: Callable[[float], None]) -> None:
    assert (told(core).level, told(core).text) == ("warning", "No backup was made yet.")
    choose(core, 6)
    rounds.write(core, ME)
    ahead(7)
    assert told(core).level == "ok" and "7 hours old" in told(core).sentence
    ahead(2)
    assert told(core).level == "warning" and "9 hours old" in told(core).sentence and "every 6 hours" in told(core).sentence
    choose(core, 0)
    assert told(core).level == "ok"


def test_what_a_crash_left_is_cleared_up_and_what_is_being_written_stays(core: Core) -> None:
    rounds.folder(core).mkdir()
    data = core.settings.data_dir
    left = [data / "backup.plain", rounds.folder(core) / "mcpweb-20200101T000000000Z.db.part", data / "mcpweb.db.restoring"]
    checks = [data / ".check-old", data / ".check-now"]
    for check in checks:
        check.mkdir()
        left.append(check / "copy.db")
    for path in left:
        path.write_text("left")
    os.utime(checks[0], (0, 0))
    with backups._part(left[1]):
        assert rounds.request(core, ME) is None
        assert [path.exists() for path in left] == [False, True, False, False, True]
    assert core.settings.db_path.exists()
