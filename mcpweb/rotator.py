"""A rotation in a process of its own: sealing is work for a whole core, and a neighbour's call must not wait for it.

Run as ``python -m mcpweb.rotator KEY_ID ACTOR``; tells progress as JSON lines on standard output and stops at the next
batch when its standard input ends.
"""
from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from typing import Any

from mcpweb import logs
from mcpweb.contracts import Actor
from mcpweb.core import Core, open_core
from mcpweb.errors import Failure
from mcpweb.line import describe
from mcpweb.processes import keep_memory_private
from mcpweb.services import rotation


def main(key_id: str, actor_name: str) -> int:
    """Rotate, and tell."""
    keep_memory_private()
    logs.set_up()
    stop = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=listen, daemon=True).start()

    def say(**facts: Any) -> None:
        print(json.dumps(facts), flush=True)

    core: Core | None = None
    try:
        core = open_core(role="child")
        actor = Actor(name=actor_name, role="admin", via="system")
        done = rotation.reencrypt(
            core, actor, key_id, lambda fraction, message: say(progress=fraction, message=message), stop.is_set
        )
        say(rotation=asdict(done))
    except Failure as failure:
        say(failure=describe(failure))
    finally:
        if core is not None:
            core.close()
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:3])
    sys.stdout.flush()
    os._exit(code)  # the thread that reads standard input may still wait
