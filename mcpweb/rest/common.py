"""What the resources share: what a route says of itself, paging, bodies, jobs as answers, ETags."""
from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flask import Response, current_app, jsonify, make_response, request
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from mcpweb.dao import paging
from mcpweb.dao.jobs import Job
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.errors import BadCursor, BadRequest, FieldError, InvalidInput, PreconditionRequired
from mcpweb.rest.told import Told, told
from mcpweb.schemas.configurations import flatten
from mcpweb.schemas.objects import job_object
from mcpweb.schemas.strict import AskedWhole, parsed
from mcpweb.services import jobs
from mcpweb.services.jobs import Idempotency
from mcpweb.web.identity import core
from mcpweb.web.limits import throttle_jobs

WAIT_S = 0.8
_LONGEST_CURSOR = 8000
__all__ = [
    "Asked", "Body", "Empty", "Page", "Query", "answered", "asked", "body", "checked", "cursor_of", "expected_revision", "few",
    "idempotency", "many", "one", "page", "place_of", "query", "told",
]


class Asked(Schema):
    """Base of queries: unknown names are errors."""

    class Meta:
        unknown = RAISE


class Query(Asked):
    """Base of queries of lists. ``prefix`` is what the ids of the list's rows begin with."""

    prefix = ""
    limit = AskedWhole(load_default=50, validate=validate.Range(1, 200), metadata={"description": "At most so many."})
    cursor = fields.String(load_default=None, metadata={"description": "Where the page begins: the `next` of the page before."})


class Page(Query):
    """A list that knows no filter."""


class Body(Schema):
    class Meta:
        unknown = RAISE


class Empty(Body):
    """A body that says nothing: absent, or an empty object."""


def _told() -> Told:
    found: Told = getattr(current_app.view_functions[request.endpoint or ""], "told")  # noqa: B009 - functions have no such member
    return found


def checked(schema: type[Schema] | None = None) -> dict[str, Any]:
    """Return the checked query as it came. Raises InvalidInput; given values never appear in the answer."""
    schema = schema or _told().query
    assert schema is not None, "the route says that it takes no query"
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        raise InvalidInput("The query is not valid.", errors=[FieldError(f"/{name[:100]}", "given twice") for name in twice[:20]])
    if any("\x00" in value for value in request.args.values()):
        raise InvalidInput("The query is not valid.", errors=[FieldError("", "a value holds a zero")])
    try:
        given: dict[str, Any] = schema().load(request.args.to_dict())
    except ValidationError as error:
        raise InvalidInput("The query is not valid.", errors=flatten(error.messages)) from None
    if given.get("cursor") == "":
        given["cursor"] = None
    return given


def query(schema: type[Schema] | None = None) -> dict[str, Any]:
    """Return the checked query, its cursor read. Raises InvalidInput, BadCursor for one that is damaged or of another list."""
    schema = schema or _told().query
    given = checked(schema)
    if given.get("cursor") is not None:
        cursor = paging.decode(given["cursor"])
        prefix = getattr(schema, "prefix", "")
        if prefix and cursor.id.partition("_")[0] != prefix:
            raise BadCursor("The cursor belongs to another list.")
        given["cursor"] = cursor
    return given


def body(schema: type[Schema] | None = None) -> dict[str, Any]:
    """Return the checked JSON body. Raises BadRequest, InvalidInput."""
    schema = schema or _told().body
    assert schema is not None, "the route says that it takes no body"
    if request.mimetype != "application/json" and request.content_length:
        raise BadRequest("The body must be application/json.", code="not_json")
    data = parsed(request.get_data()) if request.content_length else {}
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


def few(items: Iterable[dict[str, Any]], *key: str, **more: Any) -> Response:
    """Return one page of a list that is short enough to be read whole; ``key`` are the members that tell its rows apart."""
    given = checked()
    rows: Sequence[dict[str, Any]] = list(items)
    begin, limit = 0, given["limit"]
    if given["cursor"] is not None:
        after = place_of(given["cursor"], len(key))
        begin = next((at for at, row in enumerate(rows, 1) if [row[name] for name in key] == after), 0)
        if not begin:
            raise BadCursor("What the cursor stood for is gone.")
    shown = rows[begin : begin + limit]
    follow = cursor_of([shown[-1][name] for name in key]) if begin + limit < len(rows) else None
    return jsonify({"items": shown, "next": follow, **more})


def cursor_of(place: Sequence[Any]) -> str:
    """Return the cursor of a list whose rows are told apart by something else than time and id."""
    text = json.dumps([request.url_rule.rule if request.url_rule else "", *place])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(cursor: str, length: int) -> list[Any]:
    """Return what ``cursor_of`` was given. Raises BadCursor for anything else, and for the cursor of another list."""
    try:
        if len(cursor) > _LONGEST_CURSOR or not cursor.isascii():
            raise ValueError
        place: list[Any]
        rule, *place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise BadCursor("The cursor is damaged.") from None
    if len(place) != length or not all(isinstance(part, str | int) for part in place):
        raise BadCursor("The cursor is damaged.")
    if request.url_rule is None or rule != request.url_rule.rule:
        raise BadCursor("The cursor belongs to another list.")
    return place


def one(value: dict[str, Any], status: int = 200, *, location: str = "", revision: int | None = None) -> Response:
    """Return one object, with its place and ETag where it has them.

    The ETag is ``"<revision>.<digest>"``: If-Match looks at the revision alone, If-None-Match at the whole, so that a
    server whose status changed is not taken for an unchanged one.
    """
    response = make_response(jsonify(value), status)
    if location:
        response.headers["Location"] = location
    if revision is not None:
        response.set_etag(f"{revision}.{hashlib.sha256(response.get_data()).hexdigest()[:16]}")
    return response


def expected_revision() -> int:
    """Return the revision in If-Match, -1 for one we never gave. Raises PreconditionRequired."""
    given = request.headers.get("If-Match")
    if not given:
        raise PreconditionRequired()
    text = given.strip().removeprefix("W/").strip('"').partition(".")[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1


def idempotency() -> Idempotency | None:
    """Return the request's Idempotency-Key with a hash of what it asks for."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= 200:
        raise InvalidInput("An Idempotency-Key has from 1 to 200 characters.")
    return Idempotency.of(key, [request.method, request.path, request.get_json(silent=True)])


def asked(make: Callable[[], Job]) -> Response:
    """Create a job and answer with it: 200 when it is over within 800 ms, else 202."""
    throttle_jobs()
    return answered(make())


def answered(job: Job, wait_s: float = WAIT_S) -> Response:
    if not job.finished:
        job = jobs.wait(core(), job.id, wait_s)
    return one(job_object(job), 200 if job.finished else 202, location=f"/api/v1/jobs/{job.id}")
