"""What plugin authors are given works as the page for authors says."""
from __future__ import annotations

import base64

import pytest

from mcpweb.plugin import ServerChanged, hookimpl

pytest_plugins = ["mcpweb.testing.authors"]


def test_client_and_audit_log_show_what_was_done(client, core, audit_log) -> None:
    assert client.get("/plugins").status_code == 200 and audit_log("plugin.disable") == []
    client.post("/plugins/events_log/disable", page="/plugins")
    (row,) = audit_log("plugin.disable")
    assert row.target == "events_log" and row in audit_log() and audit_log()[0].seq < row.seq


def test_a_plugin_made_of_functions_is_registered_and_taken_out(plugins, core) -> None:
    heard = []

    @hookimpl
    def mcpweb_track_event(event) -> None:
        heard.append(event)

    record = plugins.register("mine", mcpweb_track_event=mcpweb_track_event)
    core.announce(ServerChanged("user:x", "srv_1", "added"))
    assert record.hooks == ("mcpweb_track_event",) and len(heard) == 1
    plugins.unregister("mine")
    core.announce(ServerChanged("user:x", "srv_1", "added"))
    assert len(heard) == 1 and "mine" not in plugins.host.records


def test_the_database_is_migrated(database) -> None:
    with database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM servers").fetchone()[0] == 0


@pytest.mark.parametrize("form", [str, lambda text: base64.b64encode(text.encode()).decode(), lambda text: text.encode().hex()])
def test_a_secret_in_any_form_is_found_and_other_text_is_not(assert_redacted, form) -> None:
    secret = "canary of an author 7"
    assert_redacted("nothing of the kind, canary or not", secret)
    with pytest.raises(AssertionError, match="holds the secret"):
        assert_redacted(f"key={form(secret)};", secret)
    with pytest.raises(AssertionError, match="so short"):
        assert_redacted("text", "abc")


def test_a_test_type_runs_on_a_fake_server(run_test_type) -> None:
    ended = run_test_type("connection")
    assert ended.outcome.error is None and {one.check_id for one in ended.results} >= {"C01", "C10"}
