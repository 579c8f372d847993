"""The security tab of a server: what changed since it was approved, what its tests found, and what is accepted."""
from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb import clock
from mcpweb.contracts import SEVERITIES
from mcpweb.dao.findings import Finding
from mcpweb.dao.pins import PinChange
from mcpweb.dao.test_results import TestResult
from mcpweb.errors import Failure, FieldError, InvalidInput, NotFound
from mcpweb.schemas.definitions import MOST_CHANGES, visible
from mcpweb.services import findings, pins, servers, test_runs
from mcpweb.web.checks import checks, titles
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done
from mcpweb.web.servers import tab

bp = Blueprint("security", __name__, url_prefix="/servers/<server_id>/security")
MOST_FINDINGS = 300
MOST_ITEMS = 50
MOST_PINS = 500
_LONGEST = 20_000
_AROUND = 120  # characters shown on both sides of what changed in a long text
Part = tuple[str, bool]


@dataclass(frozen=True)
class Field:
    """One place that differs, ready to look at: parts of text, and whether each is what changed."""

    pointer: str
    before: list[Part] | None
    after: list[Part] | None


@dataclass(frozen=True)
class Item:
    """One thing that is not what was approved."""

    kind: str
    name: str
    change: str
    seen_at: str
    digest: str
    fields: list[Field]
    cut: bool

    @property
    def shown(self) -> str:
        return visible(self.name)


@bp.get("")
@permission("test.view")
def index(server_id: str) -> Response:
    server = servers.get(core(), actor(), server_id)
    overview = pins.overview(core(), actor(), server.id)
    standing = findings.standing(core(), actor(), server.id, MOST_FINDINGS)
    changed = pins.changes(core(), actor(), server.id) if overview.differs else []
    return tab(
        server_id, "security", pinned=overview, items=_items(server.id, changed), more=max(0, len(changed) - MOST_ITEMS),
        approved=pins.listing(core(), actor(), server.id)[:MOST_PINS], groups=_groups(standing),
        cut=len(standing) == MOST_FINDINGS,
        accepted=[one for one in standing if one.state == "accepted"], titles=titles(),
        fixed=findings.listing(core(), actor(), server_id=server.id, state="fixed", limit=10).rows,
        tested=bool(test_runs.listing(core(), actor(), server_id=server.id, limit=1).rows),
    )


@bp.post("/approve")
@permission("pin.approve")
def approve(server_id: str) -> Response:
    """Approve one thing, or everything that the page showed; refused when it is something else by now."""
    names = request.form.getlist("name") or None
    pins.approve(core(), actor(), server_id, names, expect=request.form.get("expect") or None)
    return done(url_for("security.index", server_id=server_id), event="server-changed")


@bp.post("/policy")
@permission("pin.approve")
def policy(server_id: str) -> Response:
    pins.set_policy(core(), actor(), server_id, request.form.get("policy", ""))
    return done(url_for("security.index", server_id=server_id), event="server-changed")


@bp.get("/findings/<finding_id>")
@permission("test.view")
def show(server_id: str, finding_id: str) -> Response:
    return _show(server_id, _of(server_id, finding_id))


@bp.post("/findings/<finding_id>/accept")
@permission("finding.accept")
def accept(server_id: str, finding_id: str) -> Response:
    finding = _of(server_id, finding_id)
    form = request.form
    try:
        findings.accept(core(), actor(), finding.id, reason=form.get("reason", ""), until=_end_of(form.get("until", "")))
    except Failure as failure:
        return _show(server_id, finding, failure)
    return redirect(url_for("security.show", server_id=server_id, finding_id=finding.id), 303)  # type: ignore[return-value]


@bp.post("/findings/<finding_id>/withdraw")
@permission("finding.accept")
def withdraw(server_id: str, finding_id: str) -> Response:
    finding = _of(server_id, finding_id)
    findings.withdraw(core(), actor(), finding.id)
    return redirect(url_for("security.show", server_id=server_id, finding_id=finding.id), 303)  # type: ignore[return-value]


