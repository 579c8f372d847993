"""One's own account, for everybody signed in: password, sessions, API tokens."""
from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from mcpweb import clock
from mcpweb.contracts import ROLES
from mcpweb.errors import Conflict, Failure, FieldError, InvalidInput, NotFound, TooManyRequests, Unauthenticated
from mcpweb.services import accounts, people, stepup
from mcpweb.web.identity import actor, core
from mcpweb.web.language import _
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond
from mcpweb.web.session import with_session

bp = Blueprint("account", __name__, url_prefix="/account")
LIVES = (7, 30, 90, 180, 365)


@bp.get("")
@permission("session.own")
def index() -> Response:
    return _page()


def _page(failure: Failure | None = None, **context: Any) -> Response:
    status = 200 if failure is None else 422 if failure.status == 401 else failure.status
    response = respond(
        "account/index.html", http_status=status, held=people.holdings(core(), actor()), failure=failure, now=clock.now(),
        **context,
    )
    if failure is not None and failure.retry_after is not None:
        response.headers["Retry-After"] = str(failure.retry_after)
    return response


@bp.post("/password")
@permission("session.own")
def password() -> Response:
    """Change one's password; every other session ends, and this one goes on under a new name."""
    form = request.form
    try:
        if form.get("password", "") != form.get("again", ""):
            raise InvalidInput(_("The two new passwords differ."), errors=[FieldError("/again", _("not the same"))])
        secret, _changed = people.change_own_password(core(), actor(), form.get("current", ""), form.get("password", ""))
    except (InvalidInput, Unauthenticated, TooManyRequests) as failure:
        return _page(failure, of="password")
    return with_session(done(f"{url_for('account.index')}?changed=password", event="account-changed"), secret)


@bp.post("/sessions/end")
@permission("session.own")
def end_sessions() -> Response:
    people.end_sessions(core(), actor())
    return done(url_for("account.index"), event="account-changed")


@bp.post("/sessions/<session_id>/end")
@permission("session.own")
def end_session(session_id: str) -> Response:
    if session_id not in (one.id_hash[: people.SHOWN] for one in people.sessions(core(), actor())):
        raise NotFound("There is no such session.")
    people.end_session(core(), actor(), session_id)
    return done(url_for("account.index"), event="account-changed")


@bp.get("/tokens/new")
@permission("token.own")
def new_token() -> Response:
    stepup.require(core(), actor())
    return _new({}, None)


@bp.post("/tokens")
@permission("token.own")
def create_token() -> Response:
    """Create a token and show its text, which only this answer has."""
    form = request.form.to_dict()
    days = form.get("days", "")
    try:
        text = accounts.create_token(
            core(), actor(), user=actor().user_id, name=form.get("name", ""), role=form.get("role") or None,  # type: ignore[arg-type]
            days=int(days) if days.isascii() and days.isdigit() and len(days) < 6 else 0,
        )
    except (InvalidInput, Conflict) as failure:
        return _new(form, failure)
    return respond("account/token.html", text=text, token=accounts.token_of(core(), text))


def _new(form: dict[str, str], failure: Failure | None) -> Response:
    own = ROLES[: ROLES.index(actor().role) + 1]
    return respond(
        "account/new.html", http_status=failure.status if failure else 200, form=form, failure=failure, roles=own, lives=LIVES,
    )


@bp.post("/tokens/<token_id>/revoke")
@permission("token.own")
def revoke(token_id: str) -> Response:
    accounts.revoke(core(), actor(), token_id)
    return done(url_for("account.index"), event="account-changed")
