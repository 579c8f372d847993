"""A migrated file for every test: made once, copied for each."""
from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpweb import clock, paths
from mcpweb.db import Connection, Database, driver, migrate

CORE = [("core", paths.SQL)]


def pytest_report_header() -> str:
    return f"SQLite {driver.version_text} ({driver.module.__name__})"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "mcpweb.db"
    migrate.migrate(path, CORE)
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    target = tmp_path / "data" / "mcpweb.db"
    target.parent.mkdir(mode=0o700)
    shutil.copy(template, target)
    target.chmod(0o600)
    return target


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    database = Database(path)
    yield database
    database.close_all()


@pytest.fixture
def conn(db: Database) -> Iterator[Connection]:
    with db.writing() as open_connection:
        yield open_connection


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock to so many seconds after an agreed moment."""

    def set_clock(seconds: float) -> None:
        monkeypatch.setattr(clock, "source", lambda: 1_790_000_000.0 + seconds)

    set_clock(0)
    return set_clock
