"""Health as people and programs read it: one table of sentences, two languages, facts where they belong."""
from __future__ import annotations

import os
import re
from pathlib import Path
from string import Formatter

import pytest

from mcpweb import clock, settings
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs as job_rows
from mcpweb.dao import observations
from mcpweb.services import access, accounts, health, jobs, keeping, periods, retention, rounds, servers
from mcpweb.testing.fixtures import MakeServer, NewVisitor, Visitor, check_markup
from mcpweb.web.language import _catalogue
from mcpweb.worker import Worker


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("code", health.SENTENCES)
def test_a_translated_sentence_has_the_places_of_the_english_one(code: str) -> None:
    level, *texts = health.SENTENCES[code]
    assert level in ("ok", "warning", "problem")
    for text in texts:
        told = _catalogue("ja").gettext(text) if text else ""
        assert places(told) == places(text)
        assert text.count(" ") == 0 or told != text, "not translated"


def test_health_is_told_in_the_language_of_the_page_and_in_english_to_programs(core: Core, visitor: Visitor) -> None:
    with core.db.writing() as conn:
        observations.put(conn, "engine", {"state": "reachable", "version": "20.10", "api": "1.41", "address": "unix:///{x}.sock", "detail": ""})
        observations.put(conn, "vault", {
            "state": "locked", "code": "KEY_MISSING", "detail": "The ring {gone} is missing.", "next_step": "Put it back.",
        })
    english = visitor.get("/settings/doctor").text
    assert "Docker Engine 20.10 answers at unix:///{x}.sock." in english and "No worker is running." in english
    assert "The vault is locked (KEY_MISSING): The ring {gone} is missing." in english
    japanese = visitor.get("/settings/doctor", **{"Accept-Language": "ja"}).text
    assert "Docker Engine 20.10 が unix:///{x}.sock で応答しています。" in japanese
    assert "保管庫はロックされています (KEY_MISSING): The ring {gone} is missing." in japanese
    shown = re.search(r'<ol class="steps">.*?</ol>', japanese, re.S)
    assert shown and "No worker is running" not in shown[0] and "ワーカー" in shown[0]
    answer = visitor.client.get("/api/v1/doctor", base_url="http://127.0.0.1:8080", headers={"Accept-Language": "ja"}).json
    assert answer is not None and {"name", "level", "sentence", "next_step"} == set(answer["items"][0])
    assert "No worker is running." in [one["sentence"] for one in answer["items"]]


def test_how_long_things_are_kept_is_chosen_on_the_page_and_over_the_api(core: Core, visitor: Visitor, new_visitor: NewVisitor) -> None:
    text = visitor.get("/settings/retention").text
    check_markup(visitor.app, text)
    assert 'name="keep_audit_days" type="number" min="0" max="36500" value="0"' in text
    answer = visitor.post("/settings/retention", {"keep_results_days": "60", "keep_audit_days": "400"})
    assert answer.status_code == 303
    me = Actor.cli("tester")
    assert (keeping.days(core, me), retention.days(core, me)) == (60, 400)
    wrong = visitor.post("/settings/retention", {"keep_results_days": "60", "keep_audit_days": "7"})
    assert wrong.status_code == 422 and "Audit rows stay for 30" in wrong.text and 'value="7"' in wrong.text
    assert visitor.post("/settings/retention", {"keep_results_days": "x", "keep_audit_days": "400"}).status_code == 422
    assert (keeping.days(core, me), retention.days(core, me)) == (60, 400)
    reader = new_visitor().sign_in("operator")
    shown = reader.get("/settings/retention").text
    assert "<dd>400</dd>" in shown and 'name="keep_audit_days"' not in shown
    assert reader.post("/settings/retention", {"keep_results_days": "1", "keep_audit_days": "0"}).status_code == 403
    token = accounts.create_token(core, me, user=visitor.user.name, name="t", role=None, days=1)  # type: ignore[union-attr]
    api = {"base_url": "http://127.0.0.1:8080", "headers": {"Authorization": f"Bearer {token}"}}
    answer = visitor.client.get("/api/v1/settings", **api)
    api["headers"]["If-Match"], listed = answer.headers["ETag"], answer.json
    assert {
        one["name"]: one["value"] for one in listed["items"] if one["name"].startswith("keep_")
    } == {"keep_audit_days": 400, "keep_results_days": 60, "keep_jobs_days": 90, "keep_logs_days": 0}
    assert visitor.client.patch("/api/v1/settings", json={"keep_audit_days": 0}, **api).json == {"keep_audit_days": 0}
    api["headers"]["If-Match"] = visitor.client.get("/api/v1/settings", **api).headers["ETag"]
    assert visitor.client.patch("/api/v1/settings", json={"keep_audit_days": 5}, **api).status_code == 422
    for name, value in (("backup_every_hours", 8761), ("backup_keep", 0), ("backup_keep", 1001)):
        assert visitor.client.patch("/api/v1/settings", json={name: value}, **api).status_code == 422
    assert visitor.client.patch("/api/v1/settings", json={}, **api).status_code == 422
    assert (keeping.days(core, me), retention.days(core, me)) == (60, 0)


