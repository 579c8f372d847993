"""The engine goes away in the middle of things; a whole installation behind a faulty engine connection."""
from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mcpweb.testing.served import Served
from tests.docker.fault_proxy import MODES, FaultProxy
from tests.docker.test_command_line import containers
from tests.sizes import NIGHT
from tests.waiting import eventually

pytestmark = pytest.mark.docker
PAGES = ("/", "/servers", "/servers/demo", "/servers/demo/tools", "/servers/demo/tests", "/servers/demo/logs", "/test-runs",
         "/jobs", "/audit", "/plugins", "/settings")
ENGINE = "/var/run/docker.sock"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    found = os.environ.get("DOCKER_HOST", f"unix://{ENGINE}").removeprefix("unix://")
    proxy = FaultProxy(tmp_path_factory.mktemp("proxy") / "e.sock", found)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, proxy: FaultProxy) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served"), DOCKER_HOST=proxy.address)
    served.cli("demo")
    served.cli("users", "add", "ada", "--role", "admin", "--password-stdin", given="a long pass phrase\n")
    served.start()
    yield served
    served.cli("servers", "remove", "demo", code=None)
    assert served.stop() == 0
    assert containers(served) == []


@pytest.fixture
def served(installed: Served, proxy: FaultProxy) -> Iterator[Served]:
    """An installation with an engine that answers and a demo server that is stopped; so it is left as well."""
    yield installed
    proxy.set("pass")
    eventually(lambda: installed.json("doctor", code=None) and get(installed, "/readyz", "")[1].find(b"reachable") > 0, 40)
    installed.cli("servers", "stop", "demo", code=None)
    assert containers(installed) == []


def get(served: Served, path: str, cookie: str) -> tuple[int, bytes, float]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    started = time.monotonic()
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, time.monotonic() - started


def signed_in(served: Served) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("GET", "/sign-in")
    answer = connection.getresponse()
    page = answer.read().decode()
    csrf_cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    body = f"csrf_token={token[1]}&username=ada&password=a+long+pass+phrase"
    connection.request("POST", "/sign-in", body, {"Content-Type": "application/x-www-form-urlencoded", "Cookie": csrf_cookie})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 303
    cookies = [value.split(";")[0] for name, value in answer.getheaders() if name == "Set-Cookie"]
    return "; ".join(c for c in cookies if c.startswith("mcpweb="))


def every_page_answers(served: Served, cookie: str) -> None:
    for path in PAGES:
        status, _, seconds = get(served, path, cookie)
        assert status == 200 and seconds < 5, path


def test_with_the_engine_away_every_page_answers_and_says_since_when(served: Served, proxy: FaultProxy) -> None:
    cookie = signed_in(served)
    served.cli("servers", "start", "demo")
    for mode in ("hang", "garbage") if not NIGHT else MODES:
        proxy.set(mode)
        proxy.cut()
        every_page_answers(served, cookie)
    proxy.set("refuse")
    proxy.cut()
    shown = eventually(lambda: (s := served.json("servers", "show", "demo"))["status"] == "unknown" and s, 60)
    assert "last seen running" in shown["status_detail"]
    every_page_answers(served, cookie)
    _, body, _ = get(served, "/servers", cookie)
    assert b"<time" in body and b"does not answer" in body
    assert json.loads(get(served, "/readyz", "")[1])["engine"] == "away"
    served.cli("servers", "start", "demo", code=2)
    assert "engine" in served.stderr.lower()
    proxy.set("pass")
    back = eventually(lambda: (s := served.json("servers", "show", "demo"))["status"] == "running" and s, 60)
    assert back["container_id"]
    assert served.json("servers", "call", "demo", "echo", '{"text": "back"}')["state"] == "succeeded"


@pytest.mark.parametrize("mode", ["refuse", "hang", "garbage", "drop"])
def test_a_test_run_ends_honestly_when_the_engine_connection_breaks_in_the_middle(
    served: Served, proxy: FaultProxy, mode: str
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "mcpweb", "test", "demo", "--json"], env=served.environment, stdout=subprocess.PIPE, text=True
    )
    eventually(lambda: containers(served))
    proxy.set(mode)
    proxy.cut()
    out, _ = run.communicate(timeout=110)
    told = json.loads(out)
    assert told["state"] in ("succeeded", "failed") and told["verdict"] in ("fail", "undecided")
    proxy.set("pass")
    assert eventually(lambda: containers(served) == [], 70)


def test_a_killed_web_process_is_replaced_and_the_session_lives_on(served: Served) -> None:
    cookie = signed_in(served)
    master = served.children()["web server"]
    listed = subprocess.run(["pgrep", "-P", str(master)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(listed[0]), signal.SIGKILL)
    eventually(lambda: len(subprocess.run(["pgrep", "-P", str(master)], capture_output=True, text=True).stdout.split()) == len(listed))
    assert get(served, "/servers", cookie)[0] == 200
