"""Health as people and programs read it: one table of sentences, two languages, facts where they belong."""
from __future__ import annotations

import re
from string import Formatter

import pytest

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import observations
from mcpweb.services import accounts, health, keeping, retention
from mcpweb.testing.fixtures import NewVisitor, Visitor, check_markup
from mcpweb.web.language import _catalogue


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
    english = visitor.get("/settings").text
    assert "Docker Engine 20.10 answers at unix:///{x}.sock." in english and "No worker is running." in english
    assert "The vault is locked (KEY_MISSING): The ring {gone} is missing." in english
    japanese = visitor.get("/settings", **{"Accept-Language": "ja"}).text
    assert "Docker Engine 20.10 が unix:///{x}.sock で応答しています。" in japanese
    assert "保管庫はロックされています (KEY_MISSING): The ring {gone} is missing." in japanese
    shown = re.search(r'<ol class="steps">.*?</ol>', japanese, re.S)
    assert shown and "No worker is running" not in shown[0] and "ワーカー" in shown[0]
    answer = visitor.client.get("/api/v1/doctor", base_url="http://127.0.0.1:8080", headers={"Accept-Language": "ja"}).json
    assert answer is not None and {"name", "level", "sentence", "next_step"} == set(answer["items"][0])
    assert "No worker is running." in [one["sentence"] for one in answer["items"]]


def test_how_long_things_are_kept_is_chosen_on_the_page_and_over_the_api(core: Core, visitor: Visitor, new_visitor: NewVisitor) -> None:
    text = visitor.get("/settings").text
    check_markup(visitor.app, text)
    assert 'name="keep_audit_days" type="number" min="0" max="36500" value="0"' in text
    answer = visitor.post("/settings", {"keep_results_days": "60", "keep_audit_days": "400"})
    assert answer.status_code == 303
    me = Actor.cli("tester")
    assert (keeping.days(core, me), retention.days(core, me)) == (60, 400)
    wrong = visitor.post("/settings", {"keep_results_days": "60", "keep_audit_days": "7"})
    assert wrong.status_code == 422 and "Audit rows stay for 30" in wrong.text and 'value="7"' in wrong.text
    assert visitor.post("/settings", {"keep_results_days": "x", "keep_audit_days": "400"}).status_code == 422
    assert (keeping.days(core, me), retention.days(core, me)) == (60, 400)
    reader = new_visitor().sign_in("operator")
    shown = reader.get("/settings").text
    assert "<dd>400</dd>" in shown and 'name="keep_audit_days"' not in shown
    assert reader.post("/settings", {"keep_results_days": "1", "keep_audit_days": "0"}).status_code == 403
    token = accounts.create_token(core, me, user=visitor.user.name, name="t", role=None, days=1)  # type: ignore[union-attr]
    api = {"base_url": "http://127.0.0.1:8080", "headers": {"Authorization": f"Bearer {token}"}}
    answer = visitor.client.get("/api/v1/settings", **api)
    api["headers"]["If-Match"], listed = answer.headers["ETag"], answer.json
    assert {
        one["name"]: one["value"] for one in listed["items"] if one["name"].startswith("keep_")
    } == {"keep_audit_days": 400, "keep_results_days": 60}
    assert visitor.client.patch("/api/v1/settings", json={"keep_audit_days": 0}, **api).json == {"keep_audit_days": 0}
    api["headers"]["If-Match"] = visitor.client.get("/api/v1/settings", **api).headers["ETag"]
    assert visitor.client.patch("/api/v1/settings", json={"keep_audit_days": 5}, **api).status_code == 422
    assert visitor.client.patch("/api/v1/settings", json={}, **api).status_code == 422
    assert (keeping.days(core, me), retention.days(core, me)) == (60, 0)
