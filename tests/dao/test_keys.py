"""What the database itself holds true about keys, their versions and the secrets under them."""
from __future__ import annotations

import pytest

from mcpweb.db import Connection, driver


def add_version(conn: Connection, version: int, state: str = "active", key: str = "key_main") -> None:
    conn.execute(
        "INSERT INTO encryption_key_versions (key_id, version, state, alg, wrapped_key, kek_id, kek_source, kcv) "
        "VALUES (?, ?, ?, 'A256GCM', x'00', 'kek_1', 'file', 'kcv')",
        (key, version, state),
    )


def move(conn: Connection, version: int, *states: str) -> None:
    for state in states:
        conn.execute(
            "UPDATE encryption_key_versions SET state = :state, "
            "wrapped_key = iif(:state = 'destroyed', NULL, wrapped_key) WHERE key_id = 'key_main' AND version = :version",
            {"state": state, "version": version},
        )


def add_secret(conn: Connection, secret_id: str = "sec_1", version: int = 1, **fields: str) -> None:
    values = {"name": "API_KEY", "scope": "global", "owner_id": ""} | fields
    conn.execute(
        "INSERT INTO secrets (id, name, encrypted_value, encryption_key_id, scope, owner_id, key_version) "
        "VALUES (:id, :name, 'token', 'key_main', :scope, :owner_id, :version)",
        values | {"id": secret_id, "version": version},
    )


@pytest.fixture
def keyed(conn: Connection) -> Connection:
    conn.execute("INSERT INTO encryption_keys (id, key_name) VALUES ('key_main', 'main')")
    add_version(conn, 1)
    return conn


def test_a_version_goes_from_active_to_retiring_to_retired_to_destroyed(keyed: Connection) -> None:
    move(keyed, 1, "retiring", "retired", "destroyed")
    row = keyed.execute("SELECT state, wrapped_key FROM encryption_key_versions").fetchone()
    assert tuple(row) == ("destroyed", None)


@pytest.mark.parametrize(
    ("way", "refused"),
    [
        ((), "retired"), ((), "destroyed"),
        (("retiring",), "active"), (("retiring",), "destroyed"),
        (("retiring", "retired"), "active"), (("retiring", "retired"), "retiring"),
        (("retiring", "retired", "destroyed"), "active"), (("retiring", "retired", "destroyed"), "retired"),
    ],
)
def test_a_version_neither_skips_a_state_nor_goes_back(keyed: Connection, way: tuple[str, ...], refused: str) -> None:
    move(keyed, 1, *way)
    with pytest.raises(driver.IntegrityError):
        move(keyed, 1, refused)


def test_a_key_has_one_active_version(keyed: Connection) -> None:
    with pytest.raises(driver.IntegrityError):
        add_version(keyed, 2)
    move(keyed, 1, "retiring")
    add_version(keyed, 2)


@pytest.mark.parametrize("state", ["retiring", "retired", "destroyed", "lost"])
def test_a_version_begins_as_active(keyed: Connection, state: str) -> None:
    move(keyed, 1, "retiring")
    with pytest.raises(driver.IntegrityError):
        add_version(keyed, 2, state)


def test_key_material_is_gone_exactly_when_a_version_is_destroyed(keyed: Connection) -> None:
    with pytest.raises(driver.IntegrityError):
        keyed.execute("UPDATE encryption_key_versions SET wrapped_key = NULL")
    move(keyed, 1, "retiring", "retired")
    with pytest.raises(driver.IntegrityError):
        keyed.execute("UPDATE encryption_key_versions SET state = 'destroyed'")


def test_a_destroyed_version_and_its_key_stay_as_evidence(keyed: Connection) -> None:
    move(keyed, 1, "retiring", "retired", "destroyed")
    with pytest.raises(driver.IntegrityError):
        keyed.execute("DELETE FROM encryption_key_versions")
    with pytest.raises(driver.IntegrityError):
        keyed.execute("DELETE FROM encryption_keys")


@pytest.mark.parametrize("way", [("retiring",), ("retiring", "retired"), ("retiring", "retired", "destroyed")])
def test_no_secret_is_written_under_a_version_that_is_not_active(keyed: Connection, way: tuple[str, ...]) -> None:
    move(keyed, 1, *way)
    with pytest.raises(driver.IntegrityError, match="active"):
        add_secret(keyed)


@pytest.mark.parametrize("column", ["encrypted_value", "key_version", "encryption_key_id"])
def test_no_secret_is_changed_under_a_version_that_is_not_active(keyed: Connection, column: str) -> None:
    add_secret(keyed)
    move(keyed, 1, "retiring")
    with pytest.raises(driver.IntegrityError, match="active"):
        keyed.execute(f"UPDATE secrets SET {column} = {column}")
    keyed.execute("UPDATE secrets SET description = 'still readable, still described'")


def test_a_secret_moves_to_the_new_version_and_only_then_the_old_one_retires(keyed: Connection) -> None:
    add_secret(keyed)
    move(keyed, 1, "retiring")
    add_version(keyed, 2)
    with pytest.raises(driver.IntegrityError, match="needs it"):
        move(keyed, 1, "retired")
    keyed.execute("UPDATE secrets SET encrypted_value = 'new token', key_version = 2")
    move(keyed, 1, "retired", "destroyed")


def test_a_secret_names_a_key_and_a_version_that_exist(keyed: Connection) -> None:
    with pytest.raises(driver.IntegrityError):
        add_secret(keyed, version=9)


def test_a_name_is_taken_per_scope_and_owner_while_its_secret_is_active(keyed: Connection) -> None:
    add_secret(keyed, "sec_1", scope="server", owner_id="srv_1")
    add_secret(keyed, "sec_2", scope="server", owner_id="srv_2")
    add_secret(keyed, "sec_3")
    with pytest.raises(driver.IntegrityError):
        add_secret(keyed, "sec_4", scope="server", owner_id="srv_1")
    keyed.execute("UPDATE secrets SET is_active = FALSE WHERE id = 'sec_1'")
    add_secret(keyed, "sec_4", scope="server", owner_id="srv_1")


@pytest.mark.parametrize(("scope", "owner"), [("global", "srv_1"), ("server", ""), ("configuration", ""), ("team", "x")])
def test_a_scope_has_an_owner_exactly_when_it_is_not_global(keyed: Connection, scope: str, owner: str) -> None:
    with pytest.raises(driver.IntegrityError):
        add_secret(keyed, scope=scope, owner_id=owner)
