"""Work for a whole core, done in a process of its own: a neighbour's call must not wait for hashes or ciphers.

``python -m mcpweb.apart`` does it (``__main__.py``); this side starts it, hears what it tells and stops it.
"""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mcpweb.errors import Interrupted
from mcpweb.keyinput import DESCRIPTOR
from mcpweb.line import rebuild
from mcpweb.settings import Settings

STOP_S = 10.0
Tell = Callable[[float | None, str], None]


def run(settings: Settings, what: str, actor: str, *words: str, tell: Tell = lambda fraction, message: None) -> dict[str, Any]:
    """Do a piece of work in a child and return its result.

    ``tell`` hears progress, and stops the child at its next step by raising. Raises the failure the child ended with, and
    Interrupted when it was cut off.
    """
    handed = settings.key_input.hand_over()
    child = subprocess.Popen(  # noqa: S603 - our own interpreter, arguments as a list
        [sys.executable, "-m", "mcpweb.apart", what, actor, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=settings.to_environment() | ({DESCRIPTOR: str(handed)} if handed is not None else {}),
        pass_fds=[handed] if handed is not None else [],
    )
    assert child.stdin is not None and child.stdout is not None
    last: dict[str, Any] = {}
    try:
        for line in child.stdout:
            last = json.loads(line)
            if "message" in last:
                tell(last["progress"], last["message"])
    finally:
        child.stdin.close()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
    if "failure" in last:
        raise rebuild(last["failure"])
    if "result" not in last:
        raise Interrupted("The work was cut off.", next_step="Ask for it again.")
    result: dict[str, Any] = last["result"]
    return result


__all__: Sequence[str] = ["run"]
