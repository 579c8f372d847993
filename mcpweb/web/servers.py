"""Servers: list, add, show, and what can be asked of one."""
from __future__ import annotations

import unicodedata
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb.contracts import ConfigData
from mcpweb.dao import paging
from mcpweb.dao.configurations import Configuration
from mcpweb.errors import Failure, FieldError, InvalidInput
from mcpweb.schemas.configurations import from_cli_options
from mcpweb.services import bulk, configurations, jobs, pins, secrets, servers
from mcpweb.web import charts
from mcpweb.web.identity import actor, core
from mcpweb.web.language import plural
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, is_partial, may, respond, told

bp = Blueprint("servers", __name__, url_prefix="/servers")

STATUSES = ("running", "stopped", "error", "unknown")
_WAIT_S = 0.4  # a start that is quicker shows its end in the first answer


@bp.get("")
@permission("server.view")
def index() -> Response:
    return _index()


def _index(*, http_status: int = 200, asked: list[bulk.Asked] | None = None) -> Response:
    given = {name: request.args.get(name, "") for name in ("status", "q", "cursor")}
    status, cursor = given["status"], given["cursor"]
    q = unicodedata.normalize("NFKC", given["q"]).strip()[:100]  # full-width letters are the same ones
    if status and status not in STATUSES:
        raise InvalidInput(f"status is one of {', '.join(STATUSES)}.")
    after = paging.decode(cursor) if cursor else None
    listing = servers.listing(core(), actor(), after=after, status=status or None, q=q or None)
    ids = [row.id for row in listing.rows]
    return respond(
        "servers/index.html", http_status=http_status, listing=listing, overview=servers.overview(core(), actor()), status=status,
        q=q, next=paging.encode(listing.next) if listing.next else "", cursor=cursor, statuses=STATUSES, asked=asked or [],
        address="/servers" + (f"?{urlencode(used)}" if (used := {name: value for name, value in given.items() if value}) else ""),
        glances=servers.glance(core(), actor(), ids), spark=charts.spark, may_operate=may("server.operate"),
        working=jobs.open_for(core(), actor(), [f"server:{one}" for one in ids]),
    )


@bp.post("/bulk")
@permission("server.operate")
def act() -> Response:
    """Ask for one action of all servers that were chosen; what could not be asked is named."""
    asked = bulk.each(core(), actor(), request.form.getlist("id"), request.form.get("do", ""), before_each=throttle_jobs)
    failed = [one for one in asked if one.failure]
    if not is_partial():
        return _index(http_status=200 if len(failed) < len(asked) else 409, asked=asked)
    taken = len(asked) - len(failed)
    done_for = plural("Asked for %(num)s server.", "Asked for %(num)s servers.", taken) % {"num": taken}
    refused = " ".join(f"{one.name}: {one.failure}" for one in failed[:10])
    return told(done_for, kind="error" if failed else "done", next_step=refused, event="server-changed")


@bp.get("/new")
@permission("server.edit")
def new() -> Response:
    return respond("servers/new.html", form={}, failure=None)


@bp.post("")
@permission("server.edit")
def create() -> Response:
    form = request.form.to_dict()
    try:
        server = servers.add(
            core(), actor(), name=form.get("name", "").strip(), image=form.get("image", "").strip(),
            description=form.get("description", "").strip()[:500], config=_config(form),
        )
    except Failure as failure:
        return respond("servers/new.html", http_status=failure.status, form=form, failure=failure)
    return redirect(url_for("servers.show", server_id=server.id), 303)  # type: ignore[return-value]


def _config(form: dict[str, str]) -> ConfigData:
    numbers: dict[str, int | None] = {}
    for field in ("port", "memory"):
        text = form.get(field, "").strip()
        if text and not (text.isascii() and text.isdigit()):
            raise InvalidInput("This is not a whole number.", errors=[FieldError(f"/{field}", "a whole number")])
        numbers[field] = int(text) if text else None
    return from_cli_options(
        transport=form.get("transport", "stdio"), path=form.get("path") or "/mcp", command=form.get("command") or None,
        env=[line for line in form.get("env", "").replace("\r", "").split("\n") if line.strip()],
        network=form.get("network") or None, port=numbers["port"], memory=numbers["memory"],
    )


@bp.get("/<server_id>")
@permission("server.view")
def show(server_id: str) -> Response:
    server = servers.get(core(), actor(), server_id)
    glance = servers.glance(core(), actor(), [server.id])[server.id]
    return tab(
        server_id, "summary", configuration=active_configuration(server.id), glance=glance, line=charts.spark(glance.latency),
        own_secrets=secrets.owned_by(core(), actor(), server.id),
        jobs=jobs.listing(core(), actor(), limit=5, subject=f"server:{server.id}").rows,
    )


@bp.get("/<server_id>/head")
@permission("server.view")
def head(server_id: str) -> Response:
    if not is_partial():  # somebody opened the address itself; the head is no page
        return show(server_id)
    return tab(server_id, request.args.get("tab", "summary"), partial="servers/_head.html")


@bp.post("/<server_id>/start")
@permission("server.operate")
def start(server_id: str) -> Response:
    return _ask(server_id, "start")


@bp.post("/<server_id>/stop")
@permission("server.operate")
def stop(server_id: str) -> Response:
    return _ask(server_id, "stop")


@bp.post("/<server_id>/restart")
@permission("server.operate")
def restart(server_id: str) -> Response:
    return _ask(server_id, "restart")


@bp.post("/<server_id>/pull")
@permission("server.operate")
def pull(server_id: str) -> Response:
    return _ask(server_id, "pull")


@bp.post("/<server_id>/remove")
@permission("server.edit")
def remove(server_id: str) -> Response:
    server = servers.get(core(), actor(), server_id)
    if request.form.get("confirm") != server.name:
        raise InvalidInput("Type the server's name to remove it.", errors=[FieldError("/confirm", server.name)])
    throttle_jobs()
    job = servers.request(core(), actor(), server.id, "remove")
    jobs.wait(core(), job.id, _WAIT_S)
    return redirect(url_for("servers.index"), 303)  # type: ignore[return-value]


def _ask(server_id: str, kind: str) -> Response:
    throttle_jobs()
    job = servers.request(core(), actor(), server_id, kind)
    jobs.wait(core(), job.id, _WAIT_S)
    return done(url_for("servers.show", server_id=server_id), event="server-changed")


def tab(
    server_id: str, name: str, *, http_status: int = 200, partial: str = "", body: str = "", **context: Any
) -> Response:
    """Render one tab of a server as a page, or its fragment alone; the head stays live on its own.

    ``body`` names another template than the tab's own for what stands under the tabs.
    """
    body = body or f"servers/_{name}.html"
    server = servers.get(core(), actor(), server_id)
    latest = jobs.listing(core(), actor(), limit=3, subject=f"server:{server.id}").rows
    return respond(
        "servers/show.html", partial=partial or body, body=body, http_status=http_status, server=server, tab=name,
        overview=servers.overview(core(), actor()), working=[job for job in latest if not job.finished],
        last=latest[0] if latest else None, pins=pins.overview(core(), actor(), server.id), **context,
    )


def active_configuration(server_id: str) -> Configuration | None:
    """Return the configuration that containers of a server get, None without an active one."""
    rows = configurations.listing(core(), actor(), server_id=server_id, limit=200).rows
    return next((row for row in rows if row.is_active), None)
