"""The worker's side of a test run: start the child, give it containers, take its verdicts, clean up whatever happens."""
from __future__ import annotations

import contextlib
import json
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

from mcpweb import logs, wire
from mcpweb.bench import child
from mcpweb.bench.containers import RunContainers, Subject
from mcpweb.bench.rows import CheckResultRow, RunOutcome, RunRequest, from_wire
from mcpweb.contracts import ConfigData, ImageFacts, Progress, Runtime, SecretDelivery
from mcpweb.core import Core
from mcpweb.errors import Cancelled, Failure, TestError, Unavailable
from mcpweb.line import describe
from mcpweb.redaction import Redactor
from mcpweb.services import pins

__all__ = ["CheckResultRow", "RunOutcome", "RunRequest", "execute"]

log = logging.getLogger(__name__)

SILENCE_S = 15.0
IDLE_FORKSERVER_S = 600.0
MOST_RESULTS = 20_000
MOST_STEPS = 500  # of an image's history

_TOLD = ("summary", "tool", "evidence", "input", "next_step", "key", "reproduce")

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
    baseline_secrets: Sequence[SecretDelivery] = (),
    silence_s: float = SILENCE_S,
) -> RunOutcome:
    """Carry out a run in a child of its own and return how it ended.

    ``secrets`` go from here into each container; the child gets the stream of one that has them, and never the values.
    No container of the run is left, also when the child dies, hangs, or the budget is used up; one that cannot be
    removed now is told to ``on_orphan``. Raises what ``on_results`` raises, and ImageMissing.
    """
    image = runtime.image(request.server["image"])
    baseline = _baseline(runtime, request, tuple(baseline_secrets))
    ours, theirs = socket.socketpair()
    run = _Run(core, runtime, request, image, ours, on_results, progress, tuple(secrets), baseline)
    described = _described(core, request, image, runtime.history(image.id), baseline)
    process = _context.Process(target=child.main, args=(theirs, described), name=f"run {request.run_id}", daemon=True)
    with _forkserver_wanted(), ours:
        with theirs, _no_main_module():
            _start(process)
        outcome = None
        try:
            outcome = run.serve(process, cancelled, silence_s)
            return outcome
        finally:
            _end(process, patient=outcome is not None and outcome.error is None)
            run.containers.clean_up(on_orphan)


def _baseline(runtime: Runtime, request: RunRequest, secrets: tuple[SecretDelivery, ...]) -> Subject | None:
    if request.baseline is None:
        return None
    reference = str(request.baseline["image"])
    return Subject(reference, runtime.image(reference), ConfigData.from_json(request.baseline["config"]), secrets)


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


def _described(
    core: Core, request: RunRequest, image: ImageFacts, history: list[dict[str, Any]], baseline: Subject | None
) -> dict[str, Any]:
    against = None
    if baseline is not None and request.baseline is not None:
        against = {
            "image": baseline.reference, "image_id": baseline.image.id, "configuration": request.baseline["configuration"],
        }
    return {
        "log": logs.handed_on("run"), "server": request.server, "config": request.config.to_json(), "types": list(request.types),
        "profile": request.profile, "parameters": request.parameters, "seed": request.seed,
        "approved_image_id": request.approved_image_id,
        "image": asdict(replace(image, raw={**image.raw, "History": history[:MOST_STEPS]})),
        "plugins": core.plugins.to_child(), "baseline": against, "neighbours": request.neighbours, "pins": request.pins,
        "pinned": list(request.pinned if request.pinned is not None else dict.fromkeys(pin["kind"] for pin in request.pins)),
        "cases": request.cases, "budget_s": request.budget_s,
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
        baseline: Subject | None,
    ) -> None:
        known = (*secrets, *(baseline.secrets if baseline else ()))
        self._redactor = Redactor(secret.value for secret in known)
        self._secrets = [secret.value for secret in secrets]
        self._core = core
        self._runtime = runtime
        self._request = request
        self._image = image
        self._sock = sock
        self._on_results = on_results
        self._progress = progress
        self.containers = RunContainers(runtime, core.instance, request, image, progress, secrets, baseline)
        self._told = 0
        types = [core.test_types[name] for name in request.types]
        self.budget_s = sum(request.budget_s or t.budget_s.get(request.profile, 60.0) for t in types) + 5.0

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
            asked = message["ask"]
            answer = {"result": self._as_pins(message) if asked == "as_pins" else self.containers.do(asked, message, fds)}
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

    def _as_pins(self, message: dict[str, Any]) -> str:
        """Return what a list holds as pins hold it. It comes and goes as one text: deep things would break a message."""
        known = [*self._secrets, *self.containers.canaries]
        try:
            found = pins.named(
                str(message["kind"]), json.loads(message["items"]), Redactor(known, patterns=False), Redactor(known)
            )
            return json.dumps([asdict(one) for one in found])
        except RecursionError:
            raise TestError("What the server lists is nested too deeply.") from None

    def _redacted(self, row: Any) -> Any:
        """Take secrets out of what a test tells of a server, before anything is made of it."""
        if not isinstance(row, dict):
            return row
        told = {name: self._redactor.json(row[name]) for name in _TOLD if name in row}
        return {**row, **told}



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
