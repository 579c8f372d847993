"""Start web server and worker, start them again when they die, stop both. Only the standard library, to stay small.

Run as ``python -m mcpweb.supervisor BIND URL SETUP RELOAD [FORM]``. Both children hold one end of a pipe; when this process
is gone, however it went, they leave too.
"""
from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

LIFELINE = "_MCPWEB_LIFELINE"
KEY_INPUT = "_MCPWEB_KEY_INPUT"  # as in keyinput.py, which this small process does not import
STABLE_S = 30.0
SLOWEST_S = float(os.environ.get("_MCPWEB_SLOWEST_S", "30"))  # tests that kill a process again and again wait no longer each time
STOP_S = 30.0
READY_S = 60.0


class Child:
    """One process that is kept running."""

    def __init__(self, name: str, command: list[str], lifeline: int) -> None:
        self.name = name
        self._command = command
        self._lifeline = lifeline
        self._pause = 0.5
        self._started = 0.0
        self._not_before = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def keep(self, now: float) -> None:
        """Start it, or start it again after a growing pause."""
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None:
            _say(f"The {self.name} ended ({self.process.returncode}); it is started again.")
            if now - self._started > STABLE_S:
                self._pause = 0.5
            self._not_before = now + self._pause
            self._pause = min(self._pause * 2, SLOWEST_S)
            self.process = None
        if now >= self._not_before:
            self._started = now
            environment = {**os.environ, LIFELINE: str(self._lifeline)}
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter, arguments as a list
                self._command, env=environment, pass_fds=[self._lifeline, *_key_input()], stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, until: float) -> None:
        """Wait for its end, by force at last."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)


def main() -> int:
    bind, url, setup, reload = sys.argv[1:5]
    reading, writing = os.pipe()
    os.set_inheritable(writing, False)
    python = [sys.executable, "-m"]
    web = [*python, "gunicorn", "-c", "python:mcpweb.gunicorn_conf", "--bind", bind, "mcpweb.app:create_app()"]
    children = [
        Child("worker", [*python, "mcpweb", "worker", "--wait"], reading),
        Child("web server", [*web, "--reload"] if reload == "1" else web, reading),
    ]
    if _key_input():
        from mcpweb.processes import keep_memory_private

        keep_memory_private()
    stopping = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.append(True))
    told = False
    deadline = time.monotonic() + READY_S
    while not stopping:
        for child in children:
            child.keep(time.monotonic())
        if not told and (_answers(bind) or time.monotonic() > deadline):
            told = True
            print(f"URL: {url}", flush=True)
            if setup != "-":
                print(f"Setup: {setup}", flush=True)
        time.sleep(0.05 if not told else 0.25)
    for child in children:
        child.stop()
    until = time.monotonic() + STOP_S
    for child in children:
        child.wait(until)
    return 0


def _say(sentence: str) -> None:
    """Write a line as ``mcpweb.logs`` does, without loading it. The sentence holds neither quotes nor foreign text."""
    if sys.argv[5:6] == ["json"]:
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        sentence = f'{{"time": "{now}", "level": "warning", "logger": "mcpweb.supervisor", "message": "{sentence}"}}'
    print(sentence, file=sys.stderr, flush=True)


def restart_web() -> None:
    """Ask the web server above this web process to leave; its supervisor starts it again. Does nothing without one."""
    if LIFELINE in os.environ:
        os.kill(os.getppid(), signal.SIGTERM)


def _key_input() -> list[int]:
    """Return the descriptor of the memory file with key material, if ``serve`` handed one over."""
    given = os.environ.get(KEY_INPUT)
    return [int(given)] if given else []


def _answers(bind: str) -> bool:
    host, _, port = bind.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104 - compared only
    request = f"GET /healthz HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n".encode()
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.settimeout(2)
            sock.connect((host, int(port)))
            sock.sendall(request)
            return b" 200 " in sock.recv(64)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
