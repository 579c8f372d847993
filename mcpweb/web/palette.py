"""``/palette``: servers, tools, pages and actions by their name; ``/keys-help``: what keys do."""
from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, request

from mcpweb.services import servers
from mcpweb.web.identity import actor, core
from mcpweb.web.language import _
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import may, respond

bp = Blueprint("palette", __name__)
MOST = 10


@dataclass(frozen=True)
class Hit:
    """One line: a link, or a button that posts."""

    title: str
    detail: str
    url: str
    icon: str
    post: bool = False


@bp.get("/palette")
@permission("server.view")
def index() -> Response:
    q = unicodedata.normalize("NFKC", request.args.get("q", "")).strip()[:100]
    return respond("palette/index.html", q=q, hits=hits(q)[:MOST])


@bp.get("/keys-help")
@permission("session.own")
def keys_help() -> Response:
    return respond("palette/help.html", shown=shown(), partial="palette/_help.html")


def hits(q: str) -> list[Hit]:
    """Return what fits a text, the likeliest first: a verb and a server, servers, pages, tools. Without a text the pages."""
    wanted = q.casefold()
    pages = [hit for hit in _pages() if all(word in hit.title.casefold() for word in wanted.split())]
    if not wanted:
        return pages
    verb, _space, rest = wanted.partition(" ")
    found = _actions(verb, rest.strip()) if rest.strip() else []
    named = [
        Hit(row.name, row.image, f"/servers/{row.id}", "server")
        for row in servers.listing(core(), actor(), q=q, limit=MOST).rows
    ]
    named.sort(key=lambda hit: not hit.title.casefold().startswith(wanted))
    found += named[:6]
    if len(named) == 1 or (named and named[0].title.casefold() == wanted):
        found += _actions("", named[0].title.casefold())
    tools = [
        Hit(tool, name, f"/servers/{server_id}/tools?{urlencode({'tool': tool}, quote_via=quote)}", "wrench")
        for tool, server_id, name in servers.search_tools(core(), actor(), q, MOST)
    ]
    return found + pages + tools


def _actions(verb: str, rest: str) -> list[Hit]:
    """Return what can be asked of the servers whose name holds ``rest``, by verbs that begin with ``verb``."""
    if not may("server.operate"):
        return []
    verbs = (
        ("start", _("Start"), "play"), ("stop", _("Stop"), "square"), ("restart", _("Restart"), "rotate-cw"),
        ("test-runs", _("Test"), "flask-conical"),
    )
    chosen = [one for one in verbs if one[0].startswith(verb) or one[1].casefold().startswith(verb)]
    if not chosen:
        return []
    return [
        Hit(f"{name}: {row.name}", row.image, f"/servers/{row.id}/{path}", icon, post=True)
        for row in servers.listing(core(), actor(), q=rest, limit=3).rows
        for path, name, icon in chosen
        if path == "test-runs" or (path == "start") != (row.status == "running")
    ]


def _pages() -> list[Hit]:
    known = (
        (_("Servers"), "", "/servers", "server", "server.view"),
        (_("Test runs"), "", "/test-runs", "flask-conical", "test.view"),
        (_("Secrets"), "", "/secrets", "key-round", "secret.view"),
        (_("Jobs"), _("Activity"), "/jobs", "activity", "job.view"),
        (_("Add server"), _("Catalogue"), "/servers/new", "plus", "server.edit"),
        (_("Add secret"), "", "/secrets/new", "plus", "secret.edit"),
        (_("Settings"), "", "/settings", "settings", "settings.view"),
        (_("Overview"), "", "/", "gauge", "server.view"),
        (_("Keys"), _("Secrets"), "/keys", "key-round", "key.view"),
        (_("Audit"), _("Activity"), "/audit", "scroll-text", "audit.view"),
        (_("Plugins"), _("Settings"), "/plugins", "plug", "plugin.view"),
        (_("Keyboard help"), "", "/keys-help", "keyboard", "session.own"),
    )
    return [Hit(title, detail, url, icon) for title, detail, url, icon, needed in known if may(needed)]


def shown() -> list[tuple[tuple[str, ...], str]]:
    """Return keys and what they do."""
    return [
        (("Ctrl", "K"), _("Go to a server, tool, page or action")), (("/",), _("Search this page")), (("?",), _("This help")),
        (("g", "s"), _("Servers")), (("g", "t"), _("Tests")), (("g", "k"), _("Secrets")), (("g", "a"), _("Activity")),
        (("g", "c"), _("Catalogue")), (("g", "o"), _("Overview")), (("Ctrl", "Enter"), _("Send the form one writes in")),
        (("Esc",), _("Close what is open")),
    ]
