"""A start in the background meets what people decided meanwhile."""
from __future__ import annotations

from mcpweb.dao.servers import Server
from tests.plugins.test_secret_starts import Bench, bench

__all__ = ["bench"]


def start_in_the_background(bench: Bench, row: Server) -> None:
    """Have the watch start a server as it was read some time ago, and wait until that is done."""
    watch = bench.worker._watch
    watch._start(row)
    watch._starters.shutdown(wait=True)


def test_a_start_that_waited_does_not_undo_a_stop(bench: Bench) -> None:
    server = bench.server()
    assert bench.ask(server, "start").state == "succeeded"
    wanted = bench.seen(server)
    assert wanted.wanted == "running" and bench.ask(server, "stop").state == "succeeded"
    start_in_the_background(bench, wanted)
    assert bench.seen(server).status == "stopped" and bench.worker.fleet.member(server.id) is None
    assert not bench.core.runtime.containers(bench.core.instance.id)


def test_a_server_that_is_still_wanted_is_started(bench: Bench) -> None:
    server = bench.server()
    assert bench.ask(server, "start").state == "succeeded"
    bench.worker.fleet.stop(server.id, "system:worker", lambda fraction, message: None)  # gone, and nobody said so
    start_in_the_background(bench, bench.seen(server))
    assert bench.seen(server).status == "running" and bench.worker.fleet.member(server.id) is not None
