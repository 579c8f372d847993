"""The job that rotates: the work is done by a process of its own (``mcpweb/rotator.py``), this passes on what it tells."""
from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from mcpweb.errors import Interrupted
from mcpweb.keyinput import DESCRIPTOR
from mcpweb.line import rebuild
from mcpweb.worker.work import Work


def rotate(work: Work) -> dict[str, Any]:
    """Start the child, pass on what it tells, stop it at the next batch when the job is cancelled."""
    handed = work.core.settings.key_input.hand_over()
    child = subprocess.Popen(  # noqa: S603 - our own interpreter, arguments as a list  # noqa: S603 - our own interpreter, arguments as a list
        [sys.executable, "-m", "mcpweb.rotator", str(work.job.payload["key_id"]), work.job.created_by],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=work.core.settings.to_environment() | ({DESCRIPTOR: str(handed)} if handed is not None else {}),
        pass_fds=[handed] if handed is not None else [],
    )
    assert child.stdin is not None and child.stdout is not None
    last: dict[str, Any] = {}
    try:
        for line in child.stdout:
            last = json.loads(line)
            if "message" in last:
                work.progress(last["progress"], last["message"])
    finally:
        child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
    if "failure" in last:
        raise rebuild(last["failure"])
    if "rotation" not in last:
        raise Interrupted(
            "The rotation was cut off.", next_step="It goes on with `mcpweb keys rotate`, or by itself at the next start."
        )
    return {"key_id": work.job.payload["key_id"], **last["rotation"]}
