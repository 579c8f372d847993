"""Saved cases and schedules of a server: lists, forms, and a golden case recorded from a call."""
from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb.dao.schedules import Schedule
from mcpweb.dao.test_cases import TestCase
from mcpweb.errors import Failure, FieldError, InvalidInput, NotFound
from mcpweb.schemas.test_cases import KINDS
from mcpweb.services import configurations, schedules, servers, test_cases
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import check_depth
from mcpweb.web.permissions import permission
from mcpweb.web.servers import tab

bp = Blueprint("test_cases", __name__, url_prefix="/servers/<server_id>/tests")

_MOST = 200
EVERY = (("hours", 60), ("days", 1440), ("minutes", 1))
EXAMPLE = [{"kind": "is_error", "value": False}, {"kind": "regex", "path": "$.content[0].text", "value": "."}]


# Saved cases


@bp.get("/cases")
@permission("test.view")
def cases(server_id: str) -> Response:
    rows = test_cases.listing(core(), actor(), server_id=server_id, limit=_MOST).rows
    return tab(server_id, "tests", body="test_cases/_index.html", cases=rows)


@bp.get("/cases/new")
@permission("test.edit")
def new_case(server_id: str) -> Response:
    given = {"tool_name": request.args.get("tool", ""), "arguments": "{}", "assertions": _text(EXAMPLE), "is_active": "on"}
    return _case_form(server_id, None, given)


@bp.post("/cases")
@permission("test.edit")
def add_case(server_id: str) -> Response:
    given = request.form.to_dict()
    try:
        test_cases.add(core(), actor(), server_id, **_case_fields(given))
    except Failure as failure:
        return _case_form(server_id, None, given, failure)
    return _back("test_cases.cases", server_id)


@bp.post("/cases/record")
@permission("test.edit")
def record(server_id: str) -> Response:
    """Keep the call of a job as a golden case."""
    case = test_cases.from_job(core(), actor(), request.form.get("job", ""), request.form.get("name", "").strip())
    return redirect(url_for("test_cases.edit_case", server_id=server_id, case_id=case.id), 303)  # type: ignore[return-value]


@bp.get("/cases/<case_id>")
@permission("test.view")
def edit_case(server_id: str, case_id: str) -> Response:
    case = _case(server_id, case_id)
    given = {
        "name": case.name, "tool_name": case.tool_name, "arguments": _text(case.arguments), "assertions": _text(case.assertions),
        "revision": str(case.revision), "is_active": "on" if case.is_active else "",
    }
    return _case_form(server_id, case, given)


@bp.post("/cases/<case_id>")
@permission("test.edit")
def change_case(server_id: str, case_id: str) -> Response:
    case = _case(server_id, case_id)
    given = request.form.to_dict()
    try:
        test_cases.update(core(), actor(), case.id, expect=_revision(given), **_case_fields(given))
    except Failure as failure:
        return _case_form(server_id, case, given, failure)
    return _back("test_cases.cases", server_id)


@bp.post("/cases/<case_id>/remove")
@permission("test.edit")
def remove_case(server_id: str, case_id: str) -> Response:
    test_cases.remove(core(), actor(), _case(server_id, case_id).id)
    return _back("test_cases.cases", server_id)


def _case(server_id: str, case_id: str) -> TestCase:
    case = test_cases.get(core(), actor(), case_id)
    if case.server_id != servers.get(core(), actor(), server_id).id:
        raise NotFound(f"The server has no test case {case_id}.")
    return case


def _case_form(server_id: str, case: TestCase | None, given: dict[str, str], failure: Failure | None = None) -> Response:
    return tab(
        server_id, "tests", body="test_cases/_form.html", http_status=failure.status if failure else 200, case=case, form=given,
        failure=failure, faults=_faults(failure), kinds=KINDS,
        tools=[tool.name for tool in servers.tools_of(core(), actor(), server_id)],
    )


def _case_fields(given: dict[str, str]) -> dict[str, Any]:
    return {
        "name": given.get("name", "").strip(), "tool_name": given.get("tool_name", "").strip(),
        "arguments": _document(given, "arguments"), "assertions": _document(given, "assertions"),
        "is_active": bool(given.get("is_active")),
    }


def _document(given: dict[str, str], name: str) -> Any:
    try:
        value = json.loads(given.get(name) or "null")
        check_depth(value)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is not JSON: {error}.", errors=[FieldError(f"/{name}", "not JSON")]) from None
    return value


# Schedules


