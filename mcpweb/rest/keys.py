"""``keys``"""
from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response
from marshmallow import fields, validate

from mcpweb.contracts import Sensitive
from mcpweb.rest.common import Body, Empty, Page, asked, body, few, idempotency, one, told
from mcpweb.schemas.answers import OBJECT, TEXT, WHOLE, by_name, listing, thing
from mcpweb.schemas.objects import key_object
from mcpweb.schemas.strict import Flag
from mcpweb.services import keycheck, keydestroy, keys
from mcpweb.web.identity import actor, core

bp = Blueprint("api_keys", __name__)


class NewKey(Body):
    name = fields.String(required=True)
    cipher = fields.String(load_default="A256GCM")
    source = fields.String(load_default=None, allow_none=True)


class Rotate(Body):
    compromised = Flag(load_default=False)


class Passphrase(Body):
    passphrase = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 4096))


class Destruction(Body):
    version = fields.Integer(required=True, strict=True, validate=validate.Range(1, 1_000_000_000))
    force = Flag(load_default=False, metadata={"description": "Even though backups that need it are still there."})


@bp.get("/keys")
@told("key.view", listing("Key"), query=Page)
def index() -> Response:
    """List the keys with their versions; no material."""
    return few((key_object(facts) for facts in keys.listing(core(), actor())), "id")


@bp.post("/keys")
@told("key.manage", "Key", status=201, body=NewKey)
def create() -> Response:
    """Add a named key."""
    facts = keys.add(core(), actor(), **body())
    return one(key_object(facts), 201, location=f"/api/v1/keys/{facts.key.key_name}")


@bp.get("/keys/<name>")
@told("key.view", "Key")
def show(name: str) -> Response:
    """Return one key."""
    return one(key_object(keys.get(core(), actor(), name)))


@bp.post("/keys/<name>/rotate")
@told("key.manage", job=True, body=Rotate)
def rotate(name: str) -> Response:
    """Make a new version active; the job brings every secret to it."""
    given = body()
    return asked(lambda: keys.rotate(core(), actor(), name, compromised=given["compromised"], idempotency=idempotency()))


@bp.post("/keys/<name>/destroy")
@told("key.manage", OBJECT, body=Destruction)
def destroy(name: str) -> Response:
    """Destroy a retired version for good; the answer is the signed evidence, and says what was left undone."""
    given = body()
    return one(keydestroy.destroy(core(), actor(), name, given["version"], force=given["force"]))


@bp.post("/keys/rotate-kek")
@told("key.manage", thing(keks=by_name(TEXT), versions=WHOLE), body=Empty)
def rotate_kek() -> Response:
    """Put all keys under a new key-encryption key; the earlier one stays for backups."""
    body()
    return one(keys.rotate_kek(core(), actor()))


@bp.post("/keys/verify")
@told("key.manage", job=True, body=Empty)
def verify() -> Response:
    """Open every secret once; the job's result says exactly which is not what was written."""
    body()
    return asked(lambda: keycheck.request_verify(core(), actor(), idempotency()))


@bp.post("/keys/unlock")
@told("key.manage", "VaultState", body=Passphrase)
def unlock() -> Response:
    """Look at the key sources again, without a restart; a passphrase goes to the processes' memory and nowhere else."""
    passphrase = body()["passphrase"]
    return one(asdict(keys.unlock(core(), actor(), Sensitive(passphrase) if passphrase else None)))
