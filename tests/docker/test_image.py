"""The image and its compose file: built on a local base, run with exactly those options, it manages servers through the allow-list alone.

The proxy that compose.yaml names comes from a registry; here list_proxy.py stands for it, with the same settings.
"""
from __future__ import annotations

import contextlib
import json
import re
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpweb.testing.served import free_port
from tests.docker.engine import DockerSession, leftovers
from tests.docker.image import DEPLOY, Composed, build, labels_of, wheel_of_checkout
from tests.sizes import NIGHT
from tests.waiting import eventually

pytestmark = pytest.mark.docker
HERE = Path(__file__).parent


class Deployed:
    """The two containers of the compose file on a free port."""

    def __init__(self, docker_session: DockerSession, image: str, python_image: str) -> None:
        self.port = free_port()
        self.composed = Composed(f"mcpweb-compose-{secrets.token_hex(4)}", docker_session.labels)
        try:
            self.proxy = self.composed.run("engine-proxy", python_image, ["python3", "-u", "-c", (HERE / "list_proxy.py").read_text()])
            eventually(lambda: "listening" in self.composed.log(self.proxy), 10)
            self.manager = self.composed.run("mcpweb", image, MCPWEB_BIND=f"127.0.0.1:{self.port}")
            self.ready = json.loads(eventually(lambda: self.get("/readyz"), 40))
        except BaseException:
            self.close()
            raise

    def get(self, path: str) -> str | None:
        with contextlib.suppress(OSError, urllib.error.HTTPError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        return None

    def cli(self, *words: str, given: str = "") -> str:
        return self.composed.run_in(self.manager, "mcpweb", *words, given=given)

    def close(self) -> None:
        self.composed.close()


@pytest.fixture(scope="module")
def image(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(wheel_of_checkout(tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def deployed(docker_session: DockerSession, image: str, python_image: str) -> Iterator[Deployed]:
    deployed = Deployed(docker_session, image, python_image)
    yield deployed
    instance = re.findall(r"ins_\w+", deployed.cli("doctor", "--json") + deployed.composed.run_in(deployed.manager, "cat", "/keys/instance.json"))
    deployed.close()
    left = leftovers(DockerSession(instances=list(set(instance))))
    assert instance and not left, left


def test_the_image_names_a_user_of_no_rights_and_how_to_ask_for_its_health(image: str) -> None:
    config = labels_of(image)["Config"]
    assert config["User"] == "10001:10001" and config["Healthcheck"]["Test"][0] == "CMD" and set(config["Volumes"]) == {"/data", "/keys"}


def test_what_it_installs_is_what_was_locked() -> None:
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", (DEPLOY.parent / "requirements.lock").read_text(), re.M))
    own = dict(re.findall(r"^([\w.-]+)==(\S+)", (DEPLOY / "requirements.lock").read_text(), re.M))
    assert len(own) > 40 and {name: locked.get(name) for name in own} == own, "`make lock` writes both"
    for text in ((DEPLOY / "requirements.lock").read_text(), (DEPLOY / "build.lock").read_text()):
        assert all("--hash=sha256:" in one for one in re.split(r"\n(?=\w)", text.strip())) and "://" not in text


def test_it_serves_without_rights_on_a_root_it_cannot_write(deployed: Deployed) -> None:
    assert deployed.ready["ready"] is True
    eventually(lambda: json.loads(deployed.get("/readyz") or "{}").get("engine") == "reachable", 10)
    assert "password" in (deployed.get("/sign-in") or "")
    facts = deployed.composed.run_in(
        deployed.manager, "python", "-c",
        "import os, json\nlines = dict(line.split(':', 1) for line in open('/proc/1/status'))\ntry: open('/opt/x', 'w'); wrote = True\n"
        "except OSError: wrote = False\nprint(json.dumps([os.getuid(), lines['CapEff'].strip(), lines['NoNewPrivs'].strip(), wrote]))",
    )
    assert json.loads(facts) == [10001, "0" * 16, "1", False]
    test = labels_of_container(deployed)["Config"]["Healthcheck"]["Test"]
    deployed.composed.run_in(deployed.manager, *test[1:])
    with pytest.raises(AssertionError):
        deployed.composed.run_in(deployed.manager, "env", "MCPWEB_BIND=127.0.0.1:9", *test[1:])


def labels_of_container(deployed: Deployed) -> dict[str, Any]:
    return dict(deployed.composed.client.inspect_container(deployed.manager))


def test_it_runs_calls_and_tests_servers_through_the_allow_list_alone(deployed: Deployed, python_image: str) -> None:
    deployed.cli("servers", "add", "demo", "--image", python_image)
    deployed.cli("servers", "start", "demo")
    called = json.loads(deployed.cli("servers", "call", "demo", "echo", '{"text": "through the list"}', "--json"))
    assert called["state"] == "succeeded" and "through the list" in json.dumps(called["result"])
    told = json.loads(deployed.cli("test", "demo", "--json", *([] if NIGHT else ["--type", "connection"])))
    verdicts = {one["check_id"]: one["output_data"]["verdict"] for one in told["results"]}
    assert told["state"] == "succeeded" and "undecided" not in verdicts.values() and verdicts["C01"] == "pass", verdicts
    deployed.cli("servers", "remove", "demo")
    assert "refused" not in deployed.composed.log(deployed.proxy), "the list lacks a call"


def test_the_list_stands_between_it_and_the_rest_of_the_engine(deployed: Deployed) -> None:
    program = (
        "import socket\ns = socket.socket(socket.AF_UNIX); s.connect('/run/engine/docker.sock')\n"
        "s.sendall(b'{} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n'); print(s.recv(12).decode())"
    )
    for call, status in (("POST /v1.41/containers/x/exec", "403"), ("POST /v1.41/build", "403"), ("GET /v1.41/version", "200")):
        assert status in deployed.composed.run_in(deployed.manager, "python", "-c", program.format(call)), call


def test_its_log_is_lines_of_json(deployed: Deployed) -> None:
    lines = [line for line in deployed.composed.log(deployed.manager).splitlines() if not line.startswith(("URL:", "Setup:"))]
    assert all(json.loads(line)["level"] for line in lines)
    assert "Setup: http://127.0.0.1" in deployed.composed.log(deployed.manager)


if NIGHT:

    def test_stopped_and_made_anew_it_keeps_its_data(docker_session: DockerSession, image: str, python_image: str) -> None:
        deployed = Deployed(docker_session, image, python_image)
        try:
            deployed.cli("secrets", "set", "TOKEN", given="a value of some length")
            began = time.monotonic()
            deployed.composed.client.stop(deployed.manager, timeout=45)
            assert time.monotonic() - began < 15
            assert deployed.composed.client.inspect_container(deployed.manager)["State"]["ExitCode"] == 0
            deployed.composed.client.remove_container(deployed.composed.made.pop(), v=False)
            deployed.manager = deployed.composed.run("mcpweb", image, MCPWEB_BIND=f"127.0.0.1:{deployed.port}")
            eventually(lambda: deployed.get("/readyz"), 40)
            assert "TOKEN" in deployed.cli("secrets", "list")
            assert json.loads(deployed.cli("keys", "verify", "--json"))
        finally:
            deployed.close()
