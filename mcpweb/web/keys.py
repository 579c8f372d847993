"""Keys: versions and their states, rotation as it runs, the key-encryption key, verifying, destroying, unlocking."""
from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from mcpweb.contracts import Sensitive
from mcpweb.dao.jobs import Job
from mcpweb.errors import Failure, FieldError, InvalidInput, StepUpNeeded
from mcpweb.services import health, jobs, keycheck, keydestroy, keys, secrets
from mcpweb.services.keys import KeyFacts
from mcpweb.web.identity import actor, core
from mcpweb.web.language import _
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond

bp = Blueprint("keys", __name__, url_prefix="/keys")
_WAIT_S = 0.4


@bp.get("")
@permission("key.view")
def index() -> Response:
    return _page()


@bp.post("")
@permission("key.manage")
def create() -> Response:
    form = request.form
    try:
        keys.add(core(), actor(), form.get("name", "").strip(), cipher=form.get("cipher", ""), source=form.get("source") or None)
    except Failure as failure:
        return _page(form=form.to_dict(), failure=failure)
    return done(url_for("keys.index"), event="key-rotated")


@bp.post("/<name>/rotate")
@permission("key.manage")
def rotate(name: str) -> Response:
    throttle_jobs()
    job = keys.rotate(core(), actor(), name, compromised="compromised" in request.form)
    jobs.wait(core(), job.id, _WAIT_S)
    return done(url_for("keys.index"), event="key-rotated")


@bp.post("/<name>/destroy")
@permission("key.manage")
def destroy(name: str) -> Response:
    """Destroy a retired version and show the evidence, with what it cannot claim."""
    number = request.form.get("version", "")
    try:
        if request.form.get("confirm", "").strip() != name:
            raise InvalidInput(_("Type the name of the key exactly to confirm."), errors=[FieldError("/confirm", name)])
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise InvalidInput("version is a whole number.", errors=[FieldError("/version", "a whole number")])
        evidence = keydestroy.destroy(core(), actor(), name, int(number), force="force" in request.form)
    except Failure as failure:
        return _page(failure=failure)
    return _page(evidence=evidence)


@bp.post("/rotate-kek")
@permission("key.manage")
def rotate_kek() -> Response:
    try:
        changed = keys.rotate_kek(core(), actor())
    except Failure as failure:
        return _page(failure=failure)
    return _page(changed=changed)


@bp.post("/verify")
@permission("key.manage")
def verify() -> Response:
    """Ask for the check; the page shows how far it is and which secrets do not open."""
    throttle_jobs()
    jobs.wait(core(), keycheck.request_verify(core(), actor()).id, _WAIT_S)
    return done(url_for("keys.index"), event="job-changed")


@bp.post("/unlock")
@permission("key.manage")
def unlock() -> Response:
    """Look at the key sources again; a passphrase goes to the processes' memory and nowhere else."""
    passphrase = request.form.get("passphrase", "")
    keys.unlock(core(), actor(), Sensitive(passphrase) if passphrase else None)
    return done(url_for("keys.index"), event="key-rotated")


def _page(*, failure: Failure | None = None, form: dict[str, str] | None = None, **context: Any) -> Response:
    if isinstance(failure, StepUpNeeded):
        raise failure
    found = keys.listing(core(), actor())
    state = health.vault_state(core())
    return respond(
        "keys/index.html", http_status=failure.status if failure else 200, keys=found, failure=failure, form=form or {},
        vault=state, last={facts.key.id: _last_rotation(facts) for facts in found}, ciphers=core().vault.ciphers,
        fault_words=_fault_words(), notice_words=_notice_words(), names=_names(found),
        sources=list(core().vault.sources), checking=jobs.newest(core(), "verify_keys", "keys"),
        default_source=core().vault.default_source, **context,
    )


def _fault_words() -> dict[str, str]:
    return {
        "damaged": _("does not open."),
        "earlier_value": _("holds an earlier value than the one written last."),
        "unknown_value": _("holds a value the audit log does not tell of."),
        "closed_version": _("stands under a key version that is out of use."),
        "nonce_twice": _("was encrypted with the same nonce as another secret."),
    }


def _notice_words() -> dict[str, str]:
    return {
        "near_limit": _("It was used more often than its cipher advises."),
        "counter_low": _("It counts fewer uses than values stand under it."),
    }


def _names(found: list[KeyFacts]) -> dict[str, str]:
    """Return the names of the secrets that did not open, by id."""
    ids = [row.secret_id for facts in found for row in facts.quarantined][:20]
    return {secret_id: secrets.get(core(), actor(), secret_id).name for secret_id in ids}


def _last_rotation(facts: KeyFacts) -> Job | None:
    """Return the newest rotation of a key that has ended."""
    rows = jobs.listing(core(), actor(), kind="rotate", subject=f"key:{facts.key.id}", limit=3).rows
    return next((job for job in rows if job.finished), None)

