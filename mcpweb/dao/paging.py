"""Keyset paging: a cursor is the sort key of the last row seen, as one opaque text."""
from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mcpweb.db import Connection
from mcpweb.errors import BadCursor, InvalidInput

Row = TypeVar("Row")
_END_OF_TIME = "9999-12-31"  # above every time a row has; "9999" would turn into a number, which sorts below text
_LONGEST = 300
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})?")
_ID = re.compile(r"[a-z]{1,8}_[0-9a-zA-Z_-]{1,64}")


@dataclass(frozen=True)
class Cursor:
    """Where the next page begins: after the row with this time and id."""

    created_at: str
    id: str


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """Rows for one screen, newest first; ``next`` is None on the last page."""

    rows: tuple[Row, ...]
    next: Cursor | None


def encode(cursor: Cursor) -> str:
    """Return the cursor as it travels in ``?cursor=``."""
    text = json.dumps([cursor.created_at, cursor.id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(text: str) -> Cursor:
    """Return the cursor. Raises BadCursor for anything that we did not encode."""
    if len(text) > _LONGEST:
        raise BadCursor("The cursor is damaged.")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        created_at, row_id = json.loads(raw)
    except (binascii.Error, ValueError, TypeError):
        raise BadCursor("The cursor is damaged.") from None
    if not (isinstance(created_at, str) and isinstance(row_id, str)):
        raise BadCursor("The cursor is damaged.")
    if not (_TIME.fullmatch(created_at) and _ID.fullmatch(row_id)):
        raise BadCursor("The cursor is damaged.")
    return Cursor(created_at, row_id)


def span(since: str | None, until: str | None) -> tuple[list[str], dict[str, Any]]:
    """Return the clauses, and their values, for rows from ``since`` on and before ``until``."""
    given = {"since": ("created_at >= :since", since), "until": ("created_at < :until", until)}
    chosen = {name: pair for name, pair in given.items() if pair[1] is not None}
    return [clause for clause, _ in chosen.values()], {name: value for name, (_, value) in chosen.items()}


def select(
    conn: Connection,
    table: str,
    fields: str,
    read: Callable[[Any], Row],
    *,
    after: Cursor | None,
    limit: int,
    equals: Mapping[str, Any] | None = None,
    where: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    at: str = "created_at",
    drive: str | None = None,
) -> Listing[Row]:
    """Return one page of a table that is sorted by (created_at, id), newest first; ``at`` names another column of time.

    ``equals`` are filters by column (None is no filter), ``where`` further clauses with their ``values``. With ``drive``
    only the index of that column is walked; else the planner chooses. Table, fields and clauses are our own text, never input.
    """
    if not 1 <= limit <= 1000:
        raise InvalidInput("limit is a number from 1 to 200.")
    clauses = list(where)
    bound: dict[str, Any] = {"limit": limit + 1, **(values or {})}
    for column, value in (equals or {}).items():
        if value is not None:
            held = "+" if drive is not None and column != drive else ""  # a plus keeps a column from choosing the index
            clauses.append(f"{held}{column} = :{column}")
            bound[column] = value
    # the first page begins after the end of time, so that each page is a search in an index and none a scan
    clauses.append(f"({at}, id) < (:after_created_at, :after_id)")
    bound["after_created_at"] = after.created_at if after else _END_OF_TIME
    bound["after_id"] = after.id if after else ""
    condition = " AND ".join(clauses)
    sql = f"SELECT {fields} FROM {table} WHERE {condition} ORDER BY {at} DESC, id DESC LIMIT :limit"
    found = conn.execute(sql, bound).fetchall()
    rows = tuple(read(row) for row in found[:limit])
    last = found[limit - 1] if len(found) > limit else None
    return Listing(rows, Cursor(last[at], last["id"]) if last is not None else None)
