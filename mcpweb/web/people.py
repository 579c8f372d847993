"""Users and tokens, for admins: who may sign in and as what, where they are signed in, every token."""
from __future__ import annotations

from flask import Blueprint, Response, request, url_for

from mcpweb import clock
from mcpweb.contracts import ROLES
from mcpweb.dao import paging
from mcpweb.errors import Conflict, Failure, InvalidInput
from mcpweb.services import accounts, people, stepup
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond

bp = Blueprint("people", __name__, url_prefix="/users")
_MOST = 40


@bp.get("")
@permission("user.manage")
def index() -> Response:
    users_after, tokens_after = request.args.get("cursor", ""), request.args.get("tokens", "")
    users = people.listing(core(), actor(), after=paging.decode(users_after) if users_after else None, limit=_MOST)
    tokens = accounts.page_of_tokens(core(), actor(), after=paging.decode(tokens_after) if tokens_after else None, limit=_MOST)
    return respond(
        "people/index.html", users=users.rows, tokens=tokens.rows, now=clock.now(),
        names=people.names_of(core(), actor(), list({token.user_id for token in tokens.rows})),
        cursor=users_after, next=paging.encode(users.next) if users.next else "",
        tokens_cursor=tokens_after, tokens_next=paging.encode(tokens.next) if tokens.next else "",
    )


@bp.get("/new")
@permission("user.manage")
def new() -> Response:
    stepup.require(core(), actor())
    return _new({}, None)


@bp.post("")
@permission("user.manage")
def create() -> Response:
    form = request.form
    try:
        user = accounts.add_user(
            core(), actor(), name=form.get("name", "").strip(), role=form.get("role", ""),  # type: ignore[arg-type]
            password=form.get("password", ""),
        )
    except (InvalidInput, Conflict) as failure:
        return _new({"name": form.get("name", ""), "role": form.get("role", "")}, failure)
    return done(url_for("people.show", user_id=user.id), event="users-changed")


def _new(form: dict[str, str], failure: Failure | None) -> Response:
    status = failure.status if failure else 200
    return respond("people/new.html", http_status=status, form=form, failure=failure, roles=ROLES)


@bp.get("/<user_id>")
@permission("user.manage")
def show(user_id: str) -> Response:
    return _page(user_id, None)


def _page(user_id: str, failure: Failure | None) -> Response:
    return respond(
        "people/show.html", http_status=failure.status if failure else 200, held=people.holdings(core(), actor(), user_id),
        failure=failure, roles=ROLES, now=clock.now(),
    )


@bp.post("/<user_id>/role")
@permission("user.manage")
def role(user_id: str) -> Response:
    return _changed(user_id, role=request.form.get("role", ""))


@bp.post("/<user_id>/password")
@permission("user.manage")
def password(user_id: str) -> Response:
    return _changed(user_id, password=request.form.get("password", ""))


@bp.post("/<user_id>/disable")
@permission("user.manage")
def disable(user_id: str) -> Response:
    return _changed(user_id, disabled=True)


@bp.post("/<user_id>/enable")
@permission("user.manage")
def enable(user_id: str) -> Response:
    return _changed(user_id, disabled=False)


def _changed(user_id: str, **wanted: object) -> Response:
    try:
        people.change(core(), actor(), user_id, **wanted)  # type: ignore[arg-type]
    except (InvalidInput, Conflict) as failure:
        return _page(user_id, failure)
    return done(url_for("people.show", user_id=user_id), event="users-changed")


@bp.post("/<user_id>/sessions/end")
@permission("user.manage")
def end_sessions(user_id: str) -> Response:
    people.end_sessions(core(), actor(), user_id)
    return done(url_for("people.show", user_id=user_id), event="users-changed")


@bp.post("/<user_id>/sessions/<session_id>/end")
@permission("user.manage")
def end_session(user_id: str, session_id: str) -> Response:
    people.end_session(core(), actor(), session_id)
    return done(url_for("people.show", user_id=user_id), event="users-changed")


@bp.post("/<user_id>/tokens/<token_id>/revoke")
@permission("user.manage")
def revoke(user_id: str, token_id: str) -> Response:
    accounts.revoke(core(), actor(), token_id)
    listed = request.form.get("from") == "list"
    return done(url_for("people.index") if listed else url_for("people.show", user_id=user_id), event="users-changed")
