"""Eighty log streams and a hundred viewers: what other pages cost meanwhile, and what the stream after the last one gets.

Run as ``python -m benchmarks.streams PORT TOKEN STREAMS VIEWERS PATH…`` it is the load itself, in a process of its own, so
that what is measured does not wait for it.
"""
from __future__ import annotations

import contextlib
import http.client
import selectors
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks.measure import Client, Row, throughput
from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core, open_core
from mcpweb.dao import servers as server_rows
from mcpweb.services import accounts, servers
from mcpweb.settings import load
from mcpweb.testing.served import Served

STREAMS, VIEWERS, LIMIT = 80, 100, 96
POLL_S = 5.0  # as list pages poll
_SERVERS = 8
_ROUNDS = 3
_PAGES = ("/", "/servers", "/jobs", "/test-runs", "/settings")


def run(folder: Path) -> list[Row]:
    """Return the rows about log streams."""
    served = Served(folder)
    served.cli("db", "migrate", "--init", code=None)
    core = open_core(load(served.environment))
    ids = [servers.add(core, Actor.cli("bench"), name=f"bench-{number}", image="bench:1").id for number in range(200)][:_SERVERS]
    user = accounts.add_user(core, Actor.cli("bench"), name="bench", role="admin", password="a bench pass phrase")
    token = accounts.create_token(core, Actor.cli("bench"), user=user.id, name="bench", role=None, days=1)
    served.start()
    stopping = threading.Event()
    writer = threading.Thread(target=_talk, args=(core, ids, stopping))
    writer.start()
    alone: list[float] = []
    beside: list[float] = []
    client = Client(served.port, {"Authorization": f"Bearer {token}"})
    opened = 0
    try:
        throughput(lambda: Client(served.port, client.headers), "/jobs", 64, 6.0)  # every thread of the server has its connection
        for _ in range(_ROUNDS):
            alone += _times(client, 40)
            with _Load(served.port, token, STREAMS, VIEWERS, ids) as crowd:
                opened = crowd.opened
                beside += _times(client, 40)
        with _Load(served.port, token, LIMIT, 0, ids) as crowd:
            full = crowd.opened
            status, took = _one_more(served.port, token, ids[0])
            page = _p95(_times(client, 10))
    finally:
        stopping.set()
        writer.join()
        served.stop()
        core.close()
    ratio = _p95(beside) / _p95(alone)
    return [
        Row(
            f"other pages, p95 (ms), beside {opened} log streams and {VIEWERS} viewers polling lists / alone",
            f"{ratio:.2f}× ({_p95(beside):.0f} / {_p95(alone):.0f}; p50 {_p50(beside):.0f} / {_p50(alone):.0f})", "≤ 2×", ratio <= 2,
        ),
        Row(
            f"the stream after {full}", f"{status} in {took:.0f} ms, and a page p95 in {page:.0f} ms", "503, then it polls", status == 503
        ),
    ]


def _times(client: Client, rounds: int) -> list[float]:
    found = []
    for number in range(rounds):
        started = time.perf_counter()
        client.get(_PAGES[number % len(_PAGES)])
        found.append((time.perf_counter() - started) * 1000)
        time.sleep(0.05)
    return found


def _p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95) - 1]


def _p50(times: list[float]) -> float:
    return sorted(times)[len(times) // 2]


def _talk(core: Core, ids: list[str], stopping: threading.Event) -> None:
    """Be servers that run and say ten lines a second each; no engine is asked."""
    paths = []
    for server_id in ids:
        folder = servers.log_folder(core, server_id)
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(folder / f"{0:020d}.log")
    number, seen = 0, 0.0
    while not stopping.wait(0.1):
        number += 1
        if time.monotonic() - seen > 0.2:  # before the worker's sweep says that there is no container
            seen = time.monotonic()
            with core.db.writing() as conn:
                for server_id in ids:
                    if server_rows.get(conn, server_id).status != "running":
                        server_rows.set_seen(conn, server_id, status="running", detail="", container_id=None, at=clock.now())
        for path in paths:
            with path.open("a") as file:
                file.write(f"{clock.now()}\tstderr\tINFO request {number} was handled in {number % 90} ms\n")


def _one_more(port: int, token: str, server_id: str) -> tuple[int, float]:
    started = time.perf_counter()
    status, sock = _open(port, token, server_id)
    sock.close()
    return status, (time.perf_counter() - started) * 1000


def _open(port: int, token: str, server_id: str) -> tuple[int, socket.socket]:
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    sock.sendall(
        f"GET /servers/{server_id}/logs/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    head = sock.recv(64)
    return int(head.split()[1]), sock


class _Load:
    """The crowd, in a process of its own, while the block lasts."""

    def __init__(self, port: int, token: str, streams: int, viewers: int, ids: list[str]) -> None:
        self._command = [sys.executable, "-m", "benchmarks.streams", str(port), token, str(streams), str(viewers), *ids]
        self.opened = 0

    def __enter__(self) -> _Load:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.opened = int(self._process.stdout.readline())
        time.sleep(2.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def crowd(port: int, token: str, streams: int, viewers: int, ids: list[str]) -> None:
    """Open streams, say how many there are, read them and poll lists until standard input ends."""
    socks: list[socket.socket] = []
    tries = 0
    while len(socks) < streams and tries < streams * 20:  # which process answers is chance
        status, sock = _open(port, token, ids[tries % len(ids)])
        tries += 1
        if status == 200:
            socks.append(sock)
        else:
            sock.close()
    stopping = threading.Event()

    def look(number: int) -> None:
        client = Client(port, {"Authorization": f"Bearer {token}", "HX-Request": "true", "HX-Request-Type": "partial"})
        stopping.wait(POLL_S * number / max(1, viewers))
        while not stopping.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                client.get(("/servers", "/jobs", "/test-runs")[number % 3])
            stopping.wait(POLL_S)

    threads = [threading.Thread(target=look, args=(number,), daemon=True) for number in range(viewers)]
    for thread in threads:
        thread.start()
    with selectors.DefaultSelector() as chosen:
        for sock in socks:
            chosen.register(sock, selectors.EVENT_READ)
        chosen.register(sys.stdin, selectors.EVENT_READ)
        print(len(socks), flush=True)
        while True:
            for key, _ in chosen.select():
                if key.fileobj is sys.stdin:
                    stopping.set()
                    return
                if not key.fileobj.recv(1 << 16):  # type: ignore[union-attr]
                    chosen.unregister(key.fileobj)


if __name__ == "__main__":
    crowd(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
