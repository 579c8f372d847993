"""Real servers that turn: found before the next call, shown field by field, blocked or warned of as the policy says."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from mcpweb.dao.jobs import Job
from mcpweb.dao.servers import Server
from mcpweb.services import pins
from tests.docker.engine import DockerSession
from tests.docker.images import build_image
from tests.docker.installation import ACTOR, Installation, installation
from tests.waiting import eventually

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def here(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("pins")) as made:
        yield made


def started(here: Installation, corpus: str, name: str = "", **config: object) -> Server:
    server = here.add(name or corpus, build_image("corpus"), *corpus.split(), **config)
    assert here.ask(server, "start").state == "succeeded"
    return server


def say(here: Installation, server: Server) -> Job:
    return here.call(server, "echo", text="hello")


def test_a_tool_that_turns_after_two_calls_is_not_called_a_third_time_until_it_is_approved(here: Installation) -> None:
    server = started(here, "pins-after-two")
    assert [say(here, server).state for _ in range(2)] == ["succeeded", "succeeded"]
    refused = say(here, server)
    assert refused.state == "failed" and refused.error is not None and refused.error["code"] == "pin_changed"
    (diff,) = pins.diff(here.core, ACTOR, server.id)
    assert (diff.name, diff.pointer, diff.before) == ("echo", "/description", "Return the text.")
    assert "private key" in diff.after
    assert here.call(server, "add", a=1, b=2).state == "succeeded"
    assert pins.approve(here.core, ACTOR, server.id, ["echo"]) == 1
    assert say(here, server).state == "succeeded"
    here.ask(server, "stop")


def test_the_same_server_under_warn_is_called_and_the_result_warns(here: Installation) -> None:
    server = started(here, "pins-after-two", "pins-warned")
    pins.set_policy(here.core, ACTOR, server.id, "warn")
    for _ in range(3):
        assert say(here, server).state == "succeeded"
    eventually(lambda: pins.changes(here.core, ACTOR, server.id))
    job = say(here, server)
    assert job.state == "succeeded" and "not what was approved" in job.result["warning"]
    here.ask(server, "stop")


@pytest.mark.parametrize("corpus", ["pins-steady", "pins-steady --http 8000"])
def test_its_twin_is_left_alone(here: Installation, corpus: str) -> None:
    http = {"transport": "http", "port": 8000, "network": "published"} if "--http" in corpus else {}
    server = started(here, corpus, "pins-twin-http" if http else "pins-twin", **http)
    jobs = [say(here, server) for _ in range(4)]
    assert [job.state for job in jobs] == ["succeeded"] * 4 and not any("warning" in job.result for job in jobs)
    assert pins.changes(here.core, ACTOR, server.id) == []
    here.ask(server, "restart")
    assert say(here, server).state == "succeeded" and pins.changes(here.core, ACTOR, server.id) == []
    here.ask(server, "stop")


def test_a_change_that_is_announced_is_found_without_another_call(here: Installation) -> None:
    server = started(here, "pins-notice")
    assert say(here, server).state == "succeeded"
    eventually(lambda: pins.changes(here.core, ACTOR, server.id))
    assert say(here, server).state == "failed"
    here.ask(server, "stop")


def test_a_server_of_the_modern_era_is_asked_to_tell_of_changes_and_heard(here: Installation) -> None:
    server = started(here, "pins-subscribed")
    (change,) = eventually(lambda: pins.changes(here.core, ACTOR, server.id), 25)  # the round each minute would be later
    assert (change.name, change.change) == ("echo", "changed")
    here.ask(server, "stop")


def test_a_change_in_the_next_container_is_found_at_its_start(here: Installation) -> None:
    server = started(here, "pins-each-container")
    assert say(here, server).state == "succeeded"
    assert here.ask(server, "restart").state == "succeeded"
    assert [row.name for row in pins.changes(here.core, ACTOR, server.id)] == ["echo"]
    assert say(here, server).state == "failed"
    here.ask(server, "stop")
    assert say(here, server).error["code"] == "pin_changed"  # type: ignore[index]  # nor in a container thrown away afterwards


def test_prompts_resources_and_instructions_are_pinned_and_their_changes_told(here: Installation) -> None:
    server = started(here, "pins-everything")
    kinds = {"tool", "instructions", "prompt", "resource"}
    eventually(lambda: {row.kind for row in pins.listing(here.core, ACTOR, server.id)} == kinds)
    assert say(here, server).state == "succeeded"
    found = eventually(lambda: len(pins.changes(here.core, ACTOR, server.id)) == 2 and pins.changes(here.core, ACTOR, server.id))
    assert {(row.kind, row.change) for row in found} == {("prompt", "changed"), ("resource", "changed")}
    assert say(here, server).state == "succeeded"  # no tool has changed
    here.ask(server, "stop")
