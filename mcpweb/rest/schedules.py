"""``schedules``"""
from __future__ import annotations

from flask import Blueprint, Response
from marshmallow import fields

from mcpweb.rest.common import Body, Query, body, expected_revision, one, page, query, told
from mcpweb.schemas.answers import listing
from mcpweb.schemas.objects import schedule_object
from mcpweb.schemas.strict import AskedFlag, Flag
from mcpweb.services import schedules
from mcpweb.web.identity import actor, core

bp = Blueprint("api_schedules", __name__)


class ScheduleQuery(Query):
    prefix = "sch"
    server_id = fields.String()
    is_active = AskedFlag()


class ScheduleChange(Body):
    name = fields.String()
    types = fields.List(fields.String(), allow_none=True)
    configuration = fields.String(allow_none=True)
    profile = fields.String()
    parameters = fields.Dict()
    every_minutes = fields.Integer(strict=True, allow_none=True)
    on_new_image = Flag()
    is_active = Flag()


class NewSchedule(ScheduleChange):
    server_id = fields.String(required=True)
    name = fields.String(required=True)


@bp.get("/schedules")
@told("test.view", listing("Schedule"), query=ScheduleQuery)
def index() -> Response:
    """List schedules, newest first."""
    given = query()
    after = given.pop("cursor")
    return page(schedules.listing(core(), actor(), after=after, **given), schedule_object)


@bp.post("/schedules")
@told("test.edit", "Schedule", status=201, body=NewSchedule)
def create() -> Response:
    """Add a schedule: every so many minutes, on a new image, or both."""
    given = body()
    row = schedules.add(core(), actor(), given.pop("server_id"), **given)
    return one(schedule_object(row), 201, location=f"/api/v1/schedules/{row.id}", revision=row.revision)


@bp.get("/schedules/<schedule_id>")
@told("test.view", "Schedule")
def show(schedule_id: str) -> Response:
    """Return one schedule."""
    row = schedules.get(core(), actor(), schedule_id)
    return one(schedule_object(row), revision=row.revision)


@bp.patch("/schedules/<schedule_id>")
@told("test.edit", "Schedule", body=ScheduleChange, if_match=True)
def change(schedule_id: str) -> Response:
    """Change a schedule, or switch it on or off; needs If-Match."""
    expect = expected_revision()
    row = schedules.update(core(), actor(), schedule_id, expect=expect, **body())
    return one(schedule_object(row), revision=row.revision)


@bp.delete("/schedules/<schedule_id>")
@told("test.edit")
def remove(schedule_id: str) -> Response:
    """Delete a schedule; its runs stay."""
    schedules.remove(core(), actor(), schedule_id)
    return Response(status=204)
