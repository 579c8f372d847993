"""The worker's side of a test run: start the child, give it containers, take its verdicts, clean up whatever happens."""
from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from mcpweb import wire
from mcpweb.bench import child
from mcpweb.bench.rows import CheckResultRow, RunOutcome, RunRequest, from_wire
from mcpweb.contracts import ConfigData, ContainerIntent, ContainerState, ImageFacts, Progress, Runtime, SecretDelivery
from mcpweb.core import Core
from mcpweb.errors import Cancelled, Failure, NotFound, TestError, Unavailable
from mcpweb.ids import new_id
from mcpweb.line import describe
from mcpweb.redaction import Redactor
from mcpweb.schemas.configurations import load_config_data
from mcpweb.services.configurations import config_hash

__all__ = ["CheckResultRow", "RunOutcome", "RunRequest", "execute"]

log = logging.getLogger(__name__)

SILENCE_S = 15.0
IDLE_FORKSERVER_S = 600.0
MOST_CONTAINERS = 64
MOST_RESULTS = 20_000
MOST_GRACE_S = 30.0
_CHANGEABLE = frozenset(ConfigData.__dataclass_fields__) - {"mounts", "capabilities", "network", "user", "active_probes"}

_TOLD = ("summary", "tool", "evidence", "input", "next_step")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["mcpweb.bench.child", "mcpweb.bench.preload"])
_idle: threading.Timer | None = None
_runs = 0
_idle_guard = threading.Lock()


def execute(
    core: Core,
    runtime: Runtime,
    request: RunRequest,
    *,
    on_results: Callable[[Sequence[CheckResultRow]], None],
    progress: Progress,
    cancelled: Callable[[], bool],
    on_orphan: Callable[[str], None],
    secrets: Sequence[SecretDelivery] = (),
    silence_s: float = SILENCE_S,
) -> RunOutcome:
    """Carry out a run in a child of its own and return how it ended.

    ``secrets`` go from here into each container; the child gets the stream of one that has them, and never the values.
    No container of the run is left, also when the child dies, hangs, or the budget is used up; one that cannot be
    removed now is told to ``on_orphan``. Raises what ``on_results`` raises.
    """
    image = runtime.image(request.server["image"])
    ours, theirs = socket.socketpair()
    run = _Run(core, runtime, request, image, ours, on_results, progress, tuple(secrets))
    process = _context.Process(
        target=child.main, args=(theirs, _described(core, request, image)), name=f"run {request.run_id}", daemon=True
    )
    with _forkserver_wanted(), ours:
        with theirs, _no_main_module():
            _start(process)
        outcome = None
        try:
            outcome = run.serve(process, cancelled, silence_s)
            return outcome
        finally:
            _end(process, patient=outcome is not None and outcome.error is None)
            run.clean_up(on_orphan)


