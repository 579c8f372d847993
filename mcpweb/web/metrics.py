"""``/metrics`` for Prometheus and what reads its format. Its library is loaded by the first who asks."""
from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app

from mcpweb import __version__
from mcpweb.services import gauges
from mcpweb.web.identity import core
from mcpweb.web.permissions import permission
from mcpweb.web.traffic import BOUNDS, Traffic

if TYPE_CHECKING:
    from prometheus_client.core import Metric

bp = Blueprint("metrics", __name__)
EXTENSION = "mcpweb.traffic"


@bp.get("/metrics")
@permission("metrics.view")
def metrics() -> Response:
    """Tell the state of the installation and what the web processes answered."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Now())  # type: ignore[arg-type]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Now:
    """Collects when it is asked."""

    def describe(self) -> list[Metric]:
        """Return nothing: names are known when they are collected, and nobody else registers any."""
        return []

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

        yield InfoMetricFamily("mcpweb", "The program.", value={"version": __version__})
        for gauge in gauges.read(core()):
            family = GaugeMetricFamily(f"mcpweb_{gauge.name}", gauge.help, labels=[gauge.label] if gauge.label else [])
            for word, value in gauge.values:
                family.add_metric([word] if gauge.label else [], value)
            yield family
        traffic: Traffic = current_app.extensions[EXTENSION]
        seen = traffic.seen()
        answered = CounterMetricFamily("mcpweb_http_requests", "Requests answered, by class of status.", labels=["status"])
        for name, count in seen.by_class.items():
            answered.add_metric([name], count)
        yield answered
        edges = [*(str(bound) for bound in BOUNDS), "+Inf"]
        took = HistogramMetricFamily("mcpweb_http_request_seconds", "Time until an answer begins.")
        took.add_metric([], list(zip(edges, accumulate(seen.buckets), strict=True)), seen.seconds)
        yield took
