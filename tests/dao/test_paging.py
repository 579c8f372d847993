"""Cursors: what travels out comes back, and anything else is refused with a sentence."""
from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweb.dao import paging, servers
from mcpweb.dao.paging import Cursor
from mcpweb.db import Connection
from mcpweb.errors import BadCursor, InvalidInput
from tests.dao.rows import make_server


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_a_cursor_comes_back_as_it_went() -> None:
    for cursor in (Cursor("2026-01-01 10:00:00.123", "srv_01abc"), Cursor("2026-01-01 10:00:00", "res_x")):
        assert paging.decode(paging.encode(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "%%%", "ünï", "A" * 100_000, "[" * 6000, _encoded([]), _encoded({}), _encoded(None), _encoded("ab"),
        _encoded([1, 2]), _encoded(["2026-01-01 10:00:00", "srv_1", "more"]), _encoded(["now", "srv_1"]),
        _encoded(["2026-01-01 10:00:00", "' OR 1=1"]), _encoded(["2026-01-01 10:00:00", ""]),
        _encoded({"2026-01-01 10:00:00": 1, "srv 1": 2}), base64.urlsafe_b64encode(b"\xff\xfe\0").decode(),
    ],
)
def test_a_damaged_or_made_up_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        paging.decode(text)


@given(st.text(max_size=400))
def test_no_text_is_worse_than_a_refused_cursor(text: str) -> None:
    try:
        cursor = paging.decode(text)
    except BadCursor:
        return
    assert paging.decode(paging.encode(cursor)) == cursor


def test_the_last_page_has_no_next_also_when_it_is_full(conn: Connection) -> None:
    for number in range(4):
        make_server(conn, f"s{number}")
    first = servers.listing(conn, limit=2)
    assert first.next is not None
    second = servers.listing(conn, limit=2, after=first.next)
    assert (len(second.rows), second.next) == (2, None)
    assert servers.listing(conn, limit=4).next is None


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_that_makes_no_sense_is_refused(conn: Connection, limit: int) -> None:
    with pytest.raises(InvalidInput):
        servers.listing(conn, limit=limit)
