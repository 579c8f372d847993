"""What the harness itself costs: the same session against a peer that answers at once, and how far the machine lets us work."""
from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any

from mcpweb.contracts import Load
from mcpweb.mcp import calls as many
from mcpweb.mcp import session as sessions

DEADLINE_S = 5.0
WORK_S = 0.03  # of a processor
BUSY = 2.5  # times as long as it should take: then what came late says little about a server
_STDOUT = b"\x01\0\0\0"


def floor(calls: int, *, most_s: float = 30.0) -> Load:
    """Time calls to a peer in this process, over a socket pair and in the engine's frames."""
    ours, theirs = socket.socketpair()
    peer = threading.Thread(target=_serve, args=(theirs,), name="floor", daemon=True)
    peer.start()
    session = sessions.open_stdio(ours, era="handshake", deadline_s=DEADLINE_S)
    try:
        return many.load(session, "nothing", {}, calls=calls, concurrency=1, deadline_s=DEADLINE_S, most_s=most_s)
    finally:
        session.close()
        peer.join(DEADLINE_S)


def stretch() -> float:
    """Return how many times as long as alone a little work takes now: 1 on a machine with nothing else to do."""
    began, own = time.monotonic(), time.thread_time()
    while (worked := time.thread_time() - own) < WORK_S:
        sum(range(200))
    return (time.monotonic() - began) / worked


def busy() -> str:
    """Return in words how busy the machine is when a clock decides little, else nothing. Takes a tenth of a second or so."""
    times = sorted(stretch() for _ in range(3))[1]
    if times < BUSY:
        return ""
    return f"The machine is busy: our own work takes {times:.1f} times as long as it should, so a clock does not decide this."


def _serve(sock: socket.socket) -> None:
    with sock, sock.makefile("rb") as lines, contextlib.suppress(OSError):
        for line in lines:
            request = json.loads(line)
            if "id" in request:
                body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": _result(request)}).encode() + b"\n"
                sock.sendall(_STDOUT + len(body).to_bytes(4, "big") + body)


def _result(request: dict[str, Any]) -> dict[str, Any]:
    if request["method"] == "initialize":
        info = {"name": "floor", "version": "1"}
        return {"protocolVersion": request["params"]["protocolVersion"], "capabilities": {}, "serverInfo": info}
    return {"content": [{"type": "text", "text": ""}], "isError": False}
