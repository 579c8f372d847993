"""``/settings/transfer``: the whole set-up out as a file, and in again."""
from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, request, url_for

from mcpweb import catalogs
from mcpweb.errors import Failure, InvalidInput
from mcpweb.services import jobs, setup, transfer
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import large, throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import respond

bp = Blueprint("transfer", __name__, url_prefix="/settings/transfer")
_WAIT_S = 0.8


@bp.get("")
@permission("settings.view")
def index() -> Response:
    return _page()


def _page(failure: Failure | None = None) -> Response:
    return respond(
        "transfer/index.html", http_status=failure.status if failure else 200, failure=failure, strategies=setup.STRATEGIES,
        chosen=request.form.get("conflict", "refuse"), dry_run=request.method != "POST" or "dry_run" in request.form,
        job=jobs.newest(core(), "import", transfer.SUBJECT),
    )


@bp.get("/export")
@permission("settings.view")
def export() -> Response:
    """Send the set-up as a file."""
    response = make_response(transfer.written(transfer.export(core(), actor())))
    response.mimetype = "application/json"
    response.headers["Content-Disposition"] = 'attachment; filename="mcpweb-setup.json"'
    return response


@bp.post("")
@permission("settings.edit")
@large
def take() -> Response:
    """Import a set-up from a file, or say what that would do."""
    file = request.files.get("file")
    try:
        if file is None or not file.filename:
            raise InvalidInput("There is no file.", next_step="Choose one that was exported.")
        text = catalogs.decoded(file.stream.read(catalogs.LARGEST + 1))
        throttle_jobs()
        job = transfer.request(
            core(), actor(), text, strategy=request.form.get("conflict", "refuse"), dry_run="dry_run" in request.form
        )
    except Failure as failure:
        return _page(failure)
    jobs.wait(core(), job.id, _WAIT_S)
    return redirect(url_for("transfer.index"), 303)  # type: ignore[return-value]