@bp.get("/schedules")
@permission("test.view")
def plans(server_id: str) -> Response:
    rows = schedules.listing(core(), actor(), server_id=server_id, limit=_MOST).rows
    return tab(server_id, "tests", body="test_cases/_schedules.html", schedules=rows)


@bp.get("/schedules/new")
@permission("test.edit")
def new_plan(server_id: str) -> Response:
    return _plan_form(server_id, None, {"every": "1", "unit": "days", "profile": "quick", "is_active": "on"}, [])


@bp.post("/schedules")
@permission("test.edit")
def add_plan(server_id: str) -> Response:
    given, types = request.form.to_dict(), request.form.getlist("type")
    try:
        schedules.add(core(), actor(), server_id, **_plan_fields(given, types))
    except Failure as failure:
        return _plan_form(server_id, None, given, types, failure)
    return _back("test_cases.plans", server_id)


@bp.get("/schedules/<schedule_id>")
@permission("test.view")
def edit_plan(server_id: str, schedule_id: str) -> Response:
    plan = _plan(server_id, schedule_id)
    whole = [one for one in (EVERY[1], EVERY[0]) if plan.every_minutes and plan.every_minutes % one[1] == 0]
    unit, size = whole[0] if whole else ("minutes", 1)
    given = {
        "name": plan.name, "every": str(plan.every_minutes // size) if plan.every_minutes else "", "unit": unit,
        "profile": plan.profile, "configuration": plan.configuration or "", "on_new_image": "on" if plan.on_new_image else "",
        "is_active": "on" if plan.is_active else "", "revision": str(plan.revision),
    }
    return _plan_form(server_id, plan, given, plan.types)


@bp.post("/schedules/<schedule_id>")
@permission("test.edit")
def change_plan(server_id: str, schedule_id: str) -> Response:
    plan = _plan(server_id, schedule_id)
    given, types = request.form.to_dict(), request.form.getlist("type")
    try:
        schedules.update(core(), actor(), plan.id, expect=_revision(given), **_plan_fields(given, types))
    except Failure as failure:
        return _plan_form(server_id, plan, given, types, failure)
    return _back("test_cases.plans", server_id)


@bp.post("/schedules/<schedule_id>/remove")
@permission("test.edit")
def remove_plan(server_id: str, schedule_id: str) -> Response:
    schedules.remove(core(), actor(), _plan(server_id, schedule_id).id)
    return _back("test_cases.plans", server_id)


def _plan(server_id: str, schedule_id: str) -> Schedule:
    plan = schedules.get(core(), actor(), schedule_id)
    if plan.server_id != servers.get(core(), actor(), server_id).id:
        raise NotFound(f"The server has no schedule {schedule_id}.")
    return plan


def _plan_form(
    server_id: str, plan: Schedule | None, given: dict[str, str], types: list[str], failure: Failure | None = None
) -> Response:
    return tab(
        server_id, "tests", body="test_cases/_schedule.html", http_status=failure.status if failure else 200, plan=plan,
        form=given, chosen=types, failure=failure, faults=_faults(failure), units=[unit for unit, _ in EVERY],
        types=list(core().test_types.values()),
        configurations=configurations.listing(core(), actor(), server_id=server_id, limit=_MOST).rows,
    )


def _plan_fields(given: dict[str, str], types: list[str]) -> dict[str, Any]:
    text = given.get("every", "").strip()
    if text and not (text.isascii() and text.isdigit() and len(text) < 8):
        raise InvalidInput("The interval is a whole number.", errors=[FieldError("/every_minutes", "a whole number")])
    return {
        "name": given.get("name", "").strip(), "types": types, "profile": given.get("profile", "quick"),
        "configuration": given.get("configuration") or None, "is_active": bool(given.get("is_active")),
        "every_minutes": int(text) * dict(EVERY).get(given.get("unit", ""), 1) if text else None,
        "on_new_image": bool(given.get("on_new_image")),
    }


# Both


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _revision(given: dict[str, str]) -> int | None:
    text = given.get("revision", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _faults(failure: Failure | None) -> dict[str, str]:
    """Return the first fault of each field of the form."""
    found: dict[str, str] = {}
    for error in failure.errors if failure else ():
        found.setdefault(error.pointer.split("/")[1] if "/" in error.pointer else "", error.detail)
    return found


def _back(endpoint: str, server_id: str) -> Response:
    return redirect(url_for(endpoint, server_id=server_id), 303)  # type: ignore[return-value]
