"""Install: a text, a file or a suggestion becomes drafts, a draft a form, the form a server, and its image is pulled."""
from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb import catalogs
from mcpweb.catalogs import Draft
from mcpweb.contracts import Sensitive
from mcpweb.errors import Failure, FieldError, InvalidInput, NotFound
from mcpweb.services import configurations, imports, jobs, registries, secrets, servers, shelf
from mcpweb.services.shelf import Catalogue
from mcpweb.web import installforms
from mcpweb.web.identity import actor, core
from mcpweb.web.language import _
from mcpweb.web.limits import large, throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import go, may, respond
from mcpweb.web.words import N_

bp = Blueprint("install", __name__, url_prefix="/install")
_PAGE = 50
_WAIT_S = 0.4
FORMATS = {
    "image": N_("image reference"), "docker-run": N_("docker run command"), "docker-catalog": N_("Docker catalogue"),
    "docker-registry": N_("server.yaml of docker/mcp-registry"), "docker-profile": N_("Docker profile"),
    "mcp-registry": N_("server.json of the MCP registry"), "mcp-servers": N_("mcpServers of a client"),
}


@bp.get("")
@permission("server.view")
def index() -> Response:
    return _index()


@bp.post("")
@permission("server.edit")
@large
def read() -> Response:
    """Read a text or an uploaded file; one server leads to its form, several to a list."""
    text, name = request.form.get("text", ""), ""
    try:
        tools = ""
        for file in request.files.getlist("file"):
            if not file.filename:
                continue
            content = catalogs.decoded(file.stream.read(catalogs.LARGEST + 1))
            if file.filename.endswith("tools.json"):
                tools = content
            else:
                text, name = content, file.filename.replace("\\", "/").rpartition("/")[2]
        found = catalogs.read(text, tools=tools)
        catalogue = shelf.put(core(), actor(), name or found.drafts[0].name, found.format, found.drafts)
    except Failure as failure:
        return _index(failure=failure, text=text if len(text) < 200_000 and not name else "")
    if len(found.drafts) > 1:
        return go(url_for("install.show", catalogue_id=catalogue.id))
    return _form(catalogue, 0, found.drafts[0], installforms.first(found.drafts[0]))


def _index(failure: Failure | None = None, text: str = "") -> Response:
    return respond(
        "install/index.html", http_status=failure.status if failure else 200, failure=failure, text=text, formats=FORMATS,
        suggestions=list(enumerate(shelf.bundled().drafts)), bundled=shelf.BUNDLED, kept=shelf.listing(core(), actor()),
    )


@bp.get("/<catalogue_id>")
@permission("server.view")
def show(catalogue_id: str) -> Response:
    catalogue = shelf.get(core(), actor(), catalogue_id)
    q, start = request.args.get("q", "")[:100], request.args.get("from", "0")
    first = int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 0
    found = catalogue.matching(q)
    return respond(
        "install/show.html", catalogue=catalogue, q=q, rows=found[first : first + _PAGE], found=len(found), first=first,
        formats=FORMATS, reasons=catalogs.REASONS,
        after=first + _PAGE if len(found) > first + _PAGE else 0, bundled=shelf.BUNDLED,
    )


@bp.post("/<catalogue_id>/remove")
@permission("server.edit")
def remove(catalogue_id: str) -> Response:
    shelf.remove(core(), actor(), catalogue_id)
    return redirect(url_for("install.index"), 303)  # type: ignore[return-value]


@bp.get("/<catalogue_id>/<int:at>")
@permission("server.edit")
def form(catalogue_id: str, at: int) -> Response:
    catalogue, draft = _draft(catalogue_id, at)
    return _form(catalogue, at, draft, installforms.first(draft))


