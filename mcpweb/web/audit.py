"""The audit log, for admins: who did what on what, from where; the chain verified, the rows taken along."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from mcpweb import clock
from mcpweb.dao.audit import AuditRow, Wanted
from mcpweb.errors import BadCursor, InvalidInput, NotFound
from mcpweb.schemas.objects import audit_object
from mcpweb.services import accounts, audit, jobs, servers
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond

bp = Blueprint("audit", __name__, url_prefix="/audit")
_WAIT_S = 0.8
_PAIRS = (("before", "after"), ("from", "to"))
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_FILTERS = ("who", "action", "target", "since", "until")
# what the id of a row's target begins with, and the page that shows it
_PLACES = {"srv": "/servers/", "run": "/test-runs/", "sec": "/secrets/", "key": "/keys#", "job": "/jobs/", "usr": "/users/"}
_ID = re.compile(r"\b([a-z]{2,4}_)[0-9a-z]{20}([0-9a-z]{6})\b")  # those of one moment begin alike: the end tells them apart
_HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")


@bp.get("")
@permission("audit.view")
def index() -> Response:
    return _page()


@bp.post("/verify")
@permission("audit.view")
def verify() -> Response:
    """Ask for the check; the page shows how far it is and how it ended."""
    throttle_jobs()
    jobs.wait(core(), audit.request_verify(core(), actor()).id, _WAIT_S)
    return done("/audit", event="job-changed")


@bp.get("/export")
@permission("audit.view")
def export() -> Response:
    """Send the rows that fit the filter as JSON lines, oldest first."""
    given = _given()
    rows = audit.export(core(), actor(), wanted=_wanted(given, accounts.labels(core())))

    def lines() -> Iterator[str]:
        for row in rows:
            yield json.dumps(audit_object(row), ensure_ascii=False) + "\n"

    response = Response(lines(), content_type="application/x-ndjson; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="audit-{clock.now()[:10]}.jsonl"'
    return response


def _page() -> Response:
    cursor = request.args.get("cursor", "")
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadCursor("The cursor is damaged.")
    given = _given()
    labels = accounts.labels(core())
    listing = audit.listing(core(), actor(), before_seq=int(cursor) if cursor else None, wanted=_wanted(given, labels))
    used = {name: value for name, value in given.items() if value}
    ids = (row.target for row in listing.rows if row.target.startswith("srv_"))
    return respond(
        "audit/index.html", listing=listing, next=listing.next, cursor=cursor, filters=given,
        checking=jobs.newest(core(), "verify_audit", "audit"),
        url="/audit" + (f"?{urlencode(used)}" if used else ""), query=urlencode(used), filtered=bool(used),
        names=servers.names_of(core(), ids),
        people=sorted(set(labels.values())), places=_PLACES, facts=facts, differences=differences, shorter=shorter, labels=labels,
    )


def _given() -> dict[str, str]:
    return {name: request.args.get(name, "").strip()[:100] for name in _FILTERS}


def _wanted(given: dict[str, str], labels: dict[str, str]) -> Wanted:
    """Return the filters as rows hold what was typed. Raises InvalidInput."""
    return Wanted(
        _who(given["who"], labels), given["action"] or None, _target(given["target"]), _day(given, "since"), _day(given, "until")
    )


def facts(row: AuditRow, label: str = "") -> list[tuple[str, str, str]]:
    """Return the detail of a row as names, short values and whole ones; what the row says elsewhere is left out."""
    found = []
    told = {name for pair in _PAIRS for name in pair if set(pair) <= set(row.detail)} | {"changes"}
    for name, value in row.detail.items():
        said = name in told or (name == "ip" and value == row.ip) or (name == "name" and value == label)
        if said or value in (None, "", [], {}):
            continue
        if isinstance(value, list):
            text = ", ".join(str(one) for one in value)
        elif isinstance(value, dict):
            text = ", ".join(f"{key} {inner}" for key, inner in value.items())
        else:
            text = {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
        short = shorter(text)
        found.append((name, short if len(short) <= 200 else short[:199] + "…", text[:500]))
    return found


def differences(row: AuditRow) -> list[tuple[str, str, str]]:
    """Return what a row says was changed: field, before and after."""
    found = row.detail.get("changes")
    rows = [tuple(map(str, one)) for one in found if isinstance(one, list) and len(one) == 3] if isinstance(found, list) else []
    for before, after in _PAIRS:
        if before in row.detail and after in row.detail:
            rows.append(("", str(row.detail[before]), str(row.detail[after])))
    return rows  # type: ignore[return-value]


def shorter(text: str) -> str:
    """Return a text whose ids and hashes are cut to what tells them apart."""
    return _HASH.sub(r"\1…", _ID.sub(r"\1…\2", text))


def _who(text: str, labels: dict[str, str]) -> str | None:
    """Return the name rows hold of who was typed: a person's or token's name, or the name itself."""
    if not text:
        return None
    return next((name for name, label in labels.items() if label == text), text)


def _target(text: str) -> str | None:
    """Return the id rows hold of what was typed: a server's name, or the id itself."""
    if not text or "_" in text[:5]:
        return text or None
    try:
        return servers.get(core(), actor(), text).id
    except NotFound:
        return text


def _day(given: dict[str, str], name: str) -> str | None:
    if given[name] and not _DAY.fullmatch(given[name]):
        raise InvalidInput(f"{name} is a day such as 2026-11-24.")
    return (given[name] + (" 00:00:00" if name == "since" else " 24")) if given[name] else None
