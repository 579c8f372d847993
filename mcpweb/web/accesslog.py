"""One line of the log for each answer, at the level info: the route and never the address, which may hold a token."""
from __future__ import annotations

import logging
import time

from flask import Response, request

from mcpweb.web.traffic import BEGAN

log = logging.getLogger("mcpweb.access")


def note(response: Response) -> Response:
    """Tell method, route, status and the time until the answer begins; formatters add request and actor."""
    if log.isEnabledFor(logging.INFO):
        route = request.url_rule.rule if request.url_rule is not None else "-"
        took = round((time.monotonic() - request.environ.get(BEGAN, time.monotonic())) * 1000, 1)
        log.info(
            "%s %s %d", request.method, route, response.status_code,
            extra={"method": request.method, "route": route, "status": response.status_code, "ms": took},
        )
    return response
