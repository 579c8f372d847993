"""The configurations of a server: list, form, revisions, differences, restore, activate, remove."""
from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb.contracts import ConfigData
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.secrets import Secret
from mcpweb.errors import Failure, FieldError, InvalidInput, NotFound
from mcpweb.schemas.documents import loosenings
from mcpweb.services import bindings, configurations, jobs, secrets, servers
from mcpweb.web import documentforms
from mcpweb.web.identity import actor, core
from mcpweb.web.language import _
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, may
from mcpweb.web.secrets import binding_fields, cautions
from mcpweb.web.servers import tab
from mcpweb.web.words import N_

bp = Blueprint("configurations", __name__, url_prefix="/servers/<server_id>/configurations")
_WAIT_S = 0.4
_MOST = 200
LOOSENED = {
    "network_outbound": N_("The container reaches the internet and the networks around it."),
    "network_published": N_("The container has a network, which a stdio server does not need."),
    "capabilities": N_("The container gets kernel capabilities:"),
    "user_root": N_("The container runs as root."),
    "root_writable": N_("The container can write to its root file system."),
    "mount_writable": N_("The container can write to a folder of this machine or a volume:"),
    "mount_readable": N_("The container can read a folder of this machine:"),
    "active_probes": N_("Tests may call tools that change things."),
}


@bp.get("")
@permission("server.view")
def index(server_id: str) -> Response:
    rows = configurations.listing(core(), actor(), server_id=server_id, limit=200).rows
    found = sorted(rows, key=lambda row: (not row.is_active, row.name))
    return tab(server_id, "configurations", configurations=[(row, loosened(row.config_data)) for row in found])


@bp.get("/new")
@permission("server.edit")
def new(server_id: str) -> Response:
    source = request.args.get("from")
    document = _of(server_id, source).config_data if source else ConfigData().to_json()
    return _form(server_id, None, documentforms.values(document), document=document)


@bp.post("")
@permission("server.edit")
def create(server_id: str) -> Response:
    try:
        document = documentforms.read(request.form)
        row = configurations.add(
            core(), actor(), server_id, name=request.form.get("name", "").strip(), config_data=document,
            description=request.form.get("description", "").strip()[:500],
        )
    except Failure as failure:
        return _form(server_id, None, documentforms.given(request.form), failure=failure)
    return _to(server_id, row.id)


@bp.get("/<configuration_id>")
@permission("server.view")
def show(server_id: str, configuration_id: str) -> Response:
    row = _of(server_id, configuration_id)
    first, second = (_number(name) for name in ("first", "second"))
    revisions = configurations.revisions(core(), actor(), row.id)
    compared = configurations.differences(core(), actor(), row.id, first, second) if len(revisions) > 1 else None
    return tab(
        server_id, "configurations", body="configurations/_show.html", configuration=row, revisions=revisions,
        compared=compared, loosened=loosened(row.config_data), tools=servers.tools_of(core(), actor(), server_id),
        bound=bindings.of_configuration(core(), actor(), row.id) if may("secret.view") else [],
        bindable=bindable(row), form={}, cautions=cautions() if may("secret.view") else [],
    )


def bindable(row: Configuration) -> list[Secret]:
    """Return the active secrets this configuration may use."""
    if not may("secret.edit"):
        return []
    found = secrets.listing(core(), actor(), is_active=True, limit=_MOST).rows
    return sorted((one for one in found if one.owner_id in ("", row.server_id, row.id)), key=lambda one: one.name)


@bp.get("/<configuration_id>/edit")
@permission("server.edit")
def edit(server_id: str, configuration_id: str) -> Response:
    row = _of(server_id, configuration_id)
    fields = documentforms.values(row.config_data) | {"name": row.name, "description": row.description}
    return _form(server_id, row, fields, document=row.config_data)


@bp.post("/<configuration_id>")
@permission("server.edit")
def update(server_id: str, configuration_id: str) -> Response:
    row = _of(server_id, configuration_id)
    form = request.form
    try:
        expect = int(form["revision"]) if form.get("revision", "").isdigit() else None
        configurations.update(
            core(), actor(), row.id, expect=expect, name=form.get("name", "").strip(),
            description=form.get("description", "").strip()[:500], config_data=documentforms.read(form),
        )
    except Failure as failure:
        return _form(server_id, row, documentforms.given(form), failure=failure)
    if form.get("then") == "activate":
        _activate(row.id)
    return _to(server_id, row.id)


