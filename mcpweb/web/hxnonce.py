"""Stamp ``hx-nonce`` on the tags of our own templates that carry ``hx-*`` attributes, when they are compiled.

Markup that arrives as data is never compiled, so it can never carry the nonce, and the browser keeps it inert.
"""
from __future__ import annotations

import re

from jinja2.ext import Extension

_TAG = re.compile(r"<([a-zA-Z][\w-]*)((?:\{\{.*?\}\}|\{%.*?%\}|\"[^\"]*\"|'[^']*'|[^'\"<>{]|\{(?![{%]))*)>", re.DOTALL)
_HTMX = re.compile(r"(?:^|[\s}])(?:hx-[a-z]|formaction=)")  # a button that sends a boosted form elsewhere needs it, too


class HxNonce(Extension):
    """Adds ``hx-nonce="{{ nonce() }}"`` to every tag with an ``hx-`` attribute in the source of a template."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return _TAG.sub(_stamp, source)


def _stamp(match: re.Match[str]) -> str:
    tag, attributes = match.groups()
    if not _HTMX.search(attributes):
        return match[0]
    return f'<{tag} hx-nonce="{{{{ nonce() }}}}"{attributes}>'
