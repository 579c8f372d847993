"""Which language a page speaks: cookie, then the browser's wish. gettext at run time, Babel only for development."""
from __future__ import annotations

import gettext
from collections.abc import Iterator
from functools import cache, lru_cache

from flask import Flask, g, has_request_context, request

from mcpweb import paths

LANGUAGES = {"en": "English", "ja": "日本語"}
COOKIE = "mcpweb-language"


def chosen() -> str:
    """Return the language of this request."""
    if not has_request_context():
        return "en"
    known: str | None = g.get("language")  # looked up hundreds of times a page
    if known is None:
        wanted = request.cookies.get(COOKIE, "")
        known = g.language = wanted if wanted in LANGUAGES else str(request.accept_languages.best_match(LANGUAGES, "en"))
    return known


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation("mcpweb", paths.LOCALE, [language], fallback=True)


@lru_cache(maxsize=4096)
def _in(language: str, text: str) -> str:
    return _catalogue(language).gettext(text)


def _(text: str) -> str:
    """Return the text in the language of this request."""
    return _in(chosen(), text) if text else ""


def has(language: str, text: str) -> str | None:
    """Return a text's translation into a language, None where there is none."""
    told = _catalogue(language).gettext(text) if text else text  # the empty text is the head of a catalogue
    return told if told != text else None


def with_places(language: str) -> Iterator[tuple[str, str]]:
    """Return the texts of a language with places such as {0}, and their translations."""
    known = getattr(_catalogue(language), "_catalog", {})
    return ((text, told) for text, told in known.items() if isinstance(text, str) and "{0" in text)


def plural(one: str, many: str, count: int) -> str:
    """Return the form of the text that fits the count."""
    return _catalogue(chosen()).ngettext(one, many, count)


def install(app: Flask) -> None:
    """Give templates ``_`` and ``ngettext``."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(_, plural, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.globals.update(language=chosen, LANGUAGES=LANGUAGES)