def _start(process: Any) -> None:
    try:
        process.start()
    except (OSError, EOFError) as error:
        raise Unavailable(
            f"The run's process could not be started: {type(error).__name__}.", code="run_child_failed",
            next_step="Look at the worker's log and the machine's memory, then try again.",
        ) from error


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep multiprocessing from importing whatever program we run in a second time, in the child."""
    with _idle_guard:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _described(core: Core, request: RunRequest, image: ImageFacts) -> dict[str, Any]:
    return {
        "server": request.server, "config": request.config.to_json(), "types": list(request.types),
        "profile": request.profile, "parameters": request.parameters, "seed": request.seed,
        "approved_image_id": request.approved_image_id, "image": asdict(replace(image, raw={})),
        "plugins": core.plugins.to_child(),
    }


class _Run:
    """What happens between the two ends of the pair."""

    def __init__(
        self,
        core: Core,
        runtime: Runtime,
        request: RunRequest,
        image: ImageFacts,
        sock: socket.socket,
        on_results: Callable[[Sequence[CheckResultRow]], None],
        progress: Progress,
        secrets: tuple[SecretDelivery, ...],
    ) -> None:
        self._secrets = secrets
        self._redactor = Redactor(secret.value for secret in secrets)
        self._core = core
        self._runtime = runtime
        self._request = request
        self._image = image
        self._sock = sock
        self._on_results = on_results
        self._progress = progress
        self._containers: set[str] = set()
        self._launched = 0
        self._told = 0
        types = [core.test_types[name] for name in request.types]
        self.budget_s = sum(t.budget_s.get(request.profile, 60.0) for t in types) + 5.0

    def serve(self, process: Any, cancelled: Callable[[], bool], silence_s: float) -> RunOutcome:
        """Answer the child until it ends, dies, falls silent or runs out of budget."""
        until = time.monotonic() + self.budget_s
        heard = time.monotonic()
        protocol: str | None = None
        pending: list[CheckResultRow] = []
        flushed = time.monotonic()
        error: dict[str, str] | None = None
        while True:
            now = time.monotonic()
            if pending and (now - flushed > 0.1 or len(pending) >= 100):
                self._on_results(pending)
                pending, flushed = [], now
            if cancelled():
                error = Cancelled("The run was cancelled.").as_job_error()
                break
            if now > until:
                error = {"code": "budget", "detail": f"The run used up its budget of {self.budget_s:.0f} s."}
                break
            if now - heard > silence_s:
                error = {"code": "run_child_silent", "detail": f"The run's process said nothing for {silence_s:.0f} s."}
                break
            self._sock.settimeout(0.05 if pending else 0.25)
            try:
                message = self._receive()
            except TimeoutError:
                continue
            except OSError:
                process.join(2.0)
                error = {"code": "run_child_died", "detail": _death(process.exitcode)}
                break
            except ValueError as fault:
                error = _unreadable(fault)
                break
            heard = time.monotonic()
            kind = message.get("tell")
            if kind == "results":
                try:
                    pending += [from_wire(self._redacted(row)) for row in message["rows"]]
                except (KeyError, TypeError, ValueError) as fault:
                    error = _unreadable(fault)
                    break
                self._told += len(message["rows"])
                if self._told > MOST_RESULTS:
                    error = {"code": "too_many_results", "detail": f"A run tells at most {MOST_RESULTS} results."}
                    break
            elif kind == "progress":
                with contextlib.suppress(Cancelled):
                    self._progress(_fraction(message.get("fraction")), self._redactor.text(str(message.get("message", ""))[:300]))
            elif kind == "protocol":
                protocol = str(message["protocol"])
            elif kind == "end":
                error = self._redactor.json(message.get("error"))
                break
            elif "ask" in message:
                self._answer(message)
                heard = time.monotonic()
        if pending:
            self._on_results(pending)
        return RunOutcome(protocol, error)

    def _receive(self) -> dict[str, Any]:
        """Receive one message; once its first byte is there the rest may take a while.

        Raises TimeoutError when nothing came, OSError when the child is gone, ValueError for half a message.
        """
        self._sock.recv(1, socket.MSG_PEEK)
        self._sock.settimeout(5.0)
        try:
            message, fds = wire.recv(self._sock)
        except TimeoutError:
            raise ValueError("half a message") from None
        for fd in fds:
            os.close(fd)
        if not isinstance(message, dict):
            raise ValueError("not an object")
        return message

    def _answer(self, message: dict[str, Any]) -> None:
        fds: list[int] = []
        try:
            answer = {"result": self._do(message["ask"], message, fds)}
        except Failure as failure:
            answer = {"failure": describe(failure)}
        except (KeyError, TypeError, ValueError) as fault:
            answer = {"failure": describe(TestError(f"The test asked in a wrong way: {type(fault).__name__}."))}
        try:
            self._sock.settimeout(5.0)
            with contextlib.suppress(OSError):  # a dead child is noticed at the next message
                wire.send(self._sock, answer, fds)
        finally:
            for fd in fds:
                os.close(fd)

    def _do(self, verb: str, message: dict[str, Any], fds: list[int]) -> Any:
        if verb == "launch":
            return self._launch(message.get("changes") or {}, fds)
        container_id = str(message["container_id"])
        if container_id not in self._containers:
            raise NotFound("This container does not belong to the run.")
        if verb == "inspect":
            return self._masked(_state(self._runtime.inspect(container_id)))
        if verb == "stop":
            grace_s = min(max(float(message.get("grace_s", 5.0)), 0.0), MOST_GRACE_S)
            return self._masked(_state(self._runtime.stop(container_id, grace_s)))
        if verb == "remove":
            self._runtime.remove(container_id)
            return None
        raise Failure(f"The run child asked for {verb!r}.")

    def _launch(self, changes: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        self._launched += 1
        if self._launched > MOST_CONTAINERS:
            raise Failure(f"A run starts at most {MOST_CONTAINERS} containers.", code="too_many_containers")
        foreign = set(changes) - _CHANGEABLE
        if foreign:
            raise Failure(f"A test may not change {', '.join(sorted(foreign))}.", code="not_changeable")
        config = load_config_data(self._request.config.to_json() | changes)
        launched = self._runtime.launch(self._intent(config))
        self._containers.add(launched.container_id)
        fds.append(launched.socket.detach())
        return {
            "container_id": launched.container_id, "endpoint": launched.endpoint, "timings_ms": launched.timings_ms,
        }

    def _intent(self, config: ConfigData) -> ContainerIntent:
        """Return what to run: mounts read-only, volumes replaced by memory, so that a test leaves nothing behind."""
        binds = tuple(replace(mount, read_only=True) for mount in config.mounts if mount.type == "bind")
        memory = {mount.target: "64m" for mount in config.mounts if mount.type == "volume"}
        safe = replace(config, mounts=binds, tmpfs={**config.tmpfs, **memory})
        server = self._request.server
        return ContainerIntent(
            name=f"mcpweb-{server['name']}-{self._core.instance.short}-{new_id('t')[-8:]}",
            instance=self._core.instance.id, server_id=server["id"], server=server["name"], role="test",
            image=self._image.id, config=safe, config_hash=config_hash(server["image"], config), secrets=self._secrets,
        )

    def _redacted(self, row: Any) -> Any:
        """Take secrets out of what a test tells of a server, before anything is made of it."""
        if not isinstance(row, dict):
            return row
        told = {name: self._redactor.json(row[name]) for name in _TOLD if name in row}
        return {**row, **told}

    def _masked(self, state: dict[str, Any] | None) -> dict[str, Any] | None:
        """Take out what the engine shows of secrets that were given in the environment."""
        shown = {secret.variable for secret in self._secrets if secret.way == "environment"}
        config = (state or {}).get("raw", {}).get("Config") or {}
        if state is None or not shown or not config.get("Env"):
            return state
        told = [f"{name}=<sensitive>" if (name := line.partition("=")[0]) in shown else line for line in config["Env"]]
        return {**state, "raw": {**state["raw"], "Config": {**config, "Env": told}}}

    def clean_up(self, on_orphan: Callable[[str], None]) -> None:
        """Remove every container of the run; what cannot be removed now is told."""
        for container_id in self._containers:
            try:
                self._runtime.remove(container_id)
            except Failure as failure:
                log.warning("container %s of run %s stays: %s", container_id[:12], self._request.run_id, failure.detail)
                on_orphan(container_id)


def _state(state: ContainerState | None) -> dict[str, Any] | None:
    return None if state is None else asdict(state)


def _death(code: int | None) -> str:
    if code is None:
        return "The run's process closed its line."
    if code < 0:
        return f"The run's process was killed by {signal.Signals(-code).name}."
    return f"The run's process ended with exit code {code}."


def _unreadable(fault: Exception) -> dict[str, str]:
    return {"code": "run_child_unreadable", "detail": f"The run's process told something unreadable: {fault}."}


def _fraction(given: Any) -> float | None:
    return min(max(float(given), 0.0), 1.0) if isinstance(given, int | float) else None


def _end(process: Any, *, patient: bool) -> None:
    """End the child and what it started; one that told its end gets a moment to go by itself."""
    if patient:
        process.join(1.0)
    if process.is_alive():
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join(5.0)


@contextlib.contextmanager
def _forkserver_wanted() -> Iterator[None]:
    """Keep the forkserver while a run goes on, and for ten idle minutes after the last; the next run starts it again."""
    global _idle, _runs
    with _idle_guard:
        _runs += 1
        if _idle is not None:
            _idle.cancel()
            _idle = None
    try:
        yield
    finally:
        with _idle_guard:
            _runs -= 1
            if _runs == 0:
                _idle = threading.Timer(IDLE_FORKSERVER_S, _let_forkserver_go)
                _idle.daemon = True
                _idle.start()


def _let_forkserver_go() -> None:
    from multiprocessing import forkserver

    with _idle_guard:
        if _runs == 0:
            forkserver._forkserver._stop()  # type: ignore[attr-defined]
