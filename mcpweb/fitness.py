"""Whether a running process still fits the database and the package: after an upgrade it must leave, not go on guessing."""
from __future__ import annotations

import time
from pathlib import Path

from mcpweb.db import Database
from mcpweb.errors import SchemaChanged

LOOK_EVERY_S = 1.0
_PACKAGE = Path(__file__).with_name("__init__.py")  # holds the version, so each release writes it anew


class Fitness:
    """Remembers schema and package as they were when the process began."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._schema = self._schema_now()
        self._package = _package_now()
        self._looked = time.monotonic()

    def check(self) -> None:
        """Raise SchemaChanged when another schema or another package is there now; looks once a second at most."""
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        if _package_now() != self._package:
            raise SchemaChanged("mcpweb was upgraded while it ran.", next_step="It starts again by itself; try in a moment.")
        if self._schema_now() != self._schema:
            raise SchemaChanged("The database was migrated while mcpweb ran.")
        self._looked = time.monotonic()

    def _schema_now(self) -> int:
        with self._db.reading() as conn:
            return int(conn.execute("PRAGMA user_version").fetchone()[0])


def _package_now() -> tuple[int, int] | None:
    try:
        facts = _PACKAGE.stat()
    except OSError:  # in the middle of an upgrade
        return None
    return facts.st_mtime_ns, facts.st_size