@bp.post("/<configuration_id>/activate")
@permission("server.edit")
def activate(server_id: str, configuration_id: str) -> Response:
    _activate(_of(server_id, configuration_id).id)
    then = url_for("configurations.index", server_id=server_id)
    return done(then, event="configuration-activated, server-changed")


@bp.post("/<configuration_id>/restore")
@permission("server.edit")
def restore(server_id: str, configuration_id: str) -> Response:
    row = _of(server_id, configuration_id)
    number = request.form.get("revision", "")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise InvalidInput("revision is a whole number.")
    configurations.restore(core(), actor(), row.id, int(number))
    return _to(server_id, row.id)


@bp.post("/<configuration_id>/bindings")
@permission("secret.edit")
def bind(server_id: str, configuration_id: str) -> Response:
    row, form = _of(server_id, configuration_id), request.form.to_dict()
    binding = bindings.bind(core(), actor(), form.get("secret", ""), row.id, **binding_fields(form))
    return _to(server_id, row.id, bound=binding.id)


@bp.post("/<configuration_id>/remove")
@permission("server.edit")
def remove(server_id: str, configuration_id: str) -> Response:
    row = _of(server_id, configuration_id)
    if request.form.get("confirm") != row.name:
        raise InvalidInput(_("Type the name of the configuration to remove it."), errors=[FieldError("/confirm", row.name)])
    configurations.remove(core(), actor(), row.id)
    return redirect(url_for("configurations.index", server_id=server_id), 303)  # type: ignore[return-value]


def loosened(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a document loosens in the page's language, each with the place in the document."""
    found = []
    for loosening in loosenings(document):
        text = _(LOOSENED[loosening.code])
        if text.endswith((":", "：")):
            at = loosening.pointer.rpartition("/")[2]
            names = document["mounts"][int(at)]["source"] if at.isdigit() else ", ".join(document["capabilities"])
            text = f"{text} {names}"
        found.append((text, loosening.pointer))
    return found


def _activate(configuration_id: str) -> None:
    _row, job = configurations.activate(core(), actor(), configuration_id)
    if job is not None:
        jobs.wait(core(), job.id, _WAIT_S)


def _of(server_id: str, id_or_name: str) -> Configuration:
    """Return a configuration of this server. Raises NotFound for another server's."""
    return configurations.by_name(core(), actor(), server_id, id_or_name)


def _number(name: str) -> int | None:
    text = request.args.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound(f"There is no revision {text[:20]}.")
    return int(text) if text else None


def _to(server_id: str, configuration_id: str, bound: str | None = None) -> Response:
    then = url_for("configurations.show", server_id=server_id, configuration_id=configuration_id, bound=bound)
    return redirect(then, 303)  # type: ignore[return-value]


def _form(
    server_id: str, row: Configuration | None, fields: dict[str, Any], *, document: dict[str, Any] | None = None,
    failure: Failure | None = None,
) -> Response:
    """Show the form with what was typed; as JSON when that was asked for or fields cannot hold the document."""
    as_json = "config_data" in fields or (document is not None and not documentforms.fits(document))
    if document is not None and (as_json or request.args.get("mode") == "json"):
        fields = {**fields, "config_data": json.dumps(document, indent=2, ensure_ascii=False)}
        as_json = True
    known = [tool.name for tool in servers.tools_of(core(), actor(), server_id)]
    return tab(
        server_id, "configurations", body="configurations/_form.html", configuration=row, form=fields, failure=failure,
        http_status=failure.status if failure else 200, as_json=as_json,
        faults=documentforms.faults_by_field(failure.errors) if failure else {},
        known_tools=[*known, *(name for name in fields.get("tools", ()) if name not in known)],
        blank_mounts=[documentforms.MountRow()] * documentforms.BLANK_MOUNTS,
    )
