"""Watching a server: its log, read page by page or followed, and what it uses."""
from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Request, Response, current_app, make_response, render_template, request

from mcpweb import clock, logstore
from mcpweb.core import Core
from mcpweb.errors import Failure, InvalidInput, Unauthenticated, Unavailable
from mcpweb.logstore import LogPage, Wanted
from mcpweb.services import access, servers
from mcpweb.web import charts as pictures
from mcpweb.web import formats, loglines
from mcpweb.web.identity import actor, core
from mcpweb.web.language import chosen
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import is_partial
from mcpweb.web.servers import tab
from mcpweb.web.streams import Follow, Stream, Streams

bp = Blueprint("watching", __name__, url_prefix="/servers/<server_id>")
_LINES = 500
_ASKED = ("q", "only", "level", "stream", "since", "until")


@bp.record
def _have_streams(state: Any) -> None:
    state.app.extensions["mcpweb.streams"] = Streams(state.app.extensions["mcpweb"])


@dataclass(frozen=True)
class Chart:
    """A sparkline as SVG paths, with its newest value, the top of its axis and the seconds it spans in words."""

    name: str
    now: str
    bound: str
    line: str
    area: str
    top: str
    seconds: int


@bp.get("/logs")
@permission("server.view")
def logs(server_id: str) -> Response:
    """Show the newest lines and follow, or those before or after a place; ``offset`` asks for what came since."""
    server = servers.get(core(), actor(), server_id)
    asked, wanted = _asked()
    folder = servers.log_folder(core(), server.id)
    offset, before, after = (_place(name) for name in ("offset", "before", "after"))
    if offset is not None:
        page = logstore.read(folder, offset=offset, wanted=wanted)
    elif after is not None:
        page = logstore.following(folder, after, limit=_LINES, wanted=wanted)
    else:
        page = logstore.last(folder, before=before, limit=_LINES, wanted=wanted)
    resting = before is not None or after is not None or bool(wanted.until)
    query = urlencode(asked)
    return tab(
        server_id, "logs", partial="servers/_lines.html" if offset is not None else "", page=page, asked=asked, query=query,
        lines=loglines.markup(page.lines, q=asked.get("q", "")), levels=logstore.LEVELS, streams=logstore.STREAMS,
        resting=resting, live=not resting and server.status == "running" and _streams().free(), pages=_pages(page, asked),
    )


@bp.get("/logs/stream")
@permission("server.view")
def stream(server_id: str) -> Response:
    """Send lines as they are written; when there are as many streams as may be, 503 with an element that polls instead."""
    server = servers.get(core(), actor(), server_id)
    asked, wanted = _asked()
    last = request.headers.get("Last-Event-ID", "")
    offset = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else _place("offset")
    q = asked.get("q", "")
    opened = _streams().open(Follow(
        who=_digest(request), folder=servers.log_folder(core(), server.id), wanted=wanted, offset=offset,
        ends=_ends(core(), request._get_current_object(), server.id),  # type: ignore[attr-defined]
        render=loglines.renderer(q), look=f"{chosen()} {q}", sock=request.environ.get("gunicorn.socket"),
    ))
    if opened is None:
        return _full(server.id, offset, urlencode(asked))
    response = Response(_events(core(), opened), mimetype="text/event-stream")
    response.call_on_close(partial(_streams().close, opened))
    response.headers["X-Accel-Buffering"] = "no"
    return response


@bp.get("/logs/download")
@permission("server.view")
def download(server_id: str) -> Response:
    """Send the lines that fit the filter, all that are kept without one."""
    server = servers.get(core(), actor(), server_id)
    wanted = _asked(only=True)[1]
    folder = servers.log_folder(core(), server.id)
    lines = logstore.whole(folder) if wanted == logstore.EVERY else logstore.chosen(folder, wanted)
    response = Response(lines, content_type="text/plain; charset=utf-8")
    name = server.name + ("-filtered" if wanted != logstore.EVERY else "")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.log"'
    return response


@bp.get("/stats")
@permission("server.view")
def stats(server_id: str) -> Response:
    return tab(server_id, "stats", charts=charts(servers.stats(core(), actor(), server_id)))


