"""Secrets: masked lists, values that go in and are shown to nobody but an admin who gives the password, bindings."""
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb.contracts import Sensitive
from mcpweb.dao import paging
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.secrets import Secret
from mcpweb.errors import Failure, FieldError, InvalidInput, Unauthenticated
from mcpweb.services import bindings, configurations, health, secrets, servers, stepup
from mcpweb.web.identity import actor, core
from mcpweb.web.language import _
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, may, respond
from mcpweb.web.session import with_session

bp = Blueprint("secrets", __name__)
SCOPES = ("global", "server", "configuration")
STATES: dict[str, dict[str, Any]] = {
    "active": {"is_active": True}, "inactive": {"is_active": False},
    "expiring": {"is_active": True, "expires_within_s": secrets.SOON_S},
    "expired": {"is_active": True, "expires_within_s": 0.0}, "unused": {"unused": True},
}
SHOWN_S = 30
_FILTERS = ("name", "scope", "state")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MOST = 200  # servers and configurations to choose from


@dataclass(frozen=True)
class Owner:
    """What a secret belongs to, as pages name it."""

    name: str
    url: str


@dataclass(frozen=True)
class Choice:
    """A server with its configurations, to choose from."""

    id: str
    name: str
    configurations: tuple[Configuration, ...]


@bp.get("/secrets")
@permission("secret.view")
def index() -> Response:
    cursor = request.args.get("cursor", "")
    given = {name: request.args.get(name, "").strip()[:100] for name in _FILTERS}
    if given["scope"] not in ("", *SCOPES) or given["state"] not in ("", *STATES):
        raise InvalidInput(f"scope is one of {', '.join(SCOPES)}, state one of {', '.join(STATES)}.")
    listing = secrets.listing(
        core(), actor(), after=paging.decode(cursor) if cursor else None, scope=given["scope"] or None,
        name=given["name"] or None, **STATES.get(given["state"], {}),
    )
    used = {name: value for name, value in given.items() if value}
    return respond(
        "secrets/index.html", http_status=_status(), listing=listing, cursor=cursor, filters=given, filtered=bool(used),
        next=paging.encode(listing.next) if listing.next else "", url="/secrets" + (f"?{urlencode(used)}" if used else ""),
        scopes=SCOPES, states=_states(), fingerprint=secrets.fingerprint, owners=_owners(_choices(), listing.rows),
        used_by=bindings.counts(core(), actor(), [row.id for row in listing.rows]),
    )


def _states() -> dict[str, str]:
    return {
        "active": _("active"), "inactive": _("inactive"), "expiring": _("expires within two weeks"), "expired": _("expired"),
        "unused": _("used by nothing"),
    }


@bp.get("/secrets/new")
@permission("secret.edit")
def new() -> Response:
    return _new({"owner": request.args.get("owner", "")}, None)


@bp.post("/secrets")
@permission("secret.edit")
def create() -> Response:
    form = request.form.to_dict()
    scope, _colon, owner_id = form.get("owner", "global").partition(":")
    try:
        secret = secrets.add(
            core(), actor(), name=form.get("name", "").strip(), value=_value(), scope=scope,  # type: ignore[arg-type]
            owner_id=owner_id, description=form.get("description", "").strip()[:500], expires_at=_expires(form),
            key_name=form.get("key") or "main",
        )
    except Failure as failure:
        return _new(form, failure)
    return _to(secret.id)


@bp.get("/secrets/<secret_id>")
@permission("secret.view")
def show(secret_id: str) -> Response:
    return _page(secret_id)


@bp.post("/secrets/<secret_id>")
@permission("secret.edit")
def describe(secret_id: str) -> Response:
    form = request.form.to_dict()
    try:
        secrets.describe(
            core(), actor(), secret_id, description=form.get("description", "").strip()[:500], expires_at=_expires(form)
        )
    except InvalidInput as failure:
        return _page(secret_id, failure=failure)
    return _to(secret_id)


@bp.post("/secrets/<secret_id>/replace")
@permission("secret.edit")
def replace(secret_id: str) -> Response:
    try:
        secrets.replace(core(), actor(), secret_id, _value())
    except InvalidInput as failure:
        return _page(secret_id, failure=failure)
    return _to(secret_id)


@bp.post("/secrets/<secret_id>/activate")
@permission("secret.edit")
def activate(secret_id: str) -> Response:
    secrets.set_active(core(), actor(), secret_id, True)
    return done(url_for("secrets.show", secret_id=secret_id), event="secret-changed")


@bp.post("/secrets/<secret_id>/deactivate")
@permission("secret.edit")
def deactivate(secret_id: str) -> Response:
    secrets.set_active(core(), actor(), secret_id, False)
    return done(url_for("secrets.show", secret_id=secret_id), event="secret-changed")


@bp.post("/secrets/<secret_id>/purge")
@permission("secret.edit")
def purge(secret_id: str) -> Response:
    secret = secrets.get(core(), actor(), secret_id)
    try:
        if request.form.get("confirm", "").strip() != secret.name:
            raise InvalidInput(_("Type its name exactly to confirm."), errors=[FieldError("/confirm", secret.name)])
        secrets.purge(core(), actor(), secret.id)
    except Failure as failure:
        return _page(secret.id, failure=failure)
    return redirect(url_for("secrets.index"), 303)  # type: ignore[return-value]


