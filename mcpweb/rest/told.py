"""What a route says of itself: its permission, what it takes and what it answers. The document and the checks both read it."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Response, request
from marshmallow import Schema

from mcpweb.errors import FieldError, InvalidInput
from mcpweb.schemas.answers import Shape, ref
from mcpweb.services.access import PERMISSIONS
from mcpweb.web.permissions import permission

View = TypeVar("View", bound=Callable[..., Response])

# status: what it means here; the problem's ``code`` says more
PROBLEMS = {
    400: "The request cannot be read: no JSON object, nested too deeply, a host name that is not answered.",
    401: "No credential, or a bad one.",
    403: "Signed in, but without the permission; code step_up: confirm the password first.",
    404: "There is no such thing.",
    409: "It does not fit the state things are in.",
    411: "The body has no Content-Length.",
    412: "Somebody changed it meanwhile: If-Match names an earlier revision.",
    413: "The body is too large.",
    422: "A field, a parameter or a cursor is wrong; errors name each place.",
    428: "If-Match is missing.",
    429: "Too many jobs in a minute; Retry-After says when to come back.",
    503: "The engine, the vault or the worker is away.",
    507: "The disk is full; nothing was changed.",
}
RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_LOCATION = {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}
_ETAG = {"ETag": {"description": "For If-None-Match; of what has a revision also for If-Match.", "schema": {"type": "string"}}}


@dataclass(frozen=True)
class Told:
    """``gives`` is the shape of the answer, None when it has no body; ``media`` its type; ``other`` are further ones."""

    permission: str
    gives: Shape | None
    status: int
    query: type[Schema] | None
    body: type[Schema] | None
    is_job: bool
    if_match: bool
    media: str
    changes: bool
    other: Mapping[str, Shape]
    also: tuple[int, ...]


def told(
    permission_name: str,
    gives: Shape | str | None = None,
    *,
    status: int = 200,
    query: type[Schema] | None = None,
    body: type[Schema] | None = None,
    job: bool = False,
    if_match: bool = False,
    media: str = "application/json",
    changes: bool = False,
    other: Mapping[str, Shape] | None = None,
    also: Sequence[int] = (),
) -> Callable[[View], View]:
    """Tag a view with its permission, and say what it takes and gives.

    A query where none is told is refused, and GETs answer 304 to who has the newest already.
    """
    shape = ref("Job") if job else ref(gives) if isinstance(gives, str) else gives
    changes = changes or body is not None or job or if_match or shape is None
    said = Told(
        permission_name, shape, 204 if shape is None else status, query, body, job, if_match, media, changes, other or {},
        tuple(also),
    )

    def tag(view: View) -> View:
        @functools.wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Response:
            if query is None and request.args:
                faults = [FieldError(f"/{name[:100]}", "Unknown field.") for name in list(request.args)[:20]]
                raise InvalidInput("This takes no query.", errors=faults)
            response = view(*args, **kwargs)
            if request.method in ("GET", "HEAD") and response.status_code == 200 and not response.is_streamed:
                response.add_etag(weak=True)
                tag = response.get_etag()[0]
                if tag is not None and request.if_none_match.contains_weak(tag):
                    return Response(status=304, headers={"ETag": response.headers["ETag"]})
            return response

        guarded.told = said  # type: ignore[attr-defined]
        return permission(permission_name)(guarded)  # type: ignore[return-value]

    return tag


def described(view: Callable[..., Any], said: Told) -> dict[str, Any]:
    """Return the operation as the document has it, its schemas still classes."""
    area = view.__module__.rpartition(".")[2]
    operation: dict[str, Any] = {
        "operationId": f"{area}.{view.__name__}", "summary": (inspect.getdoc(view) or "").partition("\n")[0].replace("``", "`"),
        "x-permission": said.permission, "x-least-role": PERMISSIONS[said.permission],
        "responses": _answers(view, said),
        "parameters": [],
    }
    if said.query is not None:
        operation["parameters"].append({"in": "query", "schema": said.query})
    if said.if_match:
        operation["parameters"].append({
            "in": "header", "name": "If-Match", "required": True, "schema": {"type": "string", "minLength": 1},
            "description": "The ETag of what was read.",
        })
    if said.is_job:
        operation["parameters"].append({
            "in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            "description": "The same key and body within 24 hours give the same job.",
        })
    if said.body is not None:
        needed = any(one.required for one in said.body().fields.values())
        operation["requestBody"] = {"required": needed, "content": {"application/json": {"schema": said.body}}}
    return operation


def _answers(view: Callable[..., Any], said: Told) -> dict[str, Any]:
    reads = not said.changes
    shapes = {} if said.gives is None else {said.media: said.gives, **said.other}
    content = {"content": {media: {"schema": shape} for media, shape in shapes.items()}} if shapes else {}
    found: dict[str, Any] = {}
    if said.is_job:
        found["200"] = {"description": "The job is over.", "headers": _LOCATION, **content}
        found["202"] = {"description": "The job goes on; ask its Location.", "headers": _LOCATION, **content}
    elif said.status == 201:
        found["201"] = {"description": "It is there now.", "headers": _LOCATION, **content}
    elif said.status == 204:
        found["204"] = {"description": "It is done."}
    else:
        found["200"] = {"description": "As asked.", **({"headers": _ETAG} if reads else {}), **content}
        if reads:
            found["304"] = {"description": "Nothing changed since the ETag in If-None-Match."}
    statuses = {400, 401, 403, 422, 503, *said.also}
    if inspect.signature(view).parameters or said.query is not None:
        statuses.add(404)
    if not reads:
        statuses |= {404, 409, 411, 413, 507}
    if said.if_match:
        statuses |= {412, 428}
    if said.is_job:
        statuses.add(429)
    for status in sorted(statuses):
        found[str(status)] = {"description": PROBLEMS[status]}
    return found
