"""The child: ``python -m mcpweb.apart WHAT ACTOR [WORD]…``

It tells progress and its result as JSON lines on standard output, and stops at its next step when its standard input ends.
"""
from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from mcpweb import logs
from mcpweb.contracts import Actor
from mcpweb.core import Core, open_core
from mcpweb.errors import Cancelled, Failure
from mcpweb.line import describe
from mcpweb.processes import keep_memory_private
from mcpweb.schemas.objects import verification_object
from mcpweb.services import audit, keycheck, retention, rotation
from mcpweb.settings import load

TELL_S = 0.2
Tell = Callable[[float | None, str], None]


def _rotate(core: Core, actor: Actor, tell: Tell, stopped: Callable[[], bool], key_id: str) -> dict[str, Any]:
    return {"key_id": key_id, **asdict(rotation.reencrypt(core, actor, key_id, tell, stopped))}


def _verify_keys(core: Core, actor: Actor, tell: Tell, stopped: Callable[[], bool]) -> dict[str, Any]:
    return verification_object(keycheck.verify(core, actor, tell), most=keycheck.MOST_TOLD)


def _verify_audit(core: Core, actor: Actor, tell: Tell, stopped: Callable[[], bool]) -> dict[str, Any]:
    return audit.verify(core, actor, tell)


def _prune_audit(core: Core, actor: Actor, tell: Tell, stopped: Callable[[], bool], before: str) -> dict[str, Any]:
    return retention.prune(core, actor, before=before)


WORK: dict[str, Callable[..., dict[str, Any]]] = {
    "rotate": _rotate, "verify_keys": _verify_keys, "verify_audit": _verify_audit, "prune_audit": _prune_audit,
}


def main(what: str, actor_name: str, *words: str) -> int:
    """Do the work, and tell."""
    keep_memory_private()
    logs.set_up(load(), role="child")
    stop = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=listen, daemon=True).start()

    def say(**facts: Any) -> None:
        print(json.dumps(facts), flush=True)

    told = -TELL_S

    def tell(fraction: float | None, message: str) -> None:
        if stop.is_set() and what != "rotate":  # a rotation ends its batch and says how far it came
            raise Cancelled("It was cancelled.")
        nonlocal told
        if time.monotonic() - told >= TELL_S:  # each is a row written by who listens
            told = time.monotonic()
            say(progress=fraction, message=message)

    core: Core | None = None
    try:
        core = open_core(role="child")
        actor = Actor(name=actor_name, role="admin", via="system")
        say(result=WORK[what](core, actor, tell, stop.is_set, *words))
    except Failure as failure:
        say(failure=describe(failure))
    finally:
        if core is not None:
            core.close()
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # the thread that reads standard input may still wait
