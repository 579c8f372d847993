"""The tab of a server's tests: what its last runs said, what changed, its numbers over time, and the next run."""
from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from mcpweb.services import configurations, test_runs, trends
from mcpweb.web import charts
from mcpweb.web.checks import titles
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.servers import tab

bp = Blueprint("server_tests", __name__, url_prefix="/servers/<server_id>/tests")
_RUNS = 30
FIRST = "P03.p50_ms"  # the number that is shown when none was chosen


@bp.get("")
@permission("test.view")
def index(server_id: str) -> Response:
    names = trends.names(core(), actor(), server_id)
    chosen = request.args.get("metric", "")[:200]
    rows = configurations.listing(core(), actor(), server_id=server_id, limit=200).rows
    return tab(
        server_id, "tests", runs=test_runs.listing(core(), actor(), server_id=server_id, limit=_RUNS).rows,
        recent=trends.recent(core(), actor(), server_id), types=list(core().test_types.values()), titles=titles(),
        configurations=rows, metrics=names, chart=_chart(server_id, names, chosen), chosen=chosen,
    )


def _chart(server_id: str, names: list[tuple[str, str]], chosen: str) -> dict[str, Any] | None:
    """Return the picture of one series: the one that was chosen, else the first."""
    known = {f"{name} {tool}": (name, tool) for name, tool in names}
    if not known:
        return None
    name, tool = known.get(chosen) or next((one for one in names if one[0] == FIRST), names[0])
    series = trends.series(core(), actor(), server_id, name, tool)
    values = [point.value for point in series.points]
    if not values:
        return None
    top = max([*values, series.high or 0.0])
    band = None if series.low is None or series.high is None else charts.band(max(0.0, series.low), series.high, top)
    picture = charts.line(values, least_top=top)
    return {"name": name, "tool": tool, "series": series, "now": values[-1], "picture": picture, "band": band}
