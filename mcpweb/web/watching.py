"""Watching a server: its log, followed by offset, and what it uses."""
from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from mcpweb import logstore
from mcpweb.errors import InvalidInput
from mcpweb.services import servers
from mcpweb.web import charts as pictures
from mcpweb.web import formats
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.servers import tab

bp = Blueprint("watching", __name__, url_prefix="/servers/<server_id>")
_SHOWN_BYTES = 64 * 1024


@dataclass(frozen=True)
class Chart:
    """A sparkline as SVG paths, with the newest value in words."""

    name: str
    now: str
    bound: str
    line: str
    area: str


@bp.get("/logs")
@permission("server.view")
def logs(server_id: str) -> Response:
    level, q, offset = (request.args.get(name, "") for name in ("level", "q", "offset"))
    if offset and not (offset.isascii() and offset.isdigit() and len(offset) < 19):
        raise InvalidInput("offset is a whole number.")
    page = servers.logs(
        core(), actor(), server_id, offset=int(offset) if offset else None, limit_bytes=_SHOWN_BYTES,
        level=level or None, q=q[:200] or None,
    )
    partial = "servers/_lines.html" if offset else "servers/_logs.html"
    return tab(server_id, "logs", partial=partial, page=page, level=level, q=q[:200], levels=logstore.LEVELS)


@bp.get("/logs/download")
@permission("server.view")
def download(server_id: str) -> Response:
    server = servers.get(core(), actor(), server_id)
    response = Response(logstore.whole(servers.log_folder(core(), server.id)), content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{server.name}.log"'
    return response


@bp.get("/stats")
@permission("server.view")
def stats(server_id: str) -> Response:
    return tab(server_id, "stats", charts=charts(servers.stats(core(), actor(), server_id)))


def charts(samples: Sequence[dict[str, Any]]) -> list[Chart]:
    """Return the sparklines of samples, oldest first; nothing without samples."""
    if not samples:
        return []
    last = samples[-1]
    limit = float(last["memory_limit"] or 0)
    return [
        _chart("cpu", [s["cpu_percent"] for s in samples], 100.0, f"{last['cpu_percent']:.1f} %", ""),
        _chart("memory", [s["memory_bytes"] for s in samples], limit, formats.size(last["memory_bytes"]),
               f"/ {formats.size(limit)}" if limit else ""),
        _chart("pids", [s["pids"] for s in samples], 8.0, str(last["pids"]), ""),
        _chart("network", _steps([s["rx_bytes"] for s in samples]), 1024.0, formats.size(last["rx_bytes"]), ""),
    ]


def _steps(totals: Sequence[float]) -> list[float]:
    return [0.0, *(max(0.0, b - a) for a, b in itertools.pairwise(totals))]


def _chart(name: str, values: Sequence[float], least_top: float, now: str, bound: str) -> Chart:
    drawn = pictures.line(values, least_top=least_top)
    return Chart(name, now, bound, drawn.line, drawn.area)
