"""Keys in pages: what stands where, rotation as it runs, the locked vault, what needs the password again."""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from mcpweb import clock
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit, observations, secrets
from mcpweb.dao import jobs as job_rows
from mcpweb.dao import keys as key_rows
from mcpweb.dao.secrets import Secret
from mcpweb.ids import new_id
from mcpweb.services import access, jobs, keys, stepup
from mcpweb.services import secrets as services
from mcpweb.services.bindings import place_of
from mcpweb.testing.fixtures import Htmx, NewVisitor, Visitor, check_markup
from mcpweb.worker import Worker
from tests.web.test_servers_pages import until

ME = Actor.cli("tester")
MakeSecrets = Callable[[int], list[Secret]]


@pytest.fixture
def make_secrets(core: Core) -> MakeSecrets:
    """Store this many secrets under the key ``main``."""

    def make(count: int) -> list[Secret]:
        made = []
        with core.db.writing() as conn:
            key = key_rows.by_name(conn, "main")
            for number in range(count):
                draft = Secret(
                    new_id("sec"), f"secret-{number}", "", "", key.id, "global", clock.now(), clock.now(), "cli:tester", None,
                    True, "", key.key_version, 1,
                )
                sealed = core.vault.seal(conn, place_of(draft), Sensitive(f"canary-{number}"))
                made.append(replace(draft, encrypted_value=sealed.token))
                secrets.insert(conn, made[-1])
                access.note(conn, ME, "secret.add", draft.id, {"value_version": 1})
        return made

    return make


def lock(core: Core, code: str = "KEY_MISSING") -> None:
    with core.db.writing() as conn:
        observations.put(conn, "vault", {
            "state": "locked", "code": code, "detail": "The key file is gone.", "next_step": "Put it back, then run `mcpweb keys unlock`.",
        })


def test_the_page_says_what_stands_under_which_version(core: Core, actor: Actor, visitor: Visitor, make_secrets: MakeSecrets) -> None:
    make_secrets(3)
    text = visitor.get("/keys").text
    check_markup(visitor.app, text)
    assert "3 secrets" in text and "A256GCM" in text and "rotated never" in re.sub(r"\s+", " ", text)
    assert core.vault.source("file").kek_ids()[0] in text


def test_a_rotation_is_watched_to_its_end(
    core: Core, actor: Actor, visitor: Visitor, hx: Htmx, worker: Worker, make_secrets: MakeSecrets
) -> None:
    make_secrets(40)
    answer = hx.post("/keys/main/rotate", page="/keys")
    assert answer.status_code == 204 and answer.headers["HX-Trigger"] == "key-rotated"
    text = until(lambda: hx.get("/keys"), "40 secrets encrypted anew", seconds=30)
    assert 'hx-trigger="every 10s' in text and "canary" not in text
    versions = keys.get(core, actor, "main").versions
    assert [(one.version.state, one.secrets) for one in versions] == [("active", 40), ("retired", 0)]


def test_while_it_rotates_the_page_asks_each_second_and_can_cancel(
    core: Core, actor: Actor, visitor: Visitor, hx: Htmx, make_secrets: MakeSecrets
) -> None:
    make_secrets(1)
    keys.rotate(core, actor, "main")
    text = hx.get("/keys").text
    assert 'hx-trigger="every 1s' in text and "<progress" in text and "/cancel" in text and "retiring" in text


def test_a_compromised_key_stays_marked(core: Core, actor: Actor, visitor: Visitor) -> None:
    assert visitor.post("/keys/main/rotate", {"compromised": "yes"}).status_code == 303
    assert "compromised</span>" in visitor.get("/keys").text


def test_the_key_encryption_key_is_changed_in_one_step(core: Core, visitor: Visitor) -> None:
    before = core.vault.source("file").kek_ids()[0]
    text = visitor.post("/keys/rotate-kek").text
    after = core.vault.source("file").kek_ids()[0]
    assert before != after and after in text and "Back the key file up" in text


def test_a_key_is_added_and_a_taken_name_is_named(visitor: Visitor) -> None:
    fields = {"name": "second", "cipher": "A256GCM", "source": "file"}
    assert visitor.post("/keys", fields).status_code == 303
    assert "second" in visitor.get("/keys").text
    again = visitor.post("/keys", fields)
    assert again.status_code == 409 and 'value="second"' in again.text and "There is a key second already" in again.text
    assert visitor.post("/keys", {**fields, "name": "third", "cipher": "ROT13"}).status_code == 422


@pytest.mark.parametrize("path", ["/", "/servers", "/servers/new", "/jobs", "/audit", "/settings", "/keys", "/test-runs", "/plugins"])
def test_a_locked_vault_is_said_on_every_page_and_the_rest_works(core: Core, visitor: Visitor, path: str) -> None:
    assert 'id="vault-lock"' not in visitor.get(path).text
    lock(core)
    answer = visitor.get(path)
    banner = re.search(r'id="vault-lock".*?</div></div>', answer.text, re.S)
    assert answer.status_code == 200 and banner
    assert "KEY_MISSING" in banner[0] and "<code>mcpweb keys unlock</code>" in banner[0] and 'href="/keys"' in banner[0]


def test_a_viewer_reads_that_it_is_locked_and_gets_no_way_he_may_not_go(core: Core, new_visitor: NewVisitor) -> None:
    lock(core)
    text = new_visitor().sign_in("viewer").get("/servers").text
    assert 'id="vault-lock"' in text and 'href="/keys"' not in text


def checked(visitor: Visitor) -> str:
    """Press the button and wait for the end of this check."""
    before = jobs.newest(visitor.core, "verify_keys", "keys")
    assert visitor.post("/keys/verify").headers["Location"] == "/keys"
    asked = jobs.newest(visitor.core, "verify_keys", "keys")
    assert asked is not None and (before is None or asked.id != before.id)
    assert jobs.wait(visitor.core, asked.id, 30).finished
    return visitor.get("/keys").text


