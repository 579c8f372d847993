"""A whole installation for tests: ``mcpweb serve`` on a free port with data of its own, and the command line on it."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcpweb.core import Core, open_core
from mcpweb.settings import load
from mcpweb.testing import commands

READY_S = 40.0


class Served:
    """Start, use and stop an installation. ``setup_link`` is set while no user exists."""

    def __init__(self, folder: Path, python: str = sys.executable, **environment: str) -> None:
        self.folder, self.python = folder, python
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.setup_link = ""
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MCPWEB_")},
            "MCPWEB_DATA_DIR": str(folder / "data"), "MCPWEB_BIND": f"127.0.0.1:{self.port}", **environment,
        }
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Served:
        """Start and wait until the worker is ready."""
        self._process = subprocess.Popen(
            [self.python, "-m", "mcpweb", "serve"], env=self.environment, stdout=subprocess.PIPE,
            stderr=open(self.folder / "serve.log", "a"), text=True, cwd=self.folder,  # noqa: SIM115 - the child's
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("Setup: "):
                self.setup_link = line.removeprefix("Setup: ").strip()
                break
            if line.startswith("URL: ") and self._has_users():
                break
        self.wait_ready()
        return self

    @contextlib.contextmanager
    def core(self) -> Iterator[Core]:
        """Open the installation in this process, beside its own, as the command line does."""
        ours = {name: value for name, value in self.environment.items() if name.startswith("MCPWEB_")}
        core = open_core(load(ours), role="cli")
        try:
            yield core
        finally:
            core.close()

    def wait_ready(self) -> None:
        """Wait until /readyz says 200. Raises AssertionError with the log."""
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.log()}")

    def log(self) -> str:
        return (self.folder / "serve.log").read_text()[-4000:]

    @property
    def pid(self) -> int:
        """The process that supervises the others."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """Stop as Ctrl+C does and return the exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"did not stop: {self.log()}") from None
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        return code

    def children(self) -> dict[str, int]:
        """Return the process ids of ``worker`` and ``web server`` (gunicorn's master)."""
        assert self._process is not None
        found = {}
        listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(self._process.pid)], capture_output=True, text=True)
        for line in listed.stdout.splitlines():
            pid, _, command = line.strip().partition(" ")
            found["worker" if "worker" in command else "web server"] = int(pid)
        return found

    def cli(self, *arguments: str, code: int | None = 0, given: str | None = None, timeout_s: float = 120) -> str:
        """Run a command and return its standard output; the exit code must be ``code`` (None: any)."""
        if self.python == sys.executable:
            done = commands.shared().run(arguments, self.environment, self.folder, given, timeout_s)
        else:
            done = subprocess.run(
                [self.python, "-m", "mcpweb", *arguments], env=self.environment, input=given, capture_output=True,
                text=True, timeout=timeout_s, cwd=self.folder,
            )
        self.stderr = done.stderr
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}: {done.stdout}\n{done.stderr}\n{self._tail()}"
        return done.stdout

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        """Run a command with --json and return what it printed."""
        return json.loads(self.cli(*arguments, "--json", code=code))

    def _has_users(self) -> bool:
        return bool(self.json("users", "list")["items"])

    def _tail(self) -> str:
        path = self.folder / "serve.log"
        return path.read_text()[-1500:] if path.exists() else ""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
