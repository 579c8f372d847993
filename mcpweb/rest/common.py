"""What the resources share: paging, bodies, jobs as answers, ETags."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Response, jsonify, make_response, request
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from mcpweb.dao import paging
from mcpweb.dao.jobs import Job
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.errors import BadRequest, InvalidInput, PreconditionRequired
from mcpweb.schemas.configurations import flatten
from mcpweb.schemas.objects import job_object
from mcpweb.services import jobs
from mcpweb.services.jobs import Idempotency
from mcpweb.web.identity import core
from mcpweb.web.limits import check_depth, throttle_jobs

WAIT_S = 0.8


class Query(Schema):
    """Base of all queries: unknown names are errors."""

    class Meta:
        unknown = RAISE

    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))
    cursor = fields.String(load_default=None)


class Body(Schema):
    class Meta:
        unknown = RAISE


def checked(schema: type[Schema]) -> dict[str, Any]:
    """Return the checked query as it came. Raises InvalidInput; given values never appear in the answer."""
    try:
        given: dict[str, Any] = schema().load(request.args.to_dict())
    except ValidationError as error:
        raise InvalidInput("The query is not valid.", errors=flatten(error.messages)) from None
    return given


def query(schema: type[Schema]) -> dict[str, Any]:
    """Return the checked query, its cursor read. Raises InvalidInput, BadCursor."""
    given = checked(schema)
    if given.get("cursor"):
        given["cursor"] = paging.decode(given["cursor"])
    return given


def body(schema: type[Schema]) -> dict[str, Any]:
    """Return the checked JSON body. Raises BadRequest, InvalidInput."""
    if request.mimetype != "application/json" and request.content_length:
        raise BadRequest("The body must be application/json.", code="not_json")
    data = request.get_json(silent=True) if request.content_length else {}
    if not isinstance(data, dict):
        raise BadRequest("The body must be a JSON object.", code="not_json")
    check_depth(data)
    try:
        loaded: dict[str, Any] = schema().load(data)
    except ValidationError as error:
        raise InvalidInput("The body is not valid.", errors=flatten(error.messages)) from None
    return loaded


def page(listing: Listing[Any], to_object: Callable[[Any], dict[str, Any]]) -> Response:
    """Return one page of a list."""
    return many((to_object(row) for row in listing.rows), listing.next)


def many(items: Iterable[dict[str, Any]], after: Cursor | str | None = None) -> Response:
    follow = paging.encode(after) if isinstance(after, Cursor) else after
    return jsonify({"items": list(items), "next": follow})


def one(value: dict[str, Any], status: int = 200, *, location: str = "", revision: int | None = None) -> Response:
    """Return one object, with its place and ETag where it has them."""
    response = make_response(jsonify(value), status)
    if location:
        response.headers["Location"] = location
    if revision is not None:
        response.set_etag(str(revision))
    return response


def expected_revision() -> int:
    """Return the revision in If-Match. Raises PreconditionRequired, InvalidInput."""
    given = request.headers.get("If-Match")
    if not given:
        raise PreconditionRequired()
    text = given.strip().removeprefix("W/").strip('"')
    return int(text) if text.isdigit() else -1


def idempotency() -> Idempotency | None:
    """Return the request's Idempotency-Key with a hash of what it asks for."""
    key = request.headers.get("Idempotency-Key")
    if not key:
        return None
    if len(key) > 200:
        raise InvalidInput("An Idempotency-Key has at most 200 characters.")
    return Idempotency.of(key, [request.method, request.path, request.get_json(silent=True)])


def asked(make: Callable[[], Job]) -> Response:
    """Create a job and answer with it: 200 when it is over within 800 ms, else 202."""
    throttle_jobs()
    return answered(make())


def answered(job: Job, wait_s: float = WAIT_S) -> Response:
    if not job.finished:
        job = jobs.wait(core(), job.id, wait_s)
    return one(job_object(job), 200 if job.finished else 202, location=f"/api/v1/jobs/{job.id}")