def _show(server_id: str, finding: Finding, failure: Failure | None = None) -> Response:
    day = clock.later(findings.DEFAULT_DAYS * 86400)[:10]
    return tab(
        server_id, "security", body="servers/_finding.html", http_status=failure.status if failure else 200, finding=finding,
        result=_result(finding), check=checks().get(finding.check_id), failure=failure, form=request.form, day=day,
        first_day=clock.later(86400)[:10], last_day=clock.later(findings.MOST_DAYS * 86400)[:10],
    )


def _of(server_id: str, finding_id: str) -> Finding:
    server, finding = servers.get(core(), actor(), server_id), findings.get(core(), actor(), finding_id)
    if finding.server_id != server.id:
        raise NotFound(f"{server.name} has no finding {finding_id}.")
    return finding


def _result(finding: Finding) -> TestResult | None:
    """Return the newest result that shows a finding, None when it was cleared away."""
    try:
        return test_runs.result(core(), actor(), finding.result_id)
    except NotFound:
        return None


def _end_of(day: str) -> str:
    """Return the end of a day. Raises InvalidInput."""
    text = f"{day.strip()} 23:59:59.999"
    try:
        clock.parse(text)
    except ValueError:
        fault = FieldError("/until", "a day")
        raise InvalidInput("A finding is accepted with a reason and for a time that ends.", errors=[fault]) from None
    return text


def _groups(found: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    """Return open findings by severity, the worst first."""
    by: dict[str, list[Finding]] = {}
    for one in found:
        if one.state == "open":
            by.setdefault(one.severity, []).append(one)
    return [(severity, by[severity]) for severity in reversed(SEVERITIES) if severity in by]


def _items(server_id: str, changed: list[PinChange]) -> list[Item]:
    if not changed:
        return []
    by: dict[tuple[str, str], list[pins.FieldDiff]] = {}
    for one in pins.diff(core(), actor(), server_id):
        by.setdefault((one.kind, one.name), []).append(one)
    rank = {"changed": 0, "added": 1, "removed": 2}
    order = sorted(changed, key=lambda row: (rank[row.change], pins.KINDS.index(row.kind), row.name))  # type: ignore[arg-type]
    return [
        Item(row.kind, row.name, row.change, row.seen_at, pins.digest_of([row]), [_field(one) for one in fields],
             len(fields) >= MOST_CHANGES)
        for row in order[:MOST_ITEMS] for fields in (by.get((row.kind, row.name), []),)
    ]


def _field(diff: pins.FieldDiff) -> Field:
    pointer = visible(diff.pointer)
    if diff.change == "added" or (diff.change == "changed" and diff.before is None):
        return Field(pointer, None, [(_text(diff.after), False)])
    if diff.change == "removed" or (diff.change == "changed" and diff.after is None):
        return Field(pointer, [(_text(diff.before), False)], None)
    return Field(pointer, *contrast(_text(diff.before), _text(diff.after)))


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return visible(text[:_LONGEST] + "…" if len(text) > _LONGEST else text)


def contrast(before: str, after: str) -> tuple[list[Part], list[Part]]:
    """Return two texts in parts: what they begin and end with alike, and between it what changed."""
    start = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other),
                 min(len(before), len(after)))
    most = min(len(before), len(after)) - start
    end = next((at for at in range(most) if before[-1 - at] != after[-1 - at]), most)
    head, tail = before[:start], before[len(before) - end:] if end else ""
    if len(head) > _AROUND:
        head = "…" + head[-_AROUND:]
    if len(tail) > _AROUND:
        tail = tail[:_AROUND] + "…"
    middles = before[start:len(before) - end], after[start:len(after) - end]
    one, other = ([part for part in ((head, False), (middle, True), (tail, False)) if part[0]] for middle in middles)
    return one, other
