"""Jobs: what runs in the background, what became of it, and word of the end of one's own."""
from __future__ import annotations

import re
from urllib.parse import urlencode

from flask import Blueprint, Response, g, make_response, render_template, request, url_for

from mcpweb import clock
from mcpweb.dao import paging
from mcpweb.dao.jobs import Job
from mcpweb.errors import InvalidInput, NotFound
from mcpweb.services import jobs, servers
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond
from mcpweb.web.words import KINDS

bp = Blueprint("jobs", __name__, url_prefix="/jobs")
STATES = ("queued", "running", "succeeded", "failed", "cancelled")
COOKIE = "mcpweb-jobs"
_ASKED = ("state", "kind", "subject")
_WATCHED_S = 900
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")


@bp.get("")
@permission("job.view")
def index() -> Response:
    cursor = request.args.get("cursor")
    asked = {name: text for name in _ASKED if (text := request.args.get(name, "").strip()[:100])}
    if asked.get("state", "queued") not in STATES:
        raise InvalidInput(f"state is one of {', '.join(STATES)}.")
    listing = jobs.listing(
        core(), actor(), after=paging.decode(cursor) if cursor else None, state=asked.get("state"), kind=asked.get("kind"),
        subject=_subject(asked.get("subject", "")),
    )
    subjects = (row.subject.partition(":")[2] for row in listing.rows)
    return respond(
        "jobs/index.html", listing=listing, cursor=cursor, names=servers.names_of(core(), subjects), asked=asked, states=STATES,
        kinds=KINDS, url="/jobs" + (f"?{urlencode(asked)}" if asked else ""),
        next=paging.encode(listing.next) if listing.next else None,
    )


@bp.get("/<job_id>")
@permission("job.view")
def show(job_id: str) -> Response:
    job = jobs.get(core(), actor(), job_id)
    subject = job.subject.partition(":")[2]
    return respond("jobs/show.html", job=job, names=servers.names_of(core(), [subject]), place=place(job))


@bp.get("/news")
@permission("job.view")
def news() -> Response:
    """Tell which of one's own jobs ended since, as notices; asked again while one of them is open."""
    since = request.args.get("since", "")
    if not _TIME.fullmatch(since):
        raise InvalidInput("since is a time such as 2026-11-24 08:30:00.000.")
    now = clock.now()
    unfinished, ended = jobs.news(core(), actor(), since)
    names = servers.names_of(core(), (job.subject.partition(":")[2] for job in ended))
    body = render_template("jobs/_news.html", watching=bool(unfinished), since=now, ended=ended, names=names, place=place)
    response = make_response(body)
    if unfinished:
        _wait_from(response, now)
    else:
        response.delete_cookie(COOKIE, httponly=True, samesite="Lax")
    return response


@bp.post("/<job_id>/cancel")
@permission("job.cancel")
def cancel(job_id: str) -> Response:
    """Ask a job to stop; a rotation only after a second look, since half of the secrets may have moved."""
    job = jobs.get(core(), actor(), job_id)
    if job.kind == "rotate" and request.form.get("sure") != "yes":
        return respond("jobs/cancel.html", job=job)
    jobs.cancel(core(), actor(), job_id)
    return done(url_for("jobs.index"), event="job-changed, server-changed")


def place(job: Job) -> str:
    """Return the page on which the outcome of a job is seen best."""
    if run_id := job.payload.get("run_id"):
        return f"/test-runs/{run_id}"
    if job.kind in ("rotate", "verify_keys"):
        return "/keys"
    return "/audit" if job.kind == "verify_audit" else f"/jobs/{job.id}"


def _subject(text: str) -> str | None:
    """Return the subject rows hold of what was typed: a server's name, or the subject itself."""
    if not text or ":" in text:
        return text or None
    try:
        return f"server:{servers.get(core(), actor(), text).id}"
    except NotFound:
        return text


def watch(response: Response) -> Response:
    """Let the pages of who asked for a job tell its end, the next page too when it has ended by then."""
    asked_at = g.get("asked_for_job")
    if asked_at and not request.path.startswith("/api/"):
        _wait_from(response, _told_until() or asked_at)
    return response


def _wait_from(response: Response, at: str) -> None:
    """Keep in the browser that it waits for news, and until when it has heard them."""
    secure = core().settings.secure_cookie
    response.set_cookie(COOKIE, at.replace(" ", "T"), max_age=_WATCHED_S, httponly=True, secure=secure, samesite="Lax")


def _told_until() -> str:
    """Return until when this browser has heard of its jobs, nothing when it waits for none."""
    at = request.cookies.get(COOKIE, "").replace("T", " ")
    return at if _TIME.fullmatch(at) else ""


def watching() -> bool:
    """Tell whether this browser waits for the end of a job."""
    return bool(_told_until() or g.get("asked_for_job"))


def news_since() -> str:
    """Return from when on a page has to tell what ended: what was not told yet, else what ends from now on."""
    return _told_until() or g.get("asked_for_job") or clock.now()


@bp.record
def _install(state: object) -> None:
    app = state.app  # type: ignore[attr-defined]
    app.after_request(watch)
    app.jinja_env.globals.update(watches_jobs=watching, news_since=news_since)
