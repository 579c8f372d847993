"""The command line against a real engine, with a worker and without one."""
from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from mcpweb.testing.served import Served
from tests.waiting import eventually

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation with the demo server that runs, for one test after the other."""
    served = Served(tmp_path_factory.mktemp("installed"), _MCPWEB_SLOWEST_S="0.5")
    served.cli("demo")
    served.start()
    yield served
    for server in served.json("servers", "list")["items"]:
        served.cli("servers", "remove", server["name"], code=None)
    assert served.stop() == 0


@pytest.fixture
def served(installed: Served) -> Iterator[Served]:
    """That installation with nothing but the demo server, which does not run."""
    if installed._process is None:
        installed.start()
    installed.wait_ready()
    statuses = {server["name"]: server["status"] for server in installed.json("servers", "list")["items"]}
    for name in statuses.keys() - {"demo"}:
        installed.cli("servers", "remove", name)
    if "demo" not in statuses:
        installed.cli("demo")
    elif statuses["demo"] != "stopped":
        installed.cli("servers", "stop", "demo")
    assert containers(installed) == []
    yield installed


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation without a worker, for tests that leave nothing in it."""
    served = Served(tmp_path_factory.mktemp("alone"))
    served.cli("demo")
    yield served
    served.cli("servers", "remove", "demo", code=None)


def containers(served: Served) -> list[dict[str, Any]]:
    record = json.loads((served.folder / "data.keys" / "instance.json").read_text())
    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=mcpweb.instance={record['id']}"], capture_output=True, text=True, check=True
    ).stdout.split()
    if not listed:
        return []
    found = subprocess.run(["docker", "inspect", *listed], capture_output=True, text=True)
    return json.loads(found.stdout)


def test_a_server_is_started_listed_called_logged_tested_stopped_and_removed(served: Served) -> None:
    started = served.json("servers", "start", "demo")
    assert started["state"] == "succeeded" and started["result"]["protocol"] == "2026-07-28"
    assert {"echo", "calculate"} <= {tool["name"] for tool in served.json("servers", "tools", "demo")["items"]}
    called = served.json("servers", "call", "demo", "calculate", '{"operation": "multiply", "a": 6, "b": 7}')
    assert called["result"]["result"]["structuredContent"] == {"result": 42}
    assert set(called) == {
        "id", "kind", "state", "progress", "message", "result", "error", "subject", "created_at", "finished_at"
    }
    assert "speaks on stdio" in served.cli("servers", "logs", "demo")
    run = served.json("test", "demo", "--type", "connection")
    assert run["verdict"] == "pass" and run["counts"]["fail"] == 0 and len(run["results"]) == run["counts"]["pass"]
    served.cli("servers", "stop", "demo")
    assert served.json("servers", "show", "demo")["status"] == "stopped" and containers(served) == []
    served.cli("servers", "remove", "demo")
    served.cli("servers", "show", "demo", code=2)


def test_an_http_server_is_reached_on_loopback_only_and_adopted_after_a_restart(served: Served) -> None:
    image = served.json("servers", "show", "demo")["image"]
    served.cli("servers", "add", "web", "--image", image, "--transport", "http", "--port", "9000", "--command", "--http 9000")
    served.cli("servers", "start", "web")
    (before,) = containers(served)
    bound = before["NetworkSettings"]["Ports"]["9000/tcp"]
    assert [place["HostIp"] for place in bound] == ["127.0.0.1"]
    assert served.stop() == 0
    (left,) = containers(served)
    assert left["Id"] == before["Id"] and left["State"]["Running"]
    served.start()
    eventually(lambda: "adopted" in served.cli("servers", "logs", "web"))
    assert served.json("servers", "call", "web", "echo", '{"text": "still"}')["state"] == "succeeded"
    assert [c["Id"] for c in containers(served)] == [before["Id"]]


def test_a_started_server_has_every_hardened_default(served: Served) -> None:
    served.cli("servers", "start", "demo")
    (container,) = containers(served)
    host = container["HostConfig"]
    assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
    assert any("no-new-privileges" in option for option in host["SecurityOpt"])
    assert host["ReadonlyRootfs"] and host["Init"] and host["NetworkMode"] == "none" and host["PidsLimit"] == 256
    assert host["Memory"] == 512 * 2**20 and host["NanoCpus"] == 10**9 and not host["Binds"]
    assert host["LogConfig"]["Type"] == "none" and host["RestartPolicy"]["Name"] in ("", "no")
    labels = container["Config"]["Labels"]
    assert labels["mcpweb.server"] == "demo" and labels["mcpweb.role"] == "server" and labels["mcpweb.config_hash"]
    assert container["Name"].startswith("/mcpweb-demo-")


