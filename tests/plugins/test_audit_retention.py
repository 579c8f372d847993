"""Old audit rows move into signed segments: nothing is lost on the way, and both what stays and what went can be proven."""
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcpweb import clock, segments
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit as rows
from mcpweb.errors import Conflict, Forbidden, InvalidInput
from mcpweb.services import audit, backups, jobs, keycheck, retention, secrets
from mcpweb.testing import commands
from mcpweb.worker import Worker

ME = Actor.cli("tester")
ROWS = 30
LATER = "2999-01-01 00:00:00"


@pytest.fixture
def log(core: Core) -> Core:
    """Thirty rows."""
    add(core, ROWS)
    return core


def add(core: Core, until: int) -> None:
    with core.db.writing() as conn:
        while rows.head(conn)[0] < until:
            rows.append(conn, actor="cli:me", actor_kind="cli", action="x.y", target="t", detail={"n": 1.5, "ü": [None, "\n"]}, ip="::1")


def there(core: Core) -> list[int]:
    with core.db.reading() as conn:
        return [row.seq for row in rows.from_seq(conn, 1, 10_000)]


def segment_of(done: dict[str, Any]) -> Path:
    return Path(done["file"])


def checked(*files: Path) -> list[dict[str, Any]]:
    return retention.check_segments(list(files), None)


def test_rows_leave_for_a_file_of_ours_and_both_halves_are_proven(log: Core) -> None:
    done = retention.prune(log, ME, before=LATER)
    assert (done["first"], done["last"]) == (1, ROWS) and min(there(log)) == ROWS + 1
    file = segment_of(done)
    assert file.stat().st_mode & 0o777 == 0o600 and len(file.read_text().splitlines()) == ROWS + 1
    (answer,) = checked(file)
    assert answer["ok"] and answer["rows"] == ROWS
    found = audit.verify(log, ME)
    assert found["ok"], found


def test_only_rows_before_the_day_go_and_the_rest_stays_as_it_was(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "source", lambda: 1_800_000_000.0)
    with core.db.reading() as conn:
        earlier = rows.head(conn)[0]
    for hour in range(10):
        monkeypatch.setattr(clock, "source", lambda hour=hour: 1_900_000_000.0 + hour * 3600)
        add(core, earlier + hour + 1)
    with core.db.reading() as conn:
        stays = rows.from_seq(conn, earlier + 5, 1000)
    assert retention.prune(core, ME, before=stays[0].at)["last"] == earlier + 4
    with core.db.reading() as conn:
        assert rows.from_seq(conn, 1, 1000)[: len(stays)] == stays
    assert audit.verify(core, ME)["ok"]


def test_nothing_that_old_is_no_fault_and_changes_nothing(log: Core) -> None:
    before = there(log)
    assert retention.prune(log, ME, before="2001-01-01 00:00:00")["file"] is None
    assert there(log) == before and not segments.folder_of(log.settings).exists()


def test_segments_follow_one_another(log: Core) -> None:
    first = retention.prune(log, ME, before=LATER)
    add(log, 50)
    second = retention.prune(log, ME, before=LATER)
    third = _another(log)
    assert [one["ok"] for one in checked(segment_of(second), segment_of(first), segment_of(third))] == [True, True, True]
    found = checked(segment_of(first), segment_of(third))
    assert [one["ok"] for one in found] == [True, False] and found[1]["first_bad"] == second["first"]
    assert audit.verify(log, ME)["ok"]


def _another(core: Core) -> dict[str, Any]:
    add(core, 70)
    return retention.prune(core, ME, before=LATER)


def edited(line: str, **change: Any) -> str:
    return json.dumps(json.loads(line) | change, ensure_ascii=False, separators=(",", ":"))


