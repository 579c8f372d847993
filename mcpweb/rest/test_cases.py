"""``test-cases``"""
from __future__ import annotations

from flask import Blueprint, Response
from marshmallow import fields

from mcpweb.rest.common import Body, Query, body, expected_revision, one, page, query, told
from mcpweb.schemas.answers import listing
from mcpweb.schemas.objects import test_case_object
from mcpweb.schemas.strict import AskedFlag, Flag
from mcpweb.services import test_cases
from mcpweb.web.identity import actor, core

bp = Blueprint("api_test_cases", __name__)


class CaseQuery(Query):
    prefix = "tcs"
    server_id = fields.String()
    tool_name = fields.String()
    is_active = AskedFlag()


class CaseChange(Body):
    name = fields.String()
    tool_name = fields.String()
    arguments = fields.Raw()
    assertions = fields.Raw()
    is_active = Flag()


class NewCase(Body):
    server_id = fields.String(required=True)
    name = fields.String(required=True)
    tool_name = fields.String(required=True)
    arguments = fields.Raw(load_default=dict)
    assertions = fields.Raw(required=True)
    is_active = Flag(load_default=True)


class Recording(Body):
    job_id = fields.String(required=True)
    name = fields.String(required=True)


@bp.get("/test-cases")
@told("test.view", listing("TestCase"), query=CaseQuery)
def index() -> Response:
    """List saved cases, newest first."""
    given = query()
    after = given.pop("cursor")
    return page(test_cases.listing(core(), actor(), after=after, **given), test_case_object)


@bp.post("/test-cases")
@told("test.edit", "TestCase", status=201, body=NewCase)
def create() -> Response:
    """Save a case."""
    given = body()
    row = test_cases.add(core(), actor(), given.pop("server_id"), **given)
    return one(test_case_object(row), 201, location=f"/api/v1/test-cases/{row.id}", revision=row.revision)


@bp.post("/test-cases/record")
@told("test.edit", "TestCase", status=201, body=Recording)
def record() -> Response:
    """Save the call of a job as a golden case: the same arguments must give the same answer."""
    given = body()
    row = test_cases.from_job(core(), actor(), given["job_id"], given["name"])
    return one(test_case_object(row), 201, location=f"/api/v1/test-cases/{row.id}", revision=row.revision)


@bp.get("/test-cases/<case_id>")
@told("test.view", "TestCase")
def show(case_id: str) -> Response:
    """Return one saved case."""
    row = test_cases.get(core(), actor(), case_id)
    return one(test_case_object(row), revision=row.revision)


@bp.patch("/test-cases/<case_id>")
@told("test.edit", "TestCase", body=CaseChange, if_match=True)
def change(case_id: str) -> Response:
    """Change a saved case; needs If-Match."""
    expect = expected_revision()
    row = test_cases.update(core(), actor(), case_id, expect=expect, **body())
    return one(test_case_object(row), revision=row.revision)


@bp.delete("/test-cases/<case_id>")
@told("test.edit")
def remove(case_id: str) -> Response:
    """Delete a saved case."""
    test_cases.remove(core(), actor(), case_id)
    return Response(status=204)
