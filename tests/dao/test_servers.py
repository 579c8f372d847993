"""Servers, their configurations and their tools."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from mcpweb import clock
from mcpweb.dao import configurations, servers, tools
from mcpweb.dao import test_results as results
from mcpweb.dao import test_runs as runs
from mcpweb.db import Connection, Database, driver
from mcpweb.errors import NotFound, PreconditionFailed
from tests.dao.rows import make_configuration, make_results, make_run, make_server, make_types


def test_a_server_comes_back_as_it_was_stored_by_id_and_by_name(conn: Connection) -> None:
    server = make_server(conn, description="日本語", metadata={"a": [1, {"b": None}]})
    assert servers.get(conn, server.id) == servers.get(conn, "time") == server


def test_find_may_return_none_and_get_says_what_is_missing(conn: Connection) -> None:
    assert servers.find(conn, "nobody") is None
    with pytest.raises(NotFound, match="nobody"):
        servers.get(conn, "nobody")


def test_a_name_that_looks_like_an_id_does_not_hide_the_server_with_that_id(conn: Connection) -> None:
    first = make_server(conn, "first")
    make_server(conn, first.id)
    assert servers.get(conn, first.id).name == "first"


def test_two_servers_cannot_have_one_name_until_the_first_is_removed(conn: Connection) -> None:
    first = make_server(conn, "time")
    with pytest.raises(driver.IntegrityError):
        make_server(conn, "time")
    servers.hide(conn, first.id)
    assert servers.get(conn, make_server(conn, "time").id).name == "time"


def test_a_removed_server_is_in_no_list_and_not_wanted(conn: Connection) -> None:
    server = make_server(conn)
    servers.set_wanted(conn, server.id, "running")
    servers.hide(conn, server.id)
    assert servers.find(conn, server.id) is None and servers.find(conn, server.name) is None
    assert servers.listing(conn).rows == () and servers.counts(conn) == {}
    assert servers.wanted_running(conn) == [] and servers.with_status(conn, "unknown") == []
    assert servers.all_ids(conn) == [server.id]


def test_a_change_needs_the_revision_it_was_based_on(conn: Connection, at: Callable[[float], None]) -> None:
    server = make_server(conn)
    at(1)
    changed = servers.update(conn, server.id, expect=1, description="new")
    assert (changed.revision, changed.description, changed.image) == (2, "new", server.image)
    assert changed.updated_at == clock.now() != server.updated_at
    with pytest.raises(PreconditionFailed):
        servers.update(conn, server.id, expect=1, description="late")
    assert servers.update(conn, server.id, expect=None, description="forced").revision == 3


def test_a_new_image_forgets_what_was_recorded_of_the_old_one(conn: Connection) -> None:
    server = make_server(conn)
    servers.record_image(conn, server.id, image_id="sha256:1", image_digest="sha256:2", protocol="2025-11-25")
    kept = servers.update(conn, server.id, expect=None, image=server.image, description="same image")
    assert (kept.image_id, kept.image_digest) == ("sha256:1", "sha256:2")
    moved = servers.update(conn, server.id, expect=None, image="mcp/time:2")
    assert (moved.image_id, moved.image_digest) == (None, None)


def test_seeing_the_same_again_writes_nothing(conn: Connection, at: Callable[[float], None]) -> None:
    server = make_server(conn)
    seen = {"status": "running", "detail": "", "container_id": "c1"}
    assert servers.set_seen(conn, server.id, at=clock.now(), **seen) is True
    before = servers.get(conn, server.id)
    at(30)
    assert servers.set_seen(conn, server.id, at=clock.now(), **seen) is False
    assert servers.get(conn, server.id) == before
    assert servers.set_seen(conn, server.id, at=clock.now(), **(seen | {"container_id": None})) is True
    assert before.revision == 1


def test_a_health_check_is_not_a_change(conn: Connection, at: Callable[[float], None]) -> None:
    server = make_server(conn)
    at(60)
    servers.set_health_check(conn, server.id, clock.now())
    checked = servers.get(conn, server.id)
    assert (checked.last_health_check, checked.updated_at) == (clock.now(), server.updated_at)


def test_what_people_want_is_apart_from_what_was_seen(conn: Connection) -> None:
    server = make_server(conn)
    servers.set_wanted(conn, server.id, "running")
    assert [s.id for s in servers.wanted_running(conn)] == [server.id]
    assert servers.get(conn, server.id).status == "unknown"
    assert servers.counts(conn) == {"unknown": 1}


@pytest.mark.parametrize(("column", "word"), [("status", "paused"), ("wanted", "maybe")])
def test_words_we_do_not_own_are_refused_by_the_database(conn: Connection, column: str, word: str) -> None:
    server = make_server(conn)
    with pytest.raises(driver.IntegrityError):
        conn.execute(f"UPDATE servers SET {column} = ? WHERE id = ?", (word, server.id))


def test_search_takes_percent_and_underscore_as_letters(conn: Connection) -> None:
    for name in ("a_b", "axb", "a.b"):
        make_server(conn, name)
    assert [s.name for s in servers.listing(conn, q="a_b").rows] == ["a_b"]
    assert servers.listing(conn, q="%").rows == ()
    assert len(servers.listing(conn, q="A").rows) == 3
    assert servers.listing(conn, q="'; DROP TABLE servers; --").rows == ()


def test_rows_with_the_seed_s_whole_seconds_sort_among_ours(conn: Connection, at: Callable[[float], None]) -> None:
    names = []
    for number, created_at in enumerate(["2026-01-01 10:00:00.500", "2026-01-01 10:00:01", "2026-01-01 10:00:01.001"]):
        server = make_server(conn, f"s{number}")
        conn.execute("UPDATE servers SET created_at = ? WHERE id = ?", (created_at, server.id))
        names.append(server.name)
    first = servers.listing(conn, limit=1)
    second = servers.listing(conn, limit=2, after=first.next)
    assert [s.name for s in (*first.rows, *second.rows)] == names[::-1]


def test_a_row_written_with_the_defaults_has_milliseconds(conn: Connection) -> None:
    conn.execute("INSERT INTO servers (id, name, image, status) VALUES ('srv_1', 'x', 'y', 'unknown')")
    row = conn.execute("SELECT created_at, updated_at FROM servers").fetchone()
    assert all(len(text) == 23 and clock.parse(text) for text in row)


# Removing


def test_a_removed_server_goes_in_batches_with_everything_it_had(db: Database) -> None:
    with db.writing() as conn:
        make_types(conn)
        kept, removed = make_server(conn, "kept"), make_server(conn, "removed")
        for server in (kept, removed):
            run = make_run(conn, server)
            make_results(conn, run, *["success"] * 25)
            tools.replace(conn, server.id, [{"name": "now"}])
        servers.hide(conn, removed.id)
    batches = []
    while True:
        with db.writing() as conn:
            deleted = servers.delete_hidden_batch(conn, 10)
        if not deleted:
            break
        batches.append(deleted)
    assert batches == [10, 10, 5, 1, 1]
    with db.reading() as conn:
        for table in ("configurations", "test_runs", "test_results_daily", "tools"):
            owners = {row[0] for row in conn.execute(f"SELECT server_id FROM {table}")}
            assert owners == {kept.id}, table
        assert conn.execute("SELECT count(*) FROM configuration_revisions").fetchone()[0] == 1
        assert len(results.listing(conn, server_id=kept.id).rows) == 25


# Configurations


def test_a_configuration_comes_back_as_it_was_stored(conn: Connection) -> None:
    configuration = make_configuration(conn, make_server(conn))
    assert configurations.get(conn, configuration.id) == configuration
    assert configurations.by_name(conn, configuration.server_id, "default") == configuration
    assert configurations.by_name(conn, configuration.server_id, configuration.id) == configuration
    assert configurations.active(conn, configuration.server_id) == configuration


def test_a_configuration_of_another_server_is_not_found_by_name_or_id(conn: Connection) -> None:
    one, two = make_server(conn, "one"), make_server(conn, "two")
    configuration = make_configuration(conn, one)
    for wanted in ("default", configuration.id):
        with pytest.raises(NotFound):
            configurations.by_name(conn, two.id, wanted)
    with pytest.raises(NotFound):
        configurations.active(conn, two.id)


def test_activating_one_deactivates_the_other_in_the_same_transaction(conn: Connection) -> None:
    server = make_server(conn)
    old, new = make_configuration(conn, server), make_configuration(conn, server, "new", active=False)
    assert configurations.activate(conn, new.id).is_active
    assert not configurations.get(conn, old.id).is_active
    assert configurations.activate(conn, new.id).is_active
    with pytest.raises(driver.IntegrityError):
        conn.execute("UPDATE configurations SET is_active = TRUE WHERE id = ?", (old.id,))


def test_each_change_keeps_a_revision(conn: Connection) -> None:
    configuration = make_configuration(conn, make_server(conn))
    changed = configurations.update(
        conn, configuration.id, expect=1, updated_by="user:usr_2", config_data=configuration.config_data | {"user": "app"}
    )
    kept = configurations.revisions(conn, configuration.id)
    assert [(r.revision, r.config_data["user"], r.created_by) for r in kept] == [
        (2, "app", "user:usr_2"), (1, None, "cli:me"),
    ]
    assert changed.revision == 2
    with pytest.raises(PreconditionFailed):
        configurations.update(conn, configuration.id, expect=1, updated_by="x", name="late")


def test_names_are_unique_per_server(conn: Connection) -> None:
    one, two = make_server(conn, "one"), make_server(conn, "two")
    for server in (one, two):
        make_configuration(conn, server)
    with pytest.raises(driver.IntegrityError):
        make_configuration(conn, one, active=False)


def test_results_outlive_the_configuration_they_ran_with(conn: Connection) -> None:
    make_types(conn)
    run = make_run(conn, make_server(conn))
    (result,) = make_results(conn, run, "success")
    assert run.configuration_id is not None
    configurations.delete(conn, run.configuration_id)
    assert results.get(conn, result.id).configuration_id is None
    assert runs.get(conn, run.id).configuration_id is None


# Tools


def test_tools_are_kept_as_received_and_in_order(conn: Connection) -> None:
    server = make_server(conn)
    received = [{"name": "b", "inputSchema": {"type": "object"}}, {"name": "a"}, {"name": "a", "twice": True}, {}]
    tools.replace(conn, server.id, received)
    assert [t.definition for t in tools.listing(conn, server.id)] == received
    assert tools.get(conn, server.id, "b").definition == received[0]
    assert tools.any_of(conn, server.id)
    with pytest.raises(NotFound):
        tools.get(conn, server.id, "c")
    tools.replace(conn, server.id, [])
    assert tools.listing(conn, server.id) == [] and not tools.any_of(conn, server.id)
