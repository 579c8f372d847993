"""The run child: the process in which test types execute. It holds no keys and no way to the engine but the worker."""
from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import threading
import traceback
from typing import Any

from mcpweb import logs, wire
from mcpweb.bench.rows import CheckResultRow, readable, to_wire
from mcpweb.contracts import CheckResult, TestType
from mcpweb.errors import Failure
from mcpweb.line import rebuild

log = logging.getLogger(__name__)

MEMORY_BYTES = 1 << 30
BEAT_S = 1.0


class Parent:
    """The line to the worker; asking is one at a time, telling goes from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._asking = threading.Lock()

    def tell(self, kind: str, **fields: Any) -> None:
        with self._sending:
            wire.send(self._sock, {"tell": kind, **fields})

    def ask(self, verb: str, **fields: Any) -> tuple[Any, list[int]]:
        """Return the worker's answer and descriptors. Raises the failure it answered with."""
        with self._asking:
            with self._sending:
                wire.send(self._sock, {"ask": verb, **fields})
            answer, fds = wire.recv(self._sock)
        if "failure" in answer:
            raise rebuild(answer["failure"])
        return answer["result"], fds


def main(sock: socket.socket, request: dict[str, Any]) -> None:
    """Run all test types of a request and tell their verdicts."""
    logs.take_over(request["log"])
    with contextlib.suppress(OSError):  # what a test type starts ends with us
        os.setsid()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parent = Parent(sock)
    stop = threading.Event()
    threading.Thread(target=_beat, args=(parent, stop), name="beat", daemon=True).start()
    error: dict[str, str] | None = None
    try:
        _run_all(parent, request)
    except Failure as failure:
        error = failure.as_job_error()
    except MemoryError:
        error = {"code": "memory", "detail": "The run's process used more memory than its limit."}
    except BaseException as fault:
        log.warning("the run failed", exc_info=fault)
        error = {"code": "test_error", "detail": readable(f"{type(fault).__name__}: {str(fault)[:300]}")}
    finally:
        stop.set()
    with contextlib.suppress(OSError):
        parent.tell("end", error=error)


def _beat(parent: Parent, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        try:
            parent.tell("beat")
        except OSError:  # the worker is gone: nobody else would end a test that hangs
            os.killpg(0, signal.SIGKILL)


def _run_all(parent: Parent, request: dict[str, Any]) -> None:
    from mcpweb.bench.context import Context
    from mcpweb.core import registered_test_types
    from mcpweb.pluginhost import PluginHost

    host = PluginHost.in_child(request["plugins"])
    types = registered_test_types(host)
    for at, name in enumerate(request["types"]):
        test_type = types.get(name)
        if test_type is None:
            raise Failure(f"The test type {name} is not loaded in the run's process.", code="test_type_missing")
        context = Context(parent, request, at / len(request["types"]), 1 / len(request["types"]), test_type)
        severities: dict[str, str] = {check.id: check.severity for check in test_type.checks}
        open_checks = list(severities) or [name]

        def keep(
            result: CheckResult, name: str = name, severities: dict[str, str] = severities,
            open_checks: list[str] = open_checks,
        ) -> None:
            if result.check_id in open_checks[:-1]:
                open_checks.remove(result.check_id)
            row = CheckResultRow(name, severities.get(result.check_id, "info"), result)
            parent.tell("results", rows=[to_wire(row)])

        try:
            host.wrapped("mcpweb_run_test", test_type=_told(test_type, keep), context=context)
        except Failure as failure:
            keep(_undecided(open_checks[0], failure.sentence, failure.code))
        except (Exception, SystemExit) as fault:
            trace = traceback.format_exc(limit=-5)
            keep(_undecided(open_checks[0], f"The test type failed: {type(fault).__name__}: {str(fault)[:300]}", trace))
        finally:
            context.close_all()
            gc.collect()  # what a failed type held must not be missing for the next one
        if context.protocol:
            parent.tell("protocol", protocol=context.protocol)


def _told(test_type: TestType, keep: Any) -> TestType:
    """Return the test type with a ``run`` that tells each verdict as it comes."""
    from dataclasses import replace

    run = test_type.run

    def telling(context: Any) -> Any:
        for result in run(context):
            keep(result)
            yield result

    return replace(test_type, run=telling)


def _undecided(check_id: str, sentence: str, evidence: str) -> CheckResult:
    return CheckResult(check_id=check_id, verdict="undecided", summary=sentence, evidence={"error": evidence})
