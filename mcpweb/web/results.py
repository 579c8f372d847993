"""What a tool answered, as it is shown: pieces, a tree that ends, where the time went, what differs, how to repeat it."""
from __future__ import annotations

import base64
import binascii
import difflib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcpweb import clock
from mcpweb.dao.jobs import Job
from mcpweb.web.formats import document

_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_LARGEST_IMAGE = 2 << 20
_LONGEST_TEXT = 200_000
_MOST_PIECES = 50
_MOST_NODES = 400
_DEEPEST = 12
_MOST_LINES = 200


@dataclass(frozen=True)
class Branch:
    """A member of a document: a plain value, or branches of its own. ``left`` counts members that are not shown."""

    name: str
    text: str
    children: tuple[Branch, ...] = ()
    left: int = 0


@dataclass(frozen=True)
class Piece:
    """One part of a result as it is shown: text, an image as a data address, or a document with its tree."""

    kind: str
    text: str = ""
    url: str = ""
    value: Any = None
    tree: tuple[Branch, ...] = ()


def pieces(job: Job) -> list[Piece]:
    """Return the content of a finished call in parts that can be shown; what is unknown is shown as a document."""
    found = _answer(job)
    content = found.get("content")
    return [_piece(part) for part in content[:_MOST_PIECES]] if isinstance(content, list) else []


def structured(job: Job) -> tuple[Branch, ...]:
    """Return the structured content of a finished call as a tree, empty without any."""
    value = _answer(job).get("structuredContent")
    return () if value is None else tree(value)


def _answer(job: Job) -> Mapping[str, Any]:
    found = job.result.get("result") if isinstance(job.result, dict) else None
    return found if isinstance(found, dict) else {}


def _piece(part: Any) -> Piece:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        text = part["text"][:_LONGEST_TEXT]
        return Piece("text", text=text, tree=_as_tree(text))
    if kind == "image" and part.get("mimeType") in _IMAGES and isinstance(part.get("data"), str):
        try:
            raw = base64.b64decode(part["data"][:_LARGEST_IMAGE], validate=True)
        except (binascii.Error, ValueError):
            return Piece("document", value=part)
        return Piece("image", url=f"data:{part['mimeType']};base64,{base64.b64encode(raw).decode()}")
    return Piece("document", value=part)


def _as_tree(text: str) -> tuple[Branch, ...]:
    if text[:1] not in ("{", "[") or len(text) < 60:
        return ()
    try:
        return tree(json.loads(text))
    except (ValueError, RecursionError):
        return ()


def tree(value: Any) -> tuple[Branch, ...]:
    """Return the members of an object or list, at most some hundreds in all and some levels deep."""
    left = [_MOST_NODES]

    def grown(inner: Any, depth: int) -> tuple[tuple[Branch, ...], int]:
        members = list(inner.items()) if isinstance(inner, dict) else list(enumerate(inner)) if isinstance(inner, list) else []
        shown = []
        for name, member in members:
            if left[0] <= 0 or depth >= _DEEPEST:
                break
            left[0] -= 1
            children, cut = grown(member, depth + 1)
            shown.append(Branch(str(name)[:200], _summary(member), children, cut))
        return tuple(shown), len(members) - len(shown)

    branches, cut = grown(value, 0)
    return (*branches, Branch("…", f"+{cut}")) if cut else branches


def _summary(value: Any) -> str:
    """Return a plain value as JSON, and how much is in one that is not."""
    if isinstance(value, dict):
        return f"{{{len(value)}}}"
    return f"[{len(value)}]" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)[:2000]


@dataclass(frozen=True)
class Span:
    """A part of the time a call took; ``share`` is in percent of all of it."""

    name: str
    ms: float
    share: int


def spans(job: Job) -> list[Span]:
    """Return how long a call waited, how long its container took to be ready, and the call itself; empty where unknown."""
    result = job.result if isinstance(job.result, dict) else {}
    ready, call = result.get("ready_ms"), result.get("duration_ms")
    if job.started_at is None or not isinstance(ready, int | float) or not isinstance(call, int | float):
        return []
    waited = max(0.0, (clock.parse(job.started_at) - clock.parse(job.created_at)).total_seconds() * 1000)
    parts = (("queue", waited), ("container", float(ready)), ("call", float(call)))
    whole = sum(ms for _name, ms in parts) or 1.0
    return [Span(name, ms, round(ms / whole * 100)) for name, ms in parts]


def differences(now: Job, then: Job) -> list[tuple[str, str]]:
    """Return the lines in which two answers differ as (``-`` or ``+`` or a blank, text), none when they are the same."""
    old, new = (document(_without_meta(_answer(job))).split("\n") for job in (then, now))
    if old == new:
        return []
    lines: Iterator[str] = difflib.unified_diff(old[:4000], new[:4000], lineterm="", n=1)
    return [(line[:1], line[1:500]) for line in lines if not line.startswith(("---", "+++", "@@"))][:_MOST_LINES]


def _without_meta(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "_meta"}


def commands(server: str, tool: str, arguments: Any, *, url: str) -> dict[str, str]:
    """Return the same call as commands for a shell: ours, and curl with a token."""
    given = json.dumps(arguments, ensure_ascii=False)
    body = json.dumps({"arguments": arguments}, ensure_ascii=False)
    return {
        "mcpweb": f"mcpweb servers call {shlex.quote(server)} {shlex.quote(tool)} {shlex.quote(given)}",
        "curl": (
            "curl -X POST -H \"Authorization: Bearer $MCPWEB_TOKEN\" -H 'Content-Type: application/json' "
            f"-d {shlex.quote(body)} {shlex.quote(url)}"
        ),
    }
