"""An installation in this process on the real engine: services ask, a brief worker does."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcpweb.contracts import Actor, ConfigData
from mcpweb.core import open_core
from mcpweb.dao.jobs import Job
from mcpweb.dao.servers import Server
from mcpweb.dao.test_runs import TestRun
from mcpweb.services import jobs, servers, test_runs
from mcpweb.settings import load
from mcpweb.worker import Worker
from tests.docker.engine import remove_networks, remove_secrets, remove_volumes

ACTOR = Actor(name="cli:tester", role="admin", label="tester", via="cli")


class Installation:
    """Core and worker of a data folder, and the few requests tests make."""

    def __init__(self, folder: Path, *, brief: bool = True, **values: str) -> None:
        self.core = open_core(load({"MCPWEB_DATA_DIR": str(folder / "data"), **values}))
        self.work(brief=brief)

    def work(self, *, brief: bool = True) -> None:
        """Begin to work; a worker that is not brief watches the engine, too."""
        self.worker = Worker(self.core, brief=brief)
        assert self.worker.elect()
        self.worker.start()

    def close(self) -> None:
        self.worker.stop()
        self.core.close()

    def add(self, name: str, image: str, *command: str, **config: Any) -> Server:
        wanted = ConfigData(command=command or None, **config)
        return servers.add(self.core, ACTOR, name=name, image=image, config=wanted)

    def ask(self, server: Server, kind: str, timeout_s: float = 60.0) -> Job:
        """Start, stop, restart or remove a server and return the finished job."""
        return self.wait(servers.request(self.core, ACTOR, server.id, kind), timeout_s)

    def wait(self, job: Job, timeout_s: float = 60.0) -> Job:
        done = jobs.wait(self.core, job.id, timeout_s)
        assert done.state not in jobs.OPEN, f"{done.kind} is still {done.state} after {timeout_s:g} s: {done.message}"
        return done

    def call(self, server: Server, tool: str, **arguments: Any) -> Job:
        return self.wait(servers.call(self.core, ACTOR, server.id, tool, arguments))

    def test(
        self, server: Server, *types: str, timeout_s: float = 90.0, parameters: dict[str, Any] | None = None
    ) -> Report:
        """Run test types (the connection test) and return what came of it."""
        run, job = test_runs.request(self.core, ACTOR, server.id, types=types or ("connection",), parameters=parameters)
        return self.report(run, self.wait(job, timeout_s))

    def report(self, run: TestRun, job: Job) -> Report:
        return Report(self, test_runs.get(self.core, ACTOR, run.id), job)

    def containers(self) -> list[str]:
        """Return the names of all containers of this installation that the engine knows."""
        return [state.name for state in self.core.runtime.containers(self.core.instance.id)]


class Report:
    """A finished run: ``report["C04"]`` is a verdict and its sentence."""

    def __init__(self, installation: Installation, run: TestRun, job: Job) -> None:
        self.run, self.job = run, job
        self.error = dict(run.error or {})
        self.server = servers.get(installation.core, ACTOR, run.server_id).name
        self.results = test_runs.results(installation.core, ACTOR, run.id)
        self.data = {str(result.check_id): dict(result.output_data or {}) for result in self.results}
        for one in run.detail.get("not_applicable", []):
            self.data[one["check_id"]] = {"verdict": "not_applicable", **one}

    def verdict(self, check_id: str) -> str:
        return str(self.data[check_id]["verdict"]) if check_id in self.data else "missing"

    def said(self, check_id: str) -> str:
        return str(self.data[check_id]["summary"])

    def wrong(self) -> dict[str, str]:
        """Return what is neither passed nor not applicable, with its sentence."""
        return {
            check: f"{one['verdict']}: {one['summary']}" for check, one in sorted(self.data.items())
            if one["verdict"] not in ("pass", "not_applicable")
        }


@contextmanager
def installation(folder: Path, *, brief: bool = True, **values: str) -> Iterator[Installation]:
    """Open an installation; at its end the engine must hold nothing of it, and it is removed if it does."""
    made = Installation(folder, brief=brief, **values)
    instance, runtime = made.core.instance.id, made.core.runtime
    try:
        yield made
    finally:
        made.close()
        left = list(runtime.containers(instance))
        for state in left:
            runtime.remove(state.id)
        runtime.cleanup(instance)
        networks, volumes, files = remove_networks([instance]), remove_volumes([instance]), remove_secrets(instance)
    assert not left, f"containers left behind: {[state.name for state in left]}"
    assert not networks and not volumes and not files, f"left behind: {networks} {volumes} {files} folders of secrets"