def test_commands_that_end_work_without_a_worker_and_leave_no_container(alone: Served) -> None:
    assert alone.json("servers", "call", "demo", "echo", '{"text": "hi"}')["result"]["result"]["content"][0]["text"] == "hi"
    assert alone.json("test", "demo", "--type", "connection")["verdict"] == "pass"
    assert len(alone.json("servers", "tools", "demo")["items"]) == 7
    assert containers(alone) == []


def test_a_start_without_a_worker_says_what_to_run(alone: Served) -> None:
    alone.cli("servers", "start", "demo", code=2)
    assert "no worker: run `mcpweb serve` or `mcpweb worker`" in alone.stderr


def test_a_tool_that_says_is_error_is_exit_code_one(alone: Served) -> None:
    out = alone.cli("servers", "call", "demo", "calculate", '{"operation": "divide", "a": 1, "b": 0}', code=1)
    assert "division by zero" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("servers", "show", "nobody"), "There is no server nobody"),
        (("servers", "add", "bad name", "--image", "x"), "A name begins"),
        (("servers", "add", "fine", "--image", "UPPER/Case:!"), "not an image reference"),
        (("servers", "list", "--cursor", "damaged"), "cursor is damaged"),
        (("servers", "call", "demo", "echo", "{nonsense"), "not JSON"),
        (("servers", "add", "web", "--image", "x", "--transport", "http"), "port"),
        (("test", "demo", "--type", "sorcery"), "no test type sorcery"),
    ],
)
def test_bad_input_is_exit_code_two_and_one_sentence(alone: Served, arguments: tuple[str, ...], said: str) -> None:
    alone.cli(*arguments, code=2)
    assert said in alone.stderr and "Traceback" not in alone.stderr


def test_errors_are_problem_json_with_json(alone: Served) -> None:
    alone.cli("servers", "show", "nobody", "--json", code=2)
    problem = json.loads(alone.stderr)
    assert problem["status"] == 404 and problem["code"] == "not_found"


def test_a_missing_image_names_the_pull_as_next_step(served: Served) -> None:
    served.cli("servers", "add", "ghost", "--image", "mcpweb-no-such-image:1")
    served.cli("servers", "start", "ghost", code=2)
    assert "servers pull ghost" in served.stderr
    assert served.json("servers", "show", "ghost")["status"] == "error"


def test_a_killed_worker_loses_nothing(served: Served) -> None:
    served.cli("servers", "start", "demo")
    run_job = served.json("servers", "stop", "demo", "--no-wait")
    os.kill(served.children()["worker"], signal.SIGKILL)
    ended = eventually(lambda: (found := served.json("jobs", "show", run_job["id"]))["state"] in ("succeeded", "failed") and found, 60)
    assert ended["state"] == "succeeded"
    assert eventually(lambda: containers(served) == [])
    assert served.json("servers", "show", "demo")["status"] == "stopped"


def test_a_test_run_whose_worker_is_killed_ends_honestly_and_leaves_nothing(served: Served) -> None:
    run = subprocess.Popen(
        [os.sys.executable, "-m", "mcpweb", "test", "demo", "--json"], env=served.environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )
    eventually(lambda: any(c["Config"]["Labels"]["mcpweb.role"] == "test" for c in containers(served)))
    os.kill(served.children()["worker"], signal.SIGKILL)
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 2
    told = json.loads(out)
    assert told["state"] == "failed" and told["error"]["code"] == "interrupted"
    assert eventually(lambda: containers(served) == [])


def test_a_wanted_server_runs_again_after_its_worker_was_killed(served: Served) -> None:
    served.cli("servers", "start", "demo")
    (before,) = containers(served)
    os.kill(served.children()["worker"], signal.SIGKILL)
    eventually(lambda: [c["Id"] for c in containers(served)] not in ([], [before["Id"]]))
    assert eventually(lambda: served.json("servers", "show", "demo")["status"] == "running")
    assert served.json("servers", "call", "demo", "echo", '{"text": "again"}')["state"] == "succeeded"


def test_a_container_killed_by_somebody_shows_as_error_with_its_exit_code(served: Served) -> None:
    served.cli("servers", "start", "demo")
    (container,) = containers(served)
    subprocess.run(["docker", "kill", container["Id"]], check=True, capture_output=True)
    shown = eventually(lambda: (found := served.json("servers", "show", "demo"))["status"] == "error" and found)
    assert "137" in shown["status_detail"]


def test_a_second_start_of_serve_names_the_port_and_keeps_the_data(served: Served) -> None:
    served.cli("serve", code=2)
    assert "cannot be used" in served.stderr
    assert served.json("servers", "list")["items"][0]["name"] == "demo"
