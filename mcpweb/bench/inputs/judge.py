"""Ask whether values fit a schema: offline, and never longer than a deadline, whatever the schema is.

A schema can cost exponential time (references that double), stack (nesting) or memory (patterns), and the evaluator is
native code that cannot be interrupted. So it runs in a process of its own, which is ended when it is late, and started
again for the next question.
"""
from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcpweb.errors import TestError

DEADLINE_S = 2.0
MOST_BYTES = 32 << 20
_PROGRAM = Path(__file__).with_name("judge_program.py")


class Undecided(TestError):
    """A value or schema could not be judged: it takes too long, or is more than a judge takes."""


class SchemaFault(TestError):
    """The schema is no usable JSON Schema; the detail says why."""


class Judge:
    """One process that evaluates; any thread asks, one at a time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def ask(
        self, schema: Any, values: Sequence[Any], *, formats: bool = False, deadline_s: float = DEADLINE_S
    ) -> list[list[tuple[str, str]] | str]:
        """Return for each value its faults as (pointer, message), or a text why that one could not be judged.

        Raises SchemaFault, or Undecided when the answer is not there in time.
        """
        try:
            line = json.dumps({"schema": schema, "values": list(values), "formats": formats}, allow_nan=False).encode() + b"\n"
        except (ValueError, TypeError, RecursionError) as error:
            raise Undecided(f"It is no JSON that can be judged: {type(error).__name__}.") from None
        if len(line) > MOST_BYTES:
            raise Undecided("It is too large to be judged.")
        with self._guard:
            answer = self._exchange(line, deadline_s)
        if "fault" in answer:
            raise SchemaFault(str(answer["fault"]))
        return [
            verdict if isinstance(verdict, str) else [(str(at), str(said)) for at, said in verdict]
            for verdict in answer["verdicts"]
        ]

    def close(self) -> None:
        """End the process; the next question starts another."""
        with self._guard:
            self._end()

    def _exchange(self, line: bytes, deadline_s: float) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        until = time.monotonic() + deadline_s
        said = bytearray()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            while not said.endswith(b"\n"):
                ready, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
                if not ready:
                    self._end()
                    raise Undecided(f"Judging it takes longer than {deadline_s:g} s.")
                piece = os.read(process.stdout.fileno(), 1 << 16)
                if not piece:
                    raise OSError("the judge is gone")
                said += piece
            answer = json.loads(said)
        except (OSError, ValueError):
            self._end()
            raise Undecided("Judging it takes more memory or nesting than a judge has.") from None
        assert isinstance(answer, dict)
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and (self._pid != os.getpid() or self._process.poll() is not None):
            self._process = None
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                [sys.executable, "-I", str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, close_fds=True, env={"LC_ALL": "C.UTF-8"}, cwd="/",
            )
            self._pid = os.getpid()
            atexit.register(self.close)
            self._exchange(b'{"schema": true, "values": [], "formats": false}\n', 30.0)  # its start is not the schema's time
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or self._pid != os.getpid():
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        process.wait()


_judge = Judge()


def ask(schema: Any, values: Sequence[Any], *, formats: bool = False, deadline_s: float = DEADLINE_S) -> list[Any]:
    """Ask this process's judge; see ``Judge.ask``."""
    return _judge.ask(schema, values, formats=formats, deadline_s=deadline_s)
