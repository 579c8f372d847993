"""What SQLite's errors mean to people. Its texts hold SQL and are not passed on."""
from __future__ import annotations

import os
from pathlib import Path

from mcpweb.db import driver
from mcpweb.errors import Failure, StorageFull, StorageUnusable, Unavailable

_DAMAGED = "Stop mcpweb and run `mcpweb db check`, then `mcpweb db restore FILE --yes`."
# primary result codes (sqlite.org/rescode.html)
_MEANINGS: dict[int, tuple[type[Failure], str, str]] = {
    3: (StorageUnusable, "The database may not be opened.", "Check the owner and mode of the data folder."),
    5: (Unavailable, "The database is busy.", "Try again."),
    6: (Unavailable, "The database is busy.", "Try again."),
    8: (StorageUnusable, "The database cannot be written.", "Check the owner, mode and mount of the data folder."),
    9: (Unavailable, "The database took too long.", "Try a narrower filter."),
    10: (StorageUnusable, "The disk does not answer as it should.", "Look at the system's log."),
    11: (StorageUnusable, "The database file is damaged.", _DAMAGED),
    13: (StorageFull, "The disk is full.", ""),
    14: (StorageUnusable, "The database is not there or cannot be opened.",
         "Check the data folder, run `mcpweb db migrate`, or restore a backup."),
    15: (StorageUnusable, "The locks of this file system do not work.", "Move the data folder to a local disk."),
    26: (StorageUnusable, "The file is not a database.", _DAMAGED),
}


def failure_of(error: driver.DatabaseError, path: Path) -> Failure:
    """Return the failure that tells people what a database error means."""
    meaning = _MEANINGS.get(getattr(error, "sqlite_errorcode", 1) & 0xFF)
    if meaning is None:
        return Failure(f"The database refused a statement ({type(error).__name__}).", code="storage_error")
    kind, sentence, next_step = meaning
    if meaning is _MEANINGS[14] and os.path.isfile(path):  # a write-ahead log needs a folder that can be written
        sentence, next_step = "The database is there, but its log cannot be written.", _MEANINGS[8][2]
    return kind(f"{sentence} ({path.name})", next_step=next_step)
