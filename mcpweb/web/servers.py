"""Servers: list, add, show, and what can be asked of one."""
from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask import make_response as answer

from mcpweb import logstore
from mcpweb.dao import paging
from mcpweb.errors import Failure, InvalidInput
from mcpweb.schemas.configurations import from_cli_options
from mcpweb.services import configurations, jobs, servers, test_runs
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond

bp = Blueprint("servers", __name__, url_prefix="/servers")

STATUSES = ("running", "stopped", "error", "unknown")


@bp.get("")
@permission("server.view")
def index() -> Response:
    status, q = request.args.get("status") or None, request.args.get("q", "")[:100]
    cursor = request.args.get("cursor")
    if status is not None and status not in STATUSES:
        raise InvalidInput(f"status is one of {', '.join(STATUSES)}.")
    listing = servers.listing(core(), actor(), after=paging.decode(cursor) if cursor else None, status=status, q=q or None)
    return respond(
        "servers/index.html", listing=listing, overview=servers.overview(core(), actor()), status=status, q=q,
        next=paging.encode(listing.next) if listing.next else None, cursor=cursor, statuses=STATUSES,
        verdicts=servers.last_verdicts(core(), [row.id for row in listing.rows]),
    )


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
        return answer(render_template("servers/new.html", form=form, failure=failure), failure.status)
    return redirect(url_for("servers.show", server_id=server.name), 303)  # type: ignore[return-value]


def _config(form: dict[str, str]) -> Any:
    numbers: dict[str, int | None] = {}
    for field in ("port", "memory"):
        text = form.get(field, "").strip()
        if text and not text.isdigit():
            raise InvalidInput(f"{field} is a whole number.")
        numbers[field] = int(text) if text else None
    return from_cli_options(
        transport=form.get("transport", "stdio"), path=form.get("path") or "/mcp", command=form.get("command") or None,
        env=[line for line in form.get("env", "").replace("\r", "").split("\n") if line.strip()],
        network=form.get("network") or None, port=numbers["port"], memory=numbers["memory"],
    )


@bp.get("/<server_id>")
@permission("server.view")
def show(server_id: str) -> Response:
    return tab(server_id, "summary", configuration=_active(server_id),
               jobs=jobs.listing(core(), actor(), limit=5, subject=_subject(server_id)).rows)


@bp.get("/<server_id>/configurations")
@permission("server.view")
def configuration_list(server_id: str) -> Response:
    return tab(server_id, "configurations", configurations=configurations.listing(core(), actor(), server_id=server_id).rows)


@bp.get("/<server_id>/tests")
@permission("test.view")
def tests(server_id: str) -> Response:
    return tab(server_id, "tests", runs=test_runs.listing(core(), actor(), server_id=server_id, limit=30).rows,
               types=core().test_types.values())


@bp.get("/<server_id>/logs")
@permission("server.view")
def logs(server_id: str) -> Response:
    level, q = request.args.get("level") or None, request.args.get("q", "")[:200]
    page = servers.logs(core(), actor(), server_id, level=level, q=q or None)
    return tab(server_id, "logs", page=page, level=level, q=q, levels=logstore.LEVELS)


@bp.get("/<server_id>/logs/download")
@permission("server.view")
def download(server_id: str) -> Response:
    server = servers.get(core(), actor(), server_id)
    response = Response(logstore.whole(servers.log_folder(core(), server.id)), content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{server.name}.log"'
    return response


@bp.get("/<server_id>/stats")
@permission("server.view")
def stats(server_id: str) -> Response:
    return tab(server_id, "stats", samples=servers.stats(core(), actor(), server_id))


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
        raise InvalidInput("Type the server's name to remove it.")
    throttle_jobs()
    job = servers.request(core(), actor(), server.id, "remove")
    jobs.wait(core(), job.id, 0.8)
    return redirect(url_for("servers.index"), 303)  # type: ignore[return-value]


@bp.post("/<server_id>/configurations/<configuration_id>/activate")
@permission("server.edit")
def activate(server_id: str, configuration_id: str) -> Response:
    configurations.activate(core(), actor(), configuration_id)
    return done(url_for("servers.configuration_list", server_id=server_id), event="configuration-activated")


def _ask(server_id: str, kind: str) -> Response:
    throttle_jobs()
    job = servers.request(core(), actor(), server_id, kind)
    jobs.wait(core(), job.id, 0.8)
    return done(url_for("servers.show", server_id=server_id), event="server-changed")


def tab(server_id: str, name: str, *, status: int = 200, **context: Any) -> Response:
    """Render one tab of a server; the head stays live on its own."""
    server = servers.get(core(), actor(), server_id)
    overview = servers.overview(core(), actor())
    working = [j for j in jobs.listing(core(), actor(), limit=3, subject=f"server:{server.id}").rows if not j.finished]
    return respond("servers/show.html", status=status, server=server, tab=name, overview=overview, working=working, **context)


def _active(server_id: str) -> Any:
    rows = configurations.listing(core(), actor(), server_id=server_id).rows
    active = [row for row in rows if row.is_active]
    return active[0] if active else None


def _subject(server_id: str) -> str:
    return f"server:{servers.get(core(), actor(), server_id).id}"
