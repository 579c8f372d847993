"""The only importer of SQLite: pysqlite3, whose wheel carries a version without the WAL-reset race.

Where no wheel exists the standard library's module is used; ``doctor`` and the journal mode then say so.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3 as module
else:
    try:
        from pysqlite3 import dbapi2 as module
    except ImportError:
        import sqlite3 as module

Connection = module.Connection
Row = module.Row
DatabaseError = module.DatabaseError
IntegrityError = module.IntegrityError
OperationalError = module.OperationalError
connect = module.connect
complete_statement = module.complete_statement
version: tuple[int, ...] = tuple(int(part) for part in module.sqlite_version.split("."))
version_text: str = module.sqlite_version

# SQLite 3.7.0 to 3.51.2 can corrupt a WAL database that several processes write (sqlite.org/wal.html#walresetbug).
WAL_IS_SAFE = version >= (3, 51, 3)

SQLITE_OK = 0
SQLITE_DENY = 1
SQLITE_ATTACH = 24
SQLITE_DETACH = 25
SQLITE_TRANSACTION = 22