def test_how_often_a_backup_is_made_is_chosen_on_the_page(core: Core, visitor: Visitor, new_visitor: NewVisitor) -> None:
    text = visitor.get("/settings/retention").text
    assert re.search(r'name="backup_every_hours" type="number" min="0" max="8760" value="0"', text) and "backups</code>" not in text
    assert visitor.post("/settings/retention", {"backup_every_hours": "24", "backup_keep": "3"}).status_code == 303
    chosen = periods.every(core, Actor.cli("tester"))
    assert (chosen["backup_every_hours"], chosen["backup_keep"], chosen["keep_audit_days"]) == (24, 3, 0)
    assert visitor.post("/settings/retention", {"backup_every_hours": "24", "backup_keep": "0"}).status_code == 422
    rounds.write(core, Actor.cli("tester"))
    text = visitor.get("/settings/retention").text
    check_markup(visitor.app, text)
    assert re.search(r"backups</code></dt><dd>1</dd>", text)
    assert re.search(r"every so many hours</td><td>24</td>", visitor.get("/settings").text)
    assert "<dd>24</dd>" in new_visitor().sign_in("operator").get("/settings/retention").text


def test_a_setting_is_shown_with_its_value_its_source_and_what_it_means_and_no_secret(
    core: Core, visitor: Visitor, tmp_path: Path
) -> None:
    text = visitor.get("/settings").text
    check_markup(visitor.app, text)
    row = re.search(r"<tr><td><code>MCPWEB_DATA_DIR</code>.*?</tr>", text)
    assert row and str(core.settings.data_dir) in row[0] and "environment" in row[0]
    assert re.search(r"MCPWEB_BIND</code></td><td class=\"text\"><code>127.0.0.1:8080</code></td><td class=\"nowrap muted\">default<", text)
    assert "MCPWEB_PLUGIN_RUNTIME_DOCKER_CALL_DEADLINE_S" in text, "settings of plugins, too"
    file = tmp_path / "mcpweb.toml"
    file.write_text('web_workers = 3\nkey_env = "canary-of-a-key"\ntrusted_proxies = 1\n')
    given = {"MCPWEB_CONFIG": str(file), "MCPWEB_TRUSTED_PROXIES": "2", "MCPWEB_DATA_DIR": str(tmp_path)}
    ours = settings.load(given)
    theirs = settings.load(ours.to_environment())
    for found in (ours, theirs):  # a child is given everything by its environment and knows better all the same
        assert [found.source(name) for name in ("WEB_WORKERS", "TRUSTED_PROXIES", "BIND")] == ["file", "environment", "default"]
    assert ours.source("KEY_ENV") == "file" and "canary-of-a-key" not in repr(ours)


def test_what_the_next_run_takes_is_counted_and_taken_when_it_is_asked_for(
    core: Core, visitor: Visitor, worker: Worker, make_server: MakeServer
) -> None:
    notes = make_server("notes")
    folder = servers.log_folder(core, notes.id)
    folder.mkdir(parents=True)
    for number, days in enumerate((9, 9, 2)):
        part = folder / f"{number * 10:020d}.log"
        part.write_text("0123456789")
        os.utime(part, (clock.source() - days * 86_400,) * 2)
    job = jobs.draft(Actor.cli("x"), "pull", subject=f"server:{notes.id}", payload={})
    with core.db.writing() as conn:
        job_rows.insert(conn, job)
        job_rows.finish(conn, job.id, None, state="cancelled")
        conn.execute("UPDATE jobs SET finished_at = ? WHERE id = ?", (clock.later(-40 * 86_400), job.id))
    assert "Run now" not in visitor.get("/settings/retention").text
    visitor.post("/settings/retention", {"keep_jobs_days": "30", "keep_logs_days": "7"})
    text = visitor.get("/settings/retention").text
    assert re.search(r"<dt>Jobs</dt><dd>1</dd><dt>Logs</dt><dd>20 B</dd>", text) and "Run now" in text
    visitor.post("/settings/retention/run")
    asked = jobs.newest(core, "retention", "results")
    assert asked and jobs.wait(core, asked.id, 20).result["log_bytes"] == 20
    assert sorted(part.name[-6:] for part in folder.glob("*.log")) == ["20.log"]
    with core.db.reading() as conn:
        assert conn.execute("SELECT count(*) FROM jobs WHERE id = ?", (job.id,)).fetchone()[0] == 0


def test_a_wrong_number_changes_nothing_of_what_is_sent_with_it(core: Core, visitor: Visitor) -> None:
    answer = visitor.post("/settings/retention", {"keep_jobs_days": "30", "keep_results_days": "0"})
    assert answer.status_code == 422 and 'aria-invalid="true"' in answer.text
    assert periods.every(core, Actor.cli("x"))["keep_jobs_days"] == 90


def test_the_doctor_says_when_there_was_no_backup_or_an_old_one_only(core: Core, visitor: Visitor) -> None:
    assert "No backup was made yet." in visitor.get("/settings/doctor").text
    with core.db.writing() as conn:
        access.note(conn, Actor.cli("x"), "db.backup", "b.db", {"at": clock.later(-45 * 86_400)})
    assert "The newest backup is 45 days old." in visitor.get("/settings/doctor").text
    with core.db.writing() as conn:
        access.note(conn, Actor.cli("x"), "db.backup", "c.db", {})
    assert "0 hours old." in visitor.get("/settings/doctor").text
