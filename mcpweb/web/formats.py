"""How values look to people: times, durations, sizes, documents. Everything returned is escaped."""
from __future__ import annotations

import json
from typing import Any

from flask import Flask, current_app, g
from markupsafe import Markup, escape

from mcpweb import clock
from mcpweb.schemas.definitions import visible
from mcpweb.services import accounts
from mcpweb.web.language import _, plural
from mcpweb.web.words import said

SOON_S = 14 * 86400.0
LONGEST_DOCUMENT = 64 * 1024


def ago(value: str | None) -> Markup | str:
    """Return a ``<time>`` that says how long ago it was, with the exact moment as its title."""
    if not value:
        return "–"
    seconds = max(0, int(clock.age(value)))
    if seconds < 5:
        text = _("just now")
    elif seconds < 60:
        text = plural("%(n)s s ago", "%(n)s s ago", seconds) % {"n": seconds}
    elif seconds < 3600:
        text = plural("%(n)s min ago", "%(n)s min ago", seconds // 60) % {"n": seconds // 60}
    elif seconds < 86400:
        text = plural("%(n)s h ago", "%(n)s h ago", seconds // 3600) % {"n": seconds // 3600}
    else:
        text = plural("%(n)s day ago", "%(n)s days ago", seconds // 86400) % {"n": seconds // 86400}
    exact = escape(clock.rfc3339(value))
    return Markup(f'<time datetime="{exact}" title="{escape(value[:19])} UTC">{escape(text)}</time>')  # noqa: S704 - of escaped parts


def soon(value: str | None) -> bool:
    """Tell whether a time lies within the next two weeks, or behind us."""
    return value is not None and value <= clock.later(SOON_S)


def moment(value: str | None) -> Markup | str:
    """Return a ``<time>`` that says when it was."""
    if not value:
        return "–"
    return Markup('<time datetime="{}">{} UTC</time>').format(clock.rfc3339(value), value[:19])


def between(start: str | None, end: str | None) -> str:
    """Return the time from start to end (now, while it lasts)."""
    if not start:
        return "–"
    last = clock.parse(end).timestamp() if end else clock.source()
    return duration(max(0.0, last - clock.parse(start).timestamp()) * 1000)


def duration(ms: float | None) -> str:
    """Return milliseconds as people say them."""
    if ms is None:
        return "–"
    if ms < 1:
        return f"{ms:.2f} ms"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    return f"{int(ms // 60_000)} min {int(ms % 60_000 // 1000)} s"


def size(count: float | None) -> str:
    """Return bytes as people say them."""
    if count is None:
        return "–"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return ""


def document(value: Any) -> str:
    """Return a value as indented JSON, cut where nobody reads on."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return text if len(text) <= LONGEST_DOCUMENT else text[:LONGEST_DOCUMENT] + "\n…"


def inline(value: Any, most: int = 80) -> str:
    """Return a value as JSON on one line, cut."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else text[:most - 1] + "…"


def unquoted(text: str) -> str:
    """Return a JSON value as a choice of a list: a text without its quotes."""
    return str(json.loads(text)) if text.startswith('"') else text


def prose(text: str | None) -> Markup:
    """Return a sentence in the language of the page; what stands between backticks in it is shown as code."""
    text = said(text or "")
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return Markup("{}").format(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else part for at, part in enumerate(parts))


def breakable(name: str) -> Markup:
    """Return a long name that may go on in another line behind each of its underscores, not within a word."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_")) if len(name) > 24 else escape(name)


def who(name: str | None) -> str:
    """Return who an actor's name means: a person's or token's name, or the part of ours that acted."""
    if not name:
        return "–"
    kind, _colon, rest = name.partition(":")
    if kind in ("user", "token"):
        if "labels" not in g:
            g.labels = accounts.labels(current_app.extensions["mcpweb"])
        return str(g.labels.get(name, rest))
    return {"cli": _("%(name)s (command line)") % {"name": rest}, "system": "mcpweb"}.get(kind, name)


def install(app: Flask) -> None:
    """Give templates the filters and ``between``."""
    app.jinja_env.filters.update(
        ago=ago, moment=moment, duration=duration, size=size, document=document, who=who, unquoted=unquoted, prose=prose,
        soon=soon, visible=visible, inline=inline, breakable=breakable,
    )
    app.jinja_env.globals["between"] = between
