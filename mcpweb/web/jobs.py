"""Jobs: what runs in the background."""
from __future__ import annotations

from flask import Blueprint, Response, request, url_for

from mcpweb.dao import paging
from mcpweb.services import jobs, servers
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond

bp = Blueprint("jobs", __name__, url_prefix="/jobs")


@bp.get("")
@permission("job.view")
def index() -> Response:
    cursor = request.args.get("cursor")
    listing = jobs.listing(core(), actor(), after=paging.decode(cursor) if cursor else None)
    subjects = (row.subject.partition(":")[2] for row in listing.rows)
    return respond("jobs/index.html", listing=listing, cursor=cursor, names=servers.names_of(core(), subjects),
                   next=paging.encode(listing.next) if listing.next else None)


@bp.post("/<job_id>/cancel")
@permission("job.cancel")
def cancel(job_id: str) -> Response:
    jobs.cancel(core(), actor(), job_id)
    return done(url_for("jobs.index"), event="job-changed, server-changed")
