"""What a report of a run is made of, read in one go."""
from __future__ import annotations

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import servers, test_results, test_runs
from mcpweb.reports import Report, checks_by_id
from mcpweb.services import access, findings


def report(core: Core, actor: Actor, run_id: str) -> Report:
    """Return a run with its results, the checks of its types that are installed, and what people accepted. Raises NotFound."""
    access.require(core, actor, "test.view", run_id=run_id)
    with core.db.reading() as conn:
        run = test_runs.get(conn, run_id)
        name = servers.names(conn, [run.server_id]).get(run.server_id, run.server_id)
        results = test_results.for_run(conn, run.id)
    types = [core.test_types[name] for name in run.types if name in core.test_types]
    return Report(name, run, results, checks_by_id(types), findings.of_results(core, results))