@bp.post("/secrets/<secret_id>/reveal")
@permission("secret.reveal")
def reveal(secret_id: str) -> Response:
    """Show the value once: password first, then the audit row, then the value. Nothing keeps it."""
    try:
        session_secret, confirmed = stepup.confirm(core(), actor(), request.form.get("password", ""))
    except Unauthenticated as failure:
        return _page(secret_id, http_status=422, refused=failure.sentence)
    try:
        response = _page(secret_id, shown=secrets.reveal(core(), confirmed, secret_id).reveal())
        response.headers["Refresh"] = f"{SHOWN_S + 2}; url={url_for('secrets.show', secret_id=secret_id)}"
    except Failure as failure:
        response = _page(secret_id, failure=failure)
    return with_session(response, session_secret)


@bp.post("/secrets/<secret_id>/bindings")
@permission("secret.edit")
def bind(secret_id: str) -> Response:
    form = request.form.to_dict()
    try:
        binding = bindings.bind(core(), actor(), secret_id, form.get("configuration", ""), **binding_fields(form))
    except Failure as failure:
        return _page(secret_id, failure=failure, form=form)
    return redirect(url_for("secrets.show", secret_id=secret_id, bound=binding.id), 303)  # type: ignore[return-value]


@bp.post("/bindings/<binding_id>/remove")
@permission("secret.edit")
def unbind(binding_id: str) -> Response:
    binding = bindings.unbind(core(), actor(), binding_id)
    return done(url_for("secrets.show", secret_id=binding.secret_id), event="secret-changed")


def binding_fields(form: dict[str, str]) -> dict[str, Any]:
    """Return what the fields of a binding say. Raises InvalidInput for a condition that is none."""
    condition = None
    if form.get("need") == "conditional":
        name, equals, value = form.get("when", "").strip().partition("=")
        if not equals or not name:
            raise InvalidInput(_("The condition is VARIABLE=VALUE."), errors=[FieldError("/when", "VARIABLE=VALUE")])
        condition = {name: value}
    return {
        "variable": form.get("variable", "").strip(), "scope": form.get("need", "required"),
        "delivery": form.get("delivery", "stdin"), "condition": condition,
    }


def cautions() -> list[str]:
    """Return what to say after a secret was bound: the page one comes to names the binding."""
    words = {
        "exposed": _("Everybody who may inspect containers can read it; prefer standard input or a file."),
        "short": _("It is too short to be kept out of logs and results."),
    }
    bound = request.args.get("bound", "")[:80]
    return [words[code] for code in bindings.cautions_of(core(), actor(), bound)] if bound else []


def _value() -> Sensitive:
    """Return the typed value as it was meant: browsers send line ends as two characters."""
    text = request.form.get("value", "").replace("\r\n", "\n")
    if not text:
        raise InvalidInput(_("The value is empty."), errors=[FieldError("/value", "1 to 64 KiB")])
    return Sensitive(text)


def _expires(form: dict[str, str]) -> str | None:
    day = form.get("expires", "").strip()
    if day and not _DAY.fullmatch(day):
        raise InvalidInput(_("The expiry is a day such as 2026-12-31."), errors=[FieldError("/expires", "YYYY-MM-DD")])
    return f"{day} 00:00:00.000" if day else None


def _status() -> int:
    """Pages of secrets say by their status, too, that nothing can be opened or changed now."""
    state = health.vault_state(core())
    return 503 if state is not None and state.locked else 200


def _to(secret_id: str) -> Response:
    return redirect(url_for("secrets.show", secret_id=secret_id), 303)  # type: ignore[return-value]


def _choices() -> list[Choice]:
    """Return the newest servers with their configurations."""
    of_server: dict[str, list[Configuration]] = {}
    for row in configurations.listing(core(), actor(), limit=_MOST).rows:
        of_server.setdefault(row.server_id, []).append(row)
    return [
        Choice(server.id, server.name, tuple(sorted(of_server.get(server.id, ()), key=lambda row: not row.is_active)))
        for server in servers.listing(core(), actor(), limit=_MOST).rows
    ]


def _owners(choices: list[Choice], rows: Iterable[Secret]) -> dict[str, Owner]:
    """Return the owners of these secrets by id."""
    wanted = {row.owner_id for row in rows}
    found = {}
    for choice in choices:
        place = f"/servers/{choice.id}"
        found[choice.id] = Owner(choice.name, place)
        for row in choice.configurations:
            found[row.id] = Owner(f"{choice.name} / {row.name}", f"{place}/configurations/{row.id}")
    return {owner_id: owner for owner_id, owner in found.items() if owner_id in wanted}


def _new(form: dict[str, str], failure: Failure | None) -> Response:
    kept = {name: value for name, value in form.items() if name != "value"}
    return respond(
        "secrets/new.html", http_status=failure.status if failure else _status(), form=kept, failure=failure,
        choices=_choices(), keys=list(_keys().values()),
    )


def _page(
    secret_id: str, *, http_status: int = 0, failure: Failure | None = None, form: dict[str, str] | None = None, **context: Any
) -> Response:
    secret = secrets.get(core(), actor(), secret_id)
    choices = _choices()
    return respond(
        "secrets/show.html", http_status=http_status or (failure.status if failure else _status()), secret=secret,
        failure=failure, form=form or {}, fingerprint=secrets.fingerprint, cautions=cautions(), choices=choices,
        owners=_owners(choices, [secret]),
        uses=secrets.where_used(core(), actor(), secret.id), key_name=_keys().get(secret.encryption_key_id, ""), **context,
    )


def _keys() -> dict[str, str]:
    """Return the names of the keys by id, for those who may see them."""
    return secrets.key_names(core(), actor()) if may("key.view") else {}
