"""``/healthz`` and ``/readyz``"""
from __future__ import annotations

from flask import Blueprint, Response, jsonify

from mcpweb.services import health
from mcpweb.web.identity import core
from mcpweb.web.permissions import PUBLIC, permission

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@permission(PUBLIC)
def healthz() -> Response:
    return jsonify(status="ok")


@bp.get("/readyz")
@permission(PUBLIC)
def readyz() -> tuple[Response, int]:
    facts = health.readiness(core())
    return jsonify(facts), 200 if facts["ready"] else 503