def _asked(*, only: bool = False) -> tuple[dict[str, str], Wanted]:
    """Return the filters that are set, and what they ask of lines. Raises InvalidInput."""
    asked = {name: text for name in _ASKED if (text := request.args.get(name, "").strip()[:200])}
    q = asked.get("q") if only or "only" in asked else None
    return asked, servers.log_filter(
        level=asked.get("level"), stream=asked.get("stream"), q=q, since=asked.get("since"), until=asked.get("until")
    )


def _place(name: str) -> int | None:
    text = request.args.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInput(f"{name} is a whole number.")
    return int(text) if text else None


def _pages(page: LogPage, asked: dict[str, str]) -> dict[str, str]:
    """Return the addresses of older and newer lines, where there are any."""
    found = {}
    if page.first_offset > page.start_offset:
        found["older"] = urlencode({**asked, "before": page.first_offset})
    if page.next_offset < page.end_offset:
        found["newer"] = urlencode({**asked, "after": page.next_offset})
    return found


def _streams() -> Streams:
    found: Streams = current_app.extensions["mcpweb.streams"]
    return found


def _events(served: Core, opened: Stream) -> Iterator[bytes]:
    served.db.close()  # this thread only waits and writes from here on
    yield from opened.events()


def _ends(served: Core, asking: Request, server_id: str) -> Callable[[], str]:
    """Return what tells why a stream is over: who asked may not look any more, or the server runs no more."""

    def ends() -> str:
        try:
            who = served.plugins.first("mcpweb_authenticate", request=asking, core=served)
            if who is None or not access.may(served, who, "server.view", server_id=server_id):
                return "denied"
        except Unauthenticated:
            return "denied"
        except Failure:
            return ""  # nobody can tell now; the next look will
        return "" if servers.is_running(served, server_id) else "stopped"

    return ends


def _digest(asking: Request) -> str:
    given = [asking.headers.get("Authorization", ""), *(f"{name}={text}" for name, text in sorted(asking.cookies.items()))]
    return hashlib.sha256("\n".join(given).encode()).hexdigest()


def _full(server_id: str, offset: int | None, query: str) -> Response:
    """Answer 503; a page of ours gets what polls in the place of what would have been a stream."""
    if not is_partial():
        raise Unavailable(
            "As many people follow logs as this process has room for.", code="streams_full", retry_after=5,
            next_step="Poll the log instead, or try again later.",
        )
    body = render_template("servers/_tail.html", server_id=server_id, offset=offset or 0, query=query, live=False)
    response = make_response(body, 503)
    response.headers["Retry-After"] = "5"
    response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#tail", "outerHTML"
    return response


def charts(samples: Sequence[dict[str, Any]]) -> list[Chart]:
    """Return the sparklines of samples, oldest first; nothing without samples."""
    if not samples:
        return []
    last = samples[-1]
    limit = float(last["memory_limit"] or 0)
    seconds = round(clock.parse(last["at"]).timestamp() - clock.parse(samples[0]["at"]).timestamp())

    def chart(name: str, values: Sequence[float], least_top: float, words: Callable[[float], str], bound: str = "") -> Chart:
        drawn = pictures.line(values, least_top=least_top)
        return Chart(name, words(values[-1]), bound, drawn.line, drawn.area, words(max(*values, least_top)), seconds)

    def percent(value: float) -> str:
        return f"{value:.1f} %"

    return [
        chart("cpu", [s["cpu_percent"] for s in samples], 100.0, percent),
        chart("memory", [s["memory_bytes"] for s in samples], limit, formats.size),
        chart("pids", [s["pids"] for s in samples], 8.0, lambda value: f"{value:.0f}"),
        chart("received", _steps([s["rx_bytes"] for s in samples]), 1024.0, formats.size, formats.size(last["rx_bytes"])),
        chart("sent", _steps([s["tx_bytes"] for s in samples]), 1024.0, formats.size, formats.size(last["tx_bytes"])),
    ]


def _steps(totals: Sequence[float]) -> list[float]:
    return [0.0, *(max(0.0, b - a) for a, b in itertools.pairwise(totals))]
