"""The product against the schema it starts from: every table, column, check, index name, cascade and pragma."""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpweb.db import Connection, Database, driver

SEED = (Path(__file__).parent / "seed-schema.sql").read_text()
SEED_TABLES = ("servers", "configurations", "secrets", "configuration_secrets", "test_results", "encryption_keys")
OUR_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now')"

# What differs on purpose; anything else that differs fails.
CHECKS_BY_FOREIGN_KEY = {("test_results", "test_type"): ("test_types", "name")}
UNIQUE_INDEXES_THAT_GREW = {"idx_secrets_name_scope": ["name", "scope", "owner_id"]}
PARTIAL_BY_US = {"idx_servers_status", "idx_servers_created_at"}  # a removed server is hidden from every list


@pytest.fixture(scope="module")
def seed() -> Iterator[Connection]:
    connection = driver.connect(":memory:", isolation_level=None)
    for statement in SEED.split(";"):
        connection.execute(statement)
    yield connection
    connection.close()


def _columns(conn: Connection, table: str) -> dict[str, tuple[str, int, str | None, int]]:
    return {row[1]: (row[2], row[3], row[4], row[5]) for row in conn.execute(f"PRAGMA table_xinfo({table})")}


def _sql(conn: Connection, name: str) -> str:
    text = conn.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0]
    return re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", text))


def _word_checks(conn: Connection, table: str) -> dict[str, str]:
    return dict(re.findall(r"CHECK ?\((\w+) (IN \([^)]*\))\)", _sql(conn, table)))


def _foreign_keys(conn: Connection, table: str) -> set[tuple[str, str, str, str]]:
    rows = conn.execute(f"PRAGMA foreign_key_list({table})").fetchall()
    return {(row[3], row[2], row[4], row[6]) for row in rows}


def _indexes(conn: Connection, table: str) -> dict[str, tuple[bool, str, list[str]]]:
    rows = conn.execute(f"PRAGMA index_list({table})").fetchall()
    return {
        row[1]: (bool(row[2]), row[3], [column[2] for column in conn.execute(f"PRAGMA index_info({row[1]})")])
        for row in rows
    }


def _where(conn: Connection, index: str) -> str:
    return _sql(conn, index).partition(" WHERE ")[2]


def test_the_record_of_the_seed_has_six_tables(seed: Connection) -> None:
    names = [row[0] for row in seed.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    assert sorted(names) == sorted(SEED_TABLES)
    assert seed.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'idx%'").fetchone()[0] == 19
    assert sum(len(_word_checks(seed, table)) for table in SEED_TABLES) == 5
    assert sum(len(_foreign_keys(seed, table)) for table in SEED_TABLES) == 5


@pytest.mark.parametrize("table", SEED_TABLES)
def test_every_column_of_the_seed_is_there_in_its_order_with_its_type(seed: Connection, conn: Connection, table: str) -> None:
    wanted, found = _columns(seed, table), _columns(conn, table)
    assert list(found)[: len(wanted)] == list(wanted)
    for name, (kind, required, default, key) in wanted.items():
        expected_default = OUR_NOW if default == "CURRENT_TIMESTAMP" else default
        assert found[name] == (kind, required, expected_default, key), f"{table}.{name}"


@pytest.mark.parametrize("table", SEED_TABLES)
def test_every_word_check_of_the_seed_is_there_or_became_a_foreign_key(
    seed: Connection, conn: Connection, table: str
) -> None:
    found = _word_checks(conn, table)
    for column, words in _word_checks(seed, table).items():
        parent = CHECKS_BY_FOREIGN_KEY.get((table, column))
        if parent is None:
            assert found.get(column) == words, f"{table}.{column}"
        else:
            assert (column, *parent, "NO ACTION") in _foreign_keys(conn, table)


@pytest.mark.parametrize("table", SEED_TABLES)
def test_every_cascade_of_the_seed_is_there(seed: Connection, conn: Connection, table: str) -> None:
    assert _foreign_keys(seed, table) <= _foreign_keys(conn, table)


@pytest.mark.parametrize("table", SEED_TABLES)
def test_every_index_of_the_seed_keeps_name_leading_columns_and_condition(
    seed: Connection, conn: Connection, table: str
) -> None:
    found = _indexes(conn, table)
    for name, (unique, origin, columns) in _indexes(seed, table).items():
        if origin != "c":  # UNIQUE and PRIMARY KEY carry no name of their own
            assert (unique, origin, columns) in found.values(), f"{table}: {columns}"
            continue
        our_unique, _, ours = found[name]
        assert our_unique == unique, name
        if unique:
            assert ours == UNIQUE_INDEXES_THAT_GREW.get(name, columns), name
        assert ours[: len(columns)] == columns, name
        expected = "removed_at IS NULL" if name in PARTIAL_BY_US else _where(seed, name)
        assert _where(conn, name) == expected, name


def test_every_pragma_of_the_seed_holds_on_a_connection_of_the_product(db: Database) -> None:
    wanted = dict(re.findall(r"PRAGMA (\w+) = (-?\w+);", SEED))
    assert set(wanted) == {
        "foreign_keys", "journal_mode", "synchronous", "cache_size", "temp_store", "page_size", "auto_vacuum",
    }
    with db.reading() as conn:
        found = {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}
    assert found == {
        "foreign_keys": 1, "journal_mode": "wal", "synchronous": 1, "temp_store": 2, "page_size": 4096, "auto_vacuum": 2,
        "cache_size": -1024,  # the seed's 64 MB are the budget of a process and shared out over its connections
    }
