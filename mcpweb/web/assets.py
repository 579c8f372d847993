"""Static files: read once, served compressed under a name that changes with their content."""
from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, request

from mcpweb import paths
from mcpweb.errors import NotFound
from mcpweb.web.permissions import PUBLIC, permission

_TEXT = ("text/", "application/javascript", "image/svg+xml", "application/json")
_PUBLIC_SUFFIXES = (".css", ".js", ".svg")


@dataclass(frozen=True)
class Asset:
    """One file as it is sent; ``packed`` is None where compression gains nothing."""

    body: bytes
    packed: bytes | None
    media_type: str
    version: str


def install(app: Flask) -> None:
    """Serve ``static/`` under ``/static`` and give templates ``asset()``."""
    files = {
        path.relative_to(paths.STATIC).as_posix(): _read(path)
        for path in sorted(paths.STATIC.rglob("*"))
        if path.suffix in _PUBLIC_SUFFIXES
    }

    @permission(PUBLIC)
    def static(filename: str) -> Response:
        asset = files.get(filename)
        if asset is None:
            raise NotFound("There is no such file.")
        packed = asset.packed if "gzip" in request.headers.get("Accept-Encoding", "") else None
        response = Response(packed or asset.body, mimetype=asset.media_type)
        response.vary.add("Accept-Encoding")
        if packed:
            response.content_encoding = "gzip"
        return response

    def asset(name: str) -> str:
        return f"/static/{name}?v={files[name].version}"

    app.add_url_rule("/static/<path:filename>", "static", static)
    app.jinja_env.globals["asset"] = asset


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    packed = gzip.compress(body, 9, mtime=0) if media_type.startswith(_TEXT) else None
    return Asset(body, packed, media_type, hashlib.sha256(body).hexdigest()[:12])
