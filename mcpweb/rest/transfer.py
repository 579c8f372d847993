"""``catalog/import``, ``export`` and ``import``"""
from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from marshmallow import fields, validate

from mcpweb import catalogs
from mcpweb.catalogs import Draft
from mcpweb.contracts import Sensitive
from mcpweb.errors import BadRequest, FieldError, InvalidInput, NotFound
from mcpweb.rest.common import Asked, Body, asked, body, checked, idempotency, one, told
from mcpweb.schemas.answers import FLAG, OBJECT, TEXT, WHOLE, arrays, maybe, ref, thing
from mcpweb.schemas.objects import server_object
from mcpweb.schemas.strict import NAMED, AskedFlag, Flag
from mcpweb.schemas.transfer import SetupSchema
from mcpweb.services import imports, setup, transfer
from mcpweb.services.imports import PROPOSALS, Answers, SecretAnswer
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import large

bp = Blueprint("api_transfer", __name__)

_TEXTS = dict.fromkeys("key name image why_not recipe title description transport path user network".split(), TEXT)
DRAFT = thing(
    **_TEXTS, port=maybe(WHOLE), entrypoint=arrays(TEXT), command=arrays(TEXT), tools=arrays(TEXT), about=OBJECT,
    mounts=arrays(thing(type=TEXT, source=TEXT, target=TEXT, read_only=FLAG)),
    variables=arrays(thing(name=TEXT, value=TEXT, required=FLAG, choices=arrays(TEXT), description=TEXT)),
    parameters=arrays(thing(key=TEXT, type=TEXT, required=FLAG, default=TEXT, choices=arrays(TEXT), description=TEXT)),
    secrets=arrays(thing(variable=TEXT, name=TEXT, required=FLAG, description=TEXT)),
    lost=arrays(thing(where=TEXT, code=TEXT, why=TEXT)),
)
READING = thing(format=TEXT, items=arrays(DRAFT), server=maybe(ref("Server")))


class SecretBody(Body):
    """One of: a value, the id of a secret there is, the value that stood in the text, or nothing yet."""

    value = fields.String()
    secret = fields.String()
    given = Flag(load_default=False)
    later = Flag(load_default=False)
    required = Flag(load_default=True)
    delivery = fields.String(load_default="stdin", validate=validate.OneOf(["stdin", "file", "environment"]))


class ChoiceBody(Body):
    name = fields.String(validate=NAMED)
    image = fields.String()
    description = fields.String(load_default="", validate=validate.Length(max=500))
    transport = fields.String(validate=validate.OneOf(["stdio", "http"]))
    port = fields.Integer(strict=True, allow_none=True)
    path = fields.String()
    values = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    environment = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    secrets = fields.Dict(keys=fields.String(), values=fields.Nested(SecretBody), load_default=dict)
    accept = fields.List(fields.String(validate=validate.OneOf(PROPOSALS)), load_default=list)
    writable = Flag(load_default=False)


class ReadBody(Body):
    text = fields.String(required=True)
    tools = fields.String(load_default="", metadata={"description": "The tools.json beside a server.yaml."})
    key = fields.String(metadata={"description": "Which of several servers is meant."})
    server = fields.Nested(ChoiceBody, metadata={"description": "Add the server, filled in like this."})


class ImportQuery(Asked):
    dry_run = AskedFlag(load_default=False)
    conflict = fields.String(load_default="refuse", validate=validate.OneOf(setup.STRATEGIES))


@bp.post("/catalog/import")
@told("server.edit", READING, body=ReadBody)
@large
def read() -> Response:
    """Read a text into drafts of servers; with ``server`` one of them is added."""
    given = body()
    found = catalogs.read(given["text"], tools=given["tools"])
    drafts = [draft for draft in found.drafts if given.get("key") in (None, draft.key)]
    if not drafts:
        raise NotFound("The text has no such server.", errors=[FieldError("/key", "not in the text")])
    answer: dict[str, Any] = {"format": found.format, "items": [draft.to_json() for draft in drafts], "server": None}
    if "server" not in given:
        return one(answer)
    if len(drafts) > 1:
        raise InvalidInput("The text has several servers.", errors=[FieldError("/key", "say which one")])
    server = imports.install(core(), actor(), drafts[0], _answers(drafts[0], given["server"]), kind=found.format)
    return one(answer | {"server": server_object(server)}, location=f"/api/v1/servers/{server.id}")


def _answers(draft: Draft, given: dict[str, Any]) -> Answers:
    told_values = {one.key: one.default for one in draft.parameters}
    environment = {one.name: one.value for one in draft.variables} | given["environment"]
    stood = {one.variable: one.given for one in draft.secrets}
    return Answers(
        name=given.get("name", draft.name), image=given.get("image", draft.image), description=given["description"],
        transport=given.get("transport", draft.transport), port=given.get("port", draft.port), path=given.get("path", draft.path),
        values=told_values | given["values"], environment=environment,
        accept=frozenset(given["accept"]), writable=given["writable"],
        secrets={name: _secret(name, said, stood.get(name)) for name, said in given["secrets"].items()},
    )


def _secret(name: str, said: dict[str, Any], stood: Sensitive | None) -> SecretAnswer:
    ways = [way for way in ("value", "secret", "given", "later") if said.get(way)]
    if len(ways) != 1 or (ways == ["given"] and stood is None):
        detail = "there was no value in the text" if ways == ["given"] else "one of value, secret, given and later"
        raise InvalidInput("A secret is not given as it should be.", errors=[FieldError(f"/server/secrets/{name[:100]}", detail)])
    value = Sensitive(said["value"]) if ways == ["value"] else stood if ways == ["given"] else None
    return SecretAnswer(value, said.get("secret", ""), said["required"], said["delivery"])


@bp.get("/export")
@told("settings.view", OBJECT)
def export() -> Response:
    """Return the whole set-up: servers, configurations, bindings, cases, schedules; secrets by name only."""
    return one(transfer.export(core(), actor()))


@bp.post("/import")
@told("settings.edit", query=ImportQuery, body=SetupSchema, job=True)
@large
def take() -> Response:
    """Import a set-up, all of it or nothing; the job's result says what was added and which secrets are to be filled in."""
    given = checked()
    if request.mimetype != "application/json":
        raise BadRequest("The body must be application/json.", code="not_json")
    try:
        text = request.get_data().decode()
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.", code="not_json") from None
    return asked(lambda: transfer.request(
        core(), actor(), text, strategy=given["conflict"], dry_run=given["dry_run"], idempotency=idempotency()
    ))
