"""What the performance test measures, and what it holds a server to."""
from __future__ import annotations

from mcpweb.plugin import Check

CHECKS = (
    Check("P01", "Cold start", "info",
          "Tells how long a new container takes until it can be used. Fails when some of the starts fail."),
    Check("P02", "Handshake and list", "info", "Tells how long the agreement and a list take."),
    Check("P03", "Latency of a call", "info",
          "Tells p50, p95 and, from 500 calls on, p99. Fails when a call gets no reply, or more than 1 % get an error."),
    Check("P04", "Throughput", "info",
          "Tells calls a second at 1 to 16 at once and the knee. Fails when calls fail that succeed one at a time."),
    Check("P05", "Resources under load", "medium",
          "Fails when memory or processes come within 10 % of their limit, the server is killed for memory, or a tool keeps "
          "some of each call."),
    Check("P06", "Not slower than the baseline", "high",
          "Fails when the whole 95 % interval of the ratio to a baseline, measured side by side, is above 1.05."),
    Check("P07", "Steady over time", "medium",
          "Fails when memory grows to the end of a soak, or the server is slower after it than a fresh one."),
)
