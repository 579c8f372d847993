"""One helper renders; this module is the only reader of HX-* headers (flask-htmx, in htmx 4's dialect)."""
from __future__ import annotations

import gettext
import json
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, make_response, redirect, render_template, request
from flask_htmx import HTMX
from jinja2.ext import Extension

from mcpweb import __version__, clock, paths
from mcpweb.web import csrf, headers
from mcpweb.web.identity import core, optional_actor

LANGUAGES = {"en": "English", "ja": "日本語"}
LANGUAGE_COOKIE, THEME_COOKIE = "mcpweb-language", "mcpweb-theme"
_TAG_WITH_HX = re.compile(r"<([a-z][a-z0-9-]*)((?=[^<>]*\shx-)[^<>]*?)(/?)>", re.S)
_htmx = HTMX()


class HxNonce(Extension):
    """Adds the page's nonce to each tag that carries hx-* in a template file, when it is compiled.

    Markup that arrives as data is never in a template file, so it can never have the nonce.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return _TAG_WITH_HX.sub(r'<\1\2 hx-nonce="{{ csp_nonce() }}"\3>', source)


def install(app: Flask) -> None:
    """Prepare Jinja: translations, nonces, the few functions templates use."""
    _htmx.init_app(app)
    app.jinja_env.add_extension(HxNonce)
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(csp_nonce=headers.nonce, version=__version__, languages=LANGUAGES)
    app.jinja_env.filters.update(ago=ago, rfc3339=clock.rfc3339, pretty=pretty, duration=duration)
    app.context_processor(_context)


def _context() -> dict[str, Any]:
    actor = optional_actor()
    return {
        "actor": actor, "csrf_token": csrf.token_for(actor), "language": language(), "theme": theme(),
        "engine": g.get("engine"), "may": lambda permission: actor is not None and _may(permission),
    }


def _may(permission: str) -> bool:
    from mcpweb.services import access

    return access.may(core(), g.actor, permission)


def is_partial() -> bool:
    """Tell whether htmx asked for a fragment (not for a whole page or a history entry)."""
    return bool(_htmx) and not _htmx.boosted and request.headers.get("HX-Request-Type", "partial") == "partial" \
        and not request.headers.get("HX-History-Restore-Request")


def respond(template: str, *, status: int = 200, event: str = "", **context: Any) -> Response:
    """Render a page, or its partial when htmx asked; ``event`` is told to the page."""
    if is_partial():
        folder, _, name = template.rpartition("/")
        template = f"{folder}/_{name}"
    response = make_response(render_template(template, **context), status)
    if event:
        response.headers["HX-Trigger"] = event
    return response


def done(then: str, *, event: str = "") -> Response:
    """Answer an action: a redirect for a plain form, an event for htmx (what shows it refreshes itself)."""
    if is_partial():
        response = make_response("", 204)
        response.headers["HX-Trigger"] = event
        return response
    return redirect(then, 303)  # type: ignore[return-value]


def notice(text: str, status: int) -> Response:
    """Answer htmx with a notice in the page's notices."""
    response = make_response(render_template("shared/_notice.html", text=text, kind="error"), status)
    response.headers["HX-Retarget"] = "#notices"
    response.headers["HX-Reswap"] = "innerHTML"
    return response


# Language and theme


def language() -> str:
    """Return the language of this request: cookie, then what the browser prefers."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen in LANGUAGES and _available(str(chosen)):
        return str(chosen)
    offered = [name for name in LANGUAGES if _available(name)]
    return request.accept_languages.best_match(offered) or "en"


def theme() -> str:
    """Return light, dark or nothing for what the system says."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in ("light", "dark") else ""


@cache
def _available(name: str) -> bool:
    return name == "en" or (Path(paths.LOCALE) / name / "LC_MESSAGES" / "mcpweb.mo").is_file()


@cache
def _translations(name: str) -> gettext.NullTranslations:
    return gettext.translation("mcpweb", paths.LOCALE, [name], fallback=True)


def _gettext(text: str) -> str:
    return _translations(language()).gettext(text)


def _ngettext(one: str, many: str, count: int) -> str:
    return _translations(language()).ngettext(one, many, count)


# Filters


def ago(value: str | None) -> str:
    """Return how long ago a row's time was, in one unit."""
    if not value:
        return "–"
    seconds = max(0, int((datetime.now(UTC) - clock.parse(value)).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def duration(value: float | None) -> str:
    """Return milliseconds for people."""
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def pretty(value: Any) -> str:
    """Return JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