def test_a_check_that_waits_or_runs_is_shown_and_asked_for_once(core: Core, visitor: Visitor, hx: Htmx) -> None:
    answer = hx.post("/keys/verify", page="/keys")
    assert answer.status_code == 204 and answer.headers["HX-Trigger"] == "job-changed"
    visitor.post("/keys/verify")
    text = hx.get("/keys").text
    assert 'hx-trigger="every 1s' in text and "<progress" in text and text.count("Opening every secret") == 2
    with core.db.reading() as conn:
        assert len(job_rows.listing(conn, kind="verify_keys").rows) == 1


def test_a_check_that_could_not_be_done_says_why(core: Core, visitor: Visitor, worker: Worker) -> None:
    core.settings.key_file.unlink()
    text = checked(visitor)
    assert "The secrets could not be checked:" in text and "Every secret opens" not in text


def test_verifying_opens_all_and_names_what_does_not(
    core: Core, actor: Actor, visitor: Visitor, worker: Worker, make_secrets: MakeSecrets
) -> None:
    made = make_secrets(5)
    real = services.add(core, actor, name="replayed", value=Sensitive("first canary"))
    services.replace(core, actor, real.id, Sensitive("second canary"))
    assert "Every secret opens" in checked(visitor)
    with core.db.writing() as conn:
        conn.execute("UPDATE secrets SET name = 'renamed' WHERE id = ?", (made[0].id,))
        conn.execute("UPDATE secrets SET encrypted_value = ? WHERE id = ?", (made[2].encrypted_value, made[1].id))
        conn.execute("UPDATE secrets SET encrypted_value = ?, value_version = 1 WHERE id = ?", (real.encrypted_value, real.id))
    text = checked(visitor)
    banner = re.search(r'<div class="banner bad".*?</ul>', text, re.S)
    check_markup(visitor.app, text)
    assert banner and "3 secrets are not as they were written" in banner[0] and "canary" not in text, text
    assert all(one in banner[0] for one in (made[0].id, made[1].id, real.id)) and made[3].id not in banner[0]
    assert "holds an earlier value than the one written last" in banner[0]
    with core.db.reading() as conn:
        assert audit.listing(conn, audit.Wanted(action="key.verify"))[0].detail["checked"] == 6


def test_destroying_needs_the_name_and_shows_the_evidence_with_its_limits(
    core: Core, actor: Actor, visitor: Visitor, hx: Htmx, worker: Worker
) -> None:
    hx.post("/keys/main/rotate", page="/keys")
    until(lambda: hx.get("/keys"), "Destroy a retired version", seconds=30)
    assert visitor.post("/keys/main/destroy", {"version": "1", "confirm": "mai"}).status_code == 422
    assert visitor.post("/keys/main/destroy", {"version": "2", "confirm": "main"}).status_code == 409
    answer = visitor.post("/keys/main/destroy", {"version": "1", "confirm": "main"})
    check_markup(visitor.app, answer.text)
    assert answer.status_code == 200 and "The version was destroyed" in answer.text and "cannot be seen from here" in answer.text
    assert [one.version.state for one in keys.get(core, actor, "main").versions] == ["active", "destroyed"]


def test_what_a_rotation_could_not_open_is_named_with_a_way_on(
    core: Core, actor: Actor, visitor: Visitor, hx: Htmx, worker: Worker, make_secrets: MakeSecrets
) -> None:
    made = make_secrets(3)
    with core.db.writing() as conn:
        conn.execute("UPDATE secrets SET name = 'renamed' WHERE id = ?", (made[0].id,))
    hx.post("/keys/main/rotate", page="/keys")
    text = until(lambda: hx.get("/keys"), "1 secret does not open", seconds=30)
    assert f'href="/secrets/{made[0].id}">renamed</a>' in text


def test_a_passphrase_is_asked_for_and_never_shown_again(core: Core, visitor: Visitor) -> None:
    assert 'name="passphrase"' not in visitor.get("/keys").text
    lock(core, "KEY_PASSPHRASE_NEEDED")
    assert 'name="passphrase"' in visitor.get("/keys").text
    answer = visitor.post("/keys/unlock", {"passphrase": "canary passphrase"})
    assert answer.status_code == 303
    with core.db.reading() as conn:
        assert audit.listing(conn, limit=1)[0].action == "vault.unlock"
    assert not any(b"canary" in path.read_bytes() for path in core.settings.data_dir.glob("mcpweb.db*"))


def test_keys_want_the_password_again_after_five_minutes(
    core: Core, actor: Actor, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.source()
    monkeypatch.setattr(clock, "source", lambda: now + stepup.FRESH_S + 2)
    for path in ("/keys/main/rotate", "/keys/main/destroy", "/keys/rotate-kek", "/keys"):
        form = {"confirm": "main", "version": "1", "name": "second"}
        assert visitor.post(path, form, Referer="http://127.0.0.1:8080/keys").headers["Location"] == "/step-up?next=%2Fkeys"
    assert keys.get(core, actor, "main").active.version == 1


def test_operators_read_and_only_admins_change(new_visitor: NewVisitor) -> None:
    operator = new_visitor().sign_in("operator")
    text = operator.get("/keys").text
    assert "main" in text and "Rotate" not in text and "Destroy" not in text
    assert new_visitor().sign_in("viewer").get("/keys").status_code == 403
    for path in ("/keys", "/keys/main/rotate", "/keys/rotate-kek", "/keys/unlock", "/keys/verify",
                 "/keys/main/destroy"):
        assert operator.post(path).status_code == 403
