"""Whether a running process still fits the database and the package: after an upgrade it must leave, not go on guessing.

A file that was deleted stays open where it is open, so what is written to it would be told as kept, and be gone with the process.
"""
from __future__ import annotations

import time
from pathlib import Path

from mcpweb.db import Database
from mcpweb.errors import SchemaChanged, StorageUnusable

LOOK_EVERY_S = 1.0
_PACKAGE = Path(__file__).with_name("__init__.py")  # holds the version, so each release writes it anew


class Fitness:
    """Remembers schema, file and package as they were when the process began."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._schema = self._schema_now()
        self._file = _identity(db.path)
        self._package = _package_now()
        self._looked = time.monotonic()

    def check(self) -> None:
        """Raise SchemaChanged when another schema or package is there now, StorageUnusable when the database is another file.

        Looks once a second at most.
        """
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        if _package_now() != self._package:
            raise SchemaChanged("mcpweb was upgraded while it ran.", next_step="It starts again by itself; try in a moment.")
        if _identity(self._db.path) != self._file:
            raise StorageUnusable(
                f"The database {self._db.path} was deleted or replaced while mcpweb runs; nothing is written any more.",
                next_step="Stop mcpweb, then run `mcpweb db restore FILE --yes`, or put the file back.",
            )
        if self._schema_now() != self._schema:
            raise SchemaChanged("The database was migrated while mcpweb ran.")
        self._looked = time.monotonic()

    def _schema_now(self) -> int:
        with self._db.reading() as conn:
            return int(conn.execute("PRAGMA user_version").fetchone()[0])


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _package_now() -> tuple[int, int] | None:
    try:
        facts = _PACKAGE.stat()
    except OSError:  # in the middle of an upgrade
        return None
    return facts.st_mtime_ns, facts.st_size