CHANGES: dict[str, tuple[Callable[[list[str]], list[str]], int | None]] = {
    "a field": (lambda lines: [*lines[:6], edited(lines[6], actor="cli:you"), *lines[7:]], 7),
    "a detail": (lambda lines: [*lines[:6], edited(lines[6], detail={"n": 2}), *lines[7:]], 7),
    "a row left out": (lambda lines: [*lines[:4], *lines[5:]], 5),
    "the first row left out": (lambda lines: lines[1:], None),
    "the tail left out": (lambda lines: [*lines[:20], lines[-1]], 21),
    "a row twice": (lambda lines: [*lines[:4], lines[3], *lines[4:]], 5),
    "two rows swapped": (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], 5),
    "no row at all": (lambda lines: [*lines[:4], "{}", *lines[5:]], 5),
    "no JSON": (lambda lines: [*lines[:4], "x", *lines[5:]], 5),
    "the signed line": (lambda lines: [*lines[:-1], edited(lines[-1], by="cli:you")], None),
    "no signed line": (lambda lines: lines[:-1], ROWS + 1),
    "something behind it": (lambda lines: [*lines, lines[0]], None),
    "another spelling": (lambda lines: [json.dumps(json.loads(lines[0])), *lines[1:]], None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_is_changed_in_a_segment_is_found_at_its_row(log: Core, name: str) -> None:
    change, bad = CHANGES[name]
    file = segment_of(retention.prune(log, ME, before=LATER))
    assert checked(file)[0]["ok"]
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    (answer,) = checked(file)
    assert not answer["ok"] and answer["reason"], answer
    if bad is not None:
        assert answer["first_bad"] == bad, answer
    found = audit.verify(log, ME)
    assert not found["ok"] and file.name in found["reason"], "the log tells of another file than the one that lies there"


def test_a_segment_signed_anew_by_somebody_else_is_not_ours(log: Core, tmp_path: Path) -> None:
    file = segment_of(retention.prune(log, ME, before=LATER))
    ours = retention.own_public_key(log.settings)
    assert retention.check_segments([file], ours)[0]["ours"] is True
    (log.settings.key_dir / "signing.key").write_bytes(os.urandom(32))
    answer = retention.check_segments([file], retention.own_public_key(log.settings))[0]
    assert (answer["ok"], answer["ours"]) == (False, False)


def test_a_segment_that_was_moved_away_is_no_fault_of_the_log(log: Core, tmp_path: Path) -> None:
    file = segment_of(retention.prune(log, ME, before=LATER))
    file.rename(tmp_path / "kept.jsonl")
    assert audit.verify(log, ME)["ok"] and checked(tmp_path / "kept.jsonl")[0]["ok"]


def test_a_floor_that_no_row_tells_of_is_named(log: Core) -> None:
    """An audit.prune row lets the triggers pass any floor below it: verify holds the floor against what the row says."""
    retention.prune(log, ME, before=LATER)
    add(log, 60)
    retention.prune(log, ME, before=LATER)
    add(log, 80)
    with log.db.writing() as conn:
        rows.append(conn, actor="cli:me", actor_kind="cli", action="audit.prune", target="70")
        rows.raise_floor(conn, 70)
        rows.delete_below_floor(conn, 1000)
    found = audit.verify(log, ME)
    assert not found["ok"] and "floor" in found["reason"]


def test_rows_that_do_not_fit_the_chain_are_not_pruned_away(log: Core) -> None:
    with log.db.writing() as conn:
        conn.execute("DROP TRIGGER audit_log_no_update")
        conn.execute("UPDATE audit_log SET target = 'other' WHERE seq = 7")
    before = there(log)
    with pytest.raises(Conflict, match="Row 7"):
        retention.prune(log, ME, before=LATER)
    assert there(log) == before and not list(segments.folder_of(log.settings).iterdir())


def test_a_file_that_is_there_is_never_written_over(log: Core) -> None:
    folder = segments.folder_of(log.settings)
    folder.mkdir(parents=True)
    taken = folder / f"audit-{1:09d}-{ROWS:09d}.jsonl"
    taken.write_text("somebody's\n")
    with pytest.raises(Conflict, match="holds something else"):
        retention.prune(log, ME, before=LATER)
    assert taken.read_text() == "somebody's\n" and len(there(log)) == ROWS


def test_only_who_manages_the_log_may_prune_it(log: Core) -> None:
    for role in ("viewer", "operator"):
        with pytest.raises(Forbidden):
            retention.prune(log, Actor(name="user:x", role=role, via="session", label="x"), before=LATER)  # type: ignore[arg-type]


def test_an_older_value_put_back_is_still_found_after_its_rows_went(core: Core, actor: Actor) -> None:
    secret = secrets.add(core, actor, name="A", value=Sensitive("first value"))
    with core.db.reading() as conn:
        old = conn.execute("SELECT encrypted_value, value_version FROM secrets WHERE id = ?", (secret.id,)).fetchone()
    secrets.replace(core, actor, secret.id, Sensitive("second value"))
    retention.prune(core, actor, before=LATER)
    assert keycheck.verify(core, actor).ok
    retention.prune(core, actor, before=LATER)
    with core.db.writing() as conn:
        conn.execute("UPDATE secrets SET encrypted_value = ?, value_version = ? WHERE id = ?", (*tuple(old), secret.id))
    found = keycheck.verify(core, actor)
    assert [fault.secret_id for fault in found.faults] == [secret.id]


def test_a_backup_that_stands_is_still_known_after_its_row_went(core: Core, actor: Actor, tmp_path: Path) -> None:
    backups.backup(core, actor, tmp_path / "kept.db")
    backups.backup(core, actor, tmp_path / "gone.db")
    (tmp_path / "gone.db").unlink()
    retention.prune(core, actor, before=LATER)
    with core.db.reading() as conn:
        known = [row.detail["file"] for row in rows.listing(conn, rows.Wanted(action="db.backup"))]
    assert known == [str(tmp_path / "kept.db")]


def command(core: Core | Path, *words: str, failpoint: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command on an installation, or on a data folder."""
    folder = core if isinstance(core, Path) else core.settings.data_dir
    environment = {**os.environ, "MCPWEB_DATA_DIR": str(folder), "MCPWEB_FAILPOINT": failpoint}
    return commands.shared().run(["audit", *words], environment, Path.cwd(), None, 60)


@pytest.mark.parametrize("failpoint", ["prune.segment_written", "prune.carried", "prune.after_commit", "prune.batch"])
def test_a_kill_at_any_arrow_loses_no_row_and_the_next_prune_goes_on(log: Core, failpoint: str) -> None:
    add(log, 1500)
    prune = ("prune", "--before", "2999-01-01")
    assert command(log, *prune, failpoint=f"{failpoint}:kill").returncode == -9
    kept = set(there(log))
    for file in segments.folder_of(log.settings).glob("*.jsonl"):
        assert checked(file)[0]["ok"]
        kept |= {json.loads(line)["seq"] for line in file.read_text().splitlines()[:-1]}
    with log.db.reading() as conn:
        newest = rows.head(conn)[0]
    assert kept == set(range(1, newest + 1)), "a row is in neither place"
    assert audit.verify(log, ME)["ok"]
    done = command(log, *prune)
    assert done.returncode == 0, done.stderr
    assert len(there(log)) < 10 and audit.verify(log, ME)["ok"]


def test_the_commands_say_what_they_did_and_end_as_promised(log: Core, tmp_path: Path) -> None:
    nothing = command(log, "prune", "--older-than", "30")
    assert nothing.returncode == 0 and "nothing to move" in nothing.stdout
    file = Path(json.loads(command(log, "prune", "--before", "2999-01-01", "--to", str(tmp_path / "kept"), "--json").stdout)["file"])
    assert file.parent == tmp_path / "kept" and command(log, "verify").returncode == 0
    sound = command(log, "verify", "--segment", str(file))
    assert sound.returncode == 0 and "signed by this installation" in sound.stdout
    elsewhere = tmp_path / "elsewhere"
    offline = command(elsewhere, "verify", "--segment", str(file), "--json")
    assert offline.returncode == 0 and json.loads(offline.stdout)["segments"][0]["ours"] is None
    assert not elsewhere.exists(), "verifying a file needs no database"
    file.write_text(file.read_text().replace("cli:me", "cli:us", 1))
    broken = command(log, "verify", "--segment", str(file))
    assert broken.returncode == 1 and "row 2: " in broken.stdout
    assert command(log, "verify", "--segment", str(tmp_path / "none")).returncode == 2
    assert command(log, "prune", "--before", "yesterday").returncode == 2


def test_an_export_and_a_list_hold_what_the_filter_says(log: Core) -> None:
    with log.db.writing() as conn:
        rows.append(conn, actor="cli:you", actor_kind="cli", action="a.b", target="one")
    today = clock.now()[:10]
    fitting = len(there(log))
    for options, expected in (
        (["--actor", "cli:you"], 1), (["--action", "x.y", "--target", "t"], fitting - 2), (["--since", today], fitting),
        (["--until", "2020-01-01"], 0), (["--since", today, "--until", today, "--action", "a.b"], 1),
    ):
        lines = command(log, "export", *options).stdout.splitlines()
        listed = json.loads(command(log, "list", "--limit", "200", "--json", *options).stdout)["items"]
        assert len(lines) == len(listed) == expected, options


@pytest.fixture
def in_forty_days(log: Core, monkeypatch: pytest.MonkeyPatch) -> Core:
    """The log as it looks in forty days."""
    now = clock.source
    monkeypatch.setattr(clock, "source", lambda: now() + 40 * 86_400)
    return log


def test_a_chosen_time_is_asked_for_once_a_day_and_done_by_the_worker(
    in_forty_days: Core, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = in_forty_days
    assert retention.days(core, ME) == 0 and retention.request(core, ME) is None
    for wrong in (1, 29, -1, 36_501, True):
        with pytest.raises(InvalidInput):
            retention.set_days(core, ME, wrong)
    assert retention.request(core, ME) is None, "nobody chose to move anything"
    assert retention.set_days(core, ME, 30) == retention.days(core, ME) == 30
    asked = retention.request(core, ME)
    assert asked is not None and retention.request(core, ME).id == asked.id  # type: ignore[union-attr]
    ended = jobs.wait(core, asked.id, 30)
    assert ended.state == "succeeded" and (ended.result["first"], ended.result["last"]) == (1, ROWS), ended
    assert retention.check_segments([Path(ended.result["file"])], retention.own_public_key(core.settings))[0]["ok"]
    monkeypatch.undo()
    assert audit.verify(core, ME)["ok"] and retention.request(core, ME) is None, "what stays is of today"
    with core.db.reading() as conn:
        chosen = rows.newest(conn, "choice.set", retention.CHOICE)
    assert chosen is not None and chosen.detail == {"before": 0, "after": 30}


def test_a_log_that_cannot_be_pruned_is_not_tried_all_day(in_forty_days: Core, worker: Worker) -> None:
    core = in_forty_days
    with core.db.writing() as conn:
        conn.execute("DROP TRIGGER audit_log_no_update")
        conn.execute("UPDATE audit_log SET target = 'other' WHERE seq = 3")
    retention.set_days(core, ME, 30)
    asked = retention.request(core, ME)
    assert asked is not None and jobs.wait(core, asked.id, 30).state == "failed"
    assert retention.request(core, ME) is None
