"""A whole installation of real processes whose engine is made of threads, so that anything may be killed, filled up or taken away."""
from __future__ import annotations

import contextlib
import http.client
import json
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.services import accounts
from mcpweb.testing.served import Served
from tests.waiting import eventually

ME = Actor.cli("tester")
ENGINE = '''"""An engine of threads; a call of echo whose text is a number takes as many seconds."""
import contextlib
import json
import time

from mcpweb.plugin import hookimpl
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.tinyserver import tiny_server

mcpweb_api = 1


def slow(intent):
    answer = tiny_server()

    def behave(line):
        if b"tools/call" in line:
            with contextlib.suppress(ValueError, KeyError):
                time.sleep(float(json.loads(line)["params"]["arguments"]["text"]))
        return answer(line)

    return behave


@hookimpl
def mcpweb_add_runtimes(settings):
    runtime = FakeRuntime()
    runtime.add_image("tiny:1", slow)
    return [runtime]
'''


@dataclass(frozen=True)
class Answer:
    """What a request came back with; status 0: nothing came back."""

    status: int
    body: Any
    took_s: float


class House:
    """``folder`` holds keys, plugins and logs; ``data`` may lie on another file system."""

    def __init__(self, folder: Path, data: Path | None = None, **environment: str) -> None:
        plugin = folder / "plugins" / "threads"
        plugin.mkdir(parents=True)
        for made in (plugin.parent, plugin):
            made.chmod(0o700)
        (plugin / "__init__.py").write_text(ENGINE)
        self.served = Served(
            folder, MCPWEB_PLUGINS_DIR=str(plugin.parent), MCPWEB_PLUGINS_OFF="runtime_docker",
            MCPWEB_DATA_DIR=str(data or folder / "data"), **{"MCPWEB_KEY_FILE": str(folder / "keys" / "ring.json"), **environment},
        )
        with self.core() as core:
            accounts.add_user(core, ME, name="tester", role="admin", password="a long enough phrase")
            self.token = accounts.create_token(core, ME, user="tester", name="tests", role=None, days=1)

    def core(self) -> AbstractContextManager[Core]:
        """Open the installation beside its processes."""
        return self.served.core()

    def ask(self, method: str, path: str, body: Any = None, timeout_s: float = 70.0) -> Answer:
        """Send one request as a program does."""
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=timeout_s)
        with contextlib.closing(connection):
            try:
                headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                return Answer(0, repr(error), time.monotonic() - began)
        told = json.loads(text) if "json" in (answer.headers["Content-Type"] or "") else text.decode()
        return Answer(answer.status, told, time.monotonic() - began)

    def add(self, name: str) -> Answer:
        return self.ask("POST", "/api/v1/servers", {"name": name, "image": "tiny:1"})

    def call(self, server: str, text: str) -> Answer:
        """Call a tool; what takes long is answered by a job that runs."""
        return self.ask("POST", f"/api/v1/servers/{server}/tools/echo/call", {"arguments": {"text": text}})

    def ended(self, job: Answer, seconds: float = 30.0) -> Any:
        """Return a job once it is over."""
        assert job.status in (200, 202), job

        def over() -> Any:
            found = self.ask("GET", f"/api/v1/jobs/{job.body['id']}")
            return found.status == 200 and found.body["finished_at"] and found.body

        return eventually(over, seconds)

    def names(self) -> set[str]:
        """Return the names of all servers, straight from the file."""
        with self.core() as core, core.db.reading() as conn:
            assert [row[0] for row in conn.execute("PRAGMA integrity_check")] == ["ok"]
            return {row["name"] for row in conn.execute("SELECT name FROM servers")}