@bp.post("/<catalogue_id>/<int:at>")
@permission("server.edit")
def install(catalogue_id: str, at: int) -> Response:
    catalogue, draft = _draft(catalogue_id, at)
    try:
        answers = installforms.answers(draft, request.form)
        server = imports.install(core(), actor(), draft, answers, kind=catalogue.format)
    except Failure as failure:
        return _form(catalogue, at, draft, installforms.given(draft, request.form), failure=failure)
    if request.form.get("pull"):
        throttle_jobs()
        job = servers.request(core(), actor(), server.id, "pull")
        jobs.wait(core(), job.id, _WAIT_S)
    return redirect(url_for("install.done", server_id=server.id), 303)  # type: ignore[return-value]


def _draft(catalogue_id: str, at: int) -> tuple[Catalogue, Draft]:
    catalogue = shelf.get(core(), actor(), catalogue_id)
    if at >= len(catalogue.drafts):
        raise NotFound("The catalogue has no such server.")
    return catalogue, catalogue.drafts[at]


def _form(catalogue: Catalogue, at: int, draft: Draft, fields: dict[str, Any], *, failure: Failure | None = None) -> Response:
    faults = {error.pointer: error.detail for error in failure.errors} if failure else {}
    global_ones = secrets.listing(core(), actor(), scope="global", is_active=True, limit=200).rows if draft.secrets else ()
    return respond(
        "install/form.html", http_status=failure.status if failure else 200, catalogue=catalogue, at=at, draft=draft, form=fields,
        reasons=catalogs.REASONS, failure=failure, faults=faults, global_secrets=global_ones, formats=FORMATS,
        bundled=shelf.BUNDLED, place=installforms.PLACE, may_keep=may("secret.edit"), local=draft.image.startswith(shelf.LOCAL),
    )


@bp.get("/done/<server_id>")
@permission("server.view")
def done(server_id: str) -> Response:
    return _done(server_id)


def _done(server_id: str, failure: Failure | None = None) -> Response:
    server = servers.get(core(), actor(), server_id)
    job = jobs.newest(core(), "pull", f"server:{server.id}")
    active = configurations.active(core(), actor(), server.id)
    own = secrets.listing(core(), actor(), owner_id=server.id, limit=200).rows if may("secret.view") else ()
    return respond(
        "install/done.html", http_status=failure.status if failure else 200, server=server, job=job, failure=failure,
        configuration=active, blank=[one for one in own if one.blank], host=registries.host_of(server.image),
        overview=servers.overview(core(), actor()),
        login=registries.known(core(), actor(), server.image) if may("secret.view") else None,
        loosened=configurations.loosened(active.config_data), may_keep=may("secret.edit"),
    )


@bp.post("/done/<server_id>/pull")
@permission("server.operate")
def pull(server_id: str) -> Response:
    return _pull(servers.get(core(), actor(), server_id).id)


def _pull(server_id: str) -> Response:
    throttle_jobs()
    job = servers.request(core(), actor(), server_id, "pull")
    jobs.wait(core(), job.id, _WAIT_S)
    return redirect(url_for("install.done", server_id=server_id), 303)  # type: ignore[return-value]


@bp.post("/done/<server_id>/login")
@permission("secret.edit")
def login(server_id: str) -> Response:
    """Keep a sign-in for the registry as a secret, and pull again."""
    server = servers.get(core(), actor(), server_id)
    try:
        password = Sensitive(request.form.get("password", ""))
        registries.remember(core(), actor(), server.image, request.form.get("user", "").strip(), password)
    except InvalidInput as failure:
        return _done(server.id, failure)
    return _pull(server.id)


@bp.post("/done/<server_id>/pin")
@permission("server.edit")
def pin(server_id: str) -> Response:
    """Let the server's image be exactly what was pulled."""
    server = servers.get(core(), actor(), server_id)
    job = jobs.newest(core(), "pull", f"server:{server.id}")
    digest = str((job.result or {}).get("digest") or "") if job and job.state == "succeeded" else ""
    if not digest or "@" in server.image:
        raise InvalidInput(_("There is no digest to keep to."), errors=[FieldError("/image", "no digest")])
    servers.update(core(), actor(), server.id, expect=None, image=f"{server.image}@{digest}")
    return redirect(url_for("install.done", server_id=server.id), 303)  # type: ignore[return-value]
