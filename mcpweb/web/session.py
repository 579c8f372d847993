"""First run, sign-in, sign-out, the password once more, language and theme."""
from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request

from mcpweb.core import Core
from mcpweb.errors import Failure, NotFound
from mcpweb.services import accounts, stepup
from mcpweb.web import language
from mcpweb.web.identity import actor, core, optional_actor
from mcpweb.web.permissions import PUBLIC, permission
from mcpweb.web.pluginpages import sign_in_links
from mcpweb.web.rendering import SHORTCUTS_COOKIE, STEPS_COOKIE, THEME_COOKIE, THEMES

bp = Blueprint("session", __name__)
_PREFERENCES = (
    (language.COOKIE, "language", tuple(language.LANGUAGES)), (THEME_COOKIE, "theme", THEMES),
    (SHORTCUTS_COOKIE, "shortcuts", ("on", "off")), (STEPS_COOKIE, "first_steps", ("on", "off")),
)


@bp.get("/setup/<token>")
@permission(PUBLIC)
def setup(token: str) -> Response:
    accounts.check_setup(core(), token)
    return make_response(render_template("session/setup.html", token=token, name="", failure=None))


@bp.post("/setup/<token>")
@permission(PUBLIC)
def create_admin(token: str) -> Response:
    name, password = request.form.get("username", ""), request.form.get("password", "")
    try:
        accounts.create_first_admin(core(), token, name, password)
    except NotFound:
        raise
    except Failure as failure:
        page = render_template("session/setup.html", token=token, name=name, failure=failure)
        return make_response(page, failure.status)
    return _signed_in(name, password, "/")


@bp.get("/sign-in")
@permission(PUBLIC)
def sign_in() -> Response:
    if optional_actor() is not None:
        return redirect(own_path(request.args.get("next")), 303)  # type: ignore[return-value]
    return _form("", None, 200)


@bp.post("/sign-in")
@permission(PUBLIC)
def open_session() -> Response:
    name = request.form.get("username", "")
    try:
        return _signed_in(name, request.form.get("password", ""), own_path(request.args.get("next")))
    except Failure as failure:
        response = _form(name, failure, failure.status)
        if failure.retry_after is not None:
            response.headers["Retry-After"] = str(failure.retry_after)
        return response


@bp.post("/sign-out")
@permission("session.own")
def sign_out() -> Response:
    accounts.sign_out(core(), actor())
    response = redirect("/sign-in", 303)
    response.delete_cookie(session_cookie(core()), secure=core().settings.secure_cookie, httponly=True)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response  # type: ignore[return-value]


@bp.get("/step-up")
@permission("session.own")
def step_up() -> Response:
    return _step_up(None)


@bp.post("/step-up")
@permission("session.own")
def confirm() -> Response:
    try:
        secret, _confirmed = stepup.confirm(core(), actor(), request.form.get("password", ""))
    except Failure as failure:
        response = _step_up(failure)
        if failure.retry_after is not None:
            response.headers["Retry-After"] = str(failure.retry_after)
        return response
    return with_session(redirect(own_path(request.args.get("next")), 303), secret)  # type: ignore[arg-type]


def _step_up(failure: Failure | None) -> Response:
    status = 200 if failure is None else 422 if failure.status == 401 else failure.status
    then = own_path(request.args.get("next"))
    return make_response(render_template(
        "session/step_up.html", failure=failure, then=then, links=sign_in_links(core(), then, confirm=True),
        has_password=stepup.has_password(core(), actor()),
    ), status)


@bp.post("/preferences")
@permission(PUBLIC)
def preferences() -> Response:
    response: Response = redirect(own_path(request.form.get("next")), 303)  # type: ignore[assignment]
    chosen = {field: str(request.form[field]) for _, field, known in _PREFERENCES if request.form.get(field) in known}
    _prefer(response, chosen)
    who = optional_actor()
    if who is not None and who.via == "session":
        accounts.prefer(core(), who, language=chosen.get("language"), theme=chosen.get("theme"))
    return response


def _prefer(response: Response, chosen: Mapping[str, str]) -> None:
    """Let the browser keep how pages look and which language they speak."""
    for cookie, field, known in _PREFERENCES:
        if chosen.get(field) in known:
            response.set_cookie(cookie, chosen[field], max_age=31536000, samesite="Lax", httponly=True,
                                secure=core().settings.secure_cookie)


def _form(name: str, failure: Failure | None, status: int) -> Response:
    needed = accounts.setup_needed(core())
    links = sign_in_links(core(), own_path(request.args.get("next")))
    page = render_template("session/sign_in.html", name=name, failure=failure, setup_needed=needed, links=links)
    return make_response(page, status)


def _signed_in(name: str, password: str, then: str) -> Response:
    secret, user = accounts.sign_in(core(), name, password, request.remote_addr or "", request.user_agent.string)
    response = with_session(redirect(then, 303), secret)  # type: ignore[arg-type]
    _prefer(response, {"language": user.language, "theme": user.theme})
    return response


def with_session(response: Response, secret: str) -> Response:
    """Let the browser keep a session's secret."""
    secure = core().settings.secure_cookie
    response.set_cookie(session_cookie(core()), secret, secure=secure, httponly=True, samesite="Lax", path="/")
    return response


def session_cookie(core: Core) -> str:
    """Return the name of the cookie that holds a session's secret."""
    return "__Host-mcpweb" if core.settings.secure_cookie else "mcpweb"


def own_path(given: str | None) -> str:
    """Return the path if it is one of ours, else the front page; another site's address never gets through."""
    if not given or not given.startswith("/") or given.startswith(("//", "/\\")) or any(c < " " for c in given):
        return "/"
    parts = urlsplit(given)
    return given if not parts.scheme and not parts.netloc else "/"
