"""Whatever the engine does to us, a call ends in time, with a named failure and a next step."""
from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcpweb_plugins.runtime_docker.engine import Deadlines
from mcpweb_plugins.runtime_docker.runtime import DockerRuntime

from mcpweb.bench.imagefiles import Unreadable, image_files
from mcpweb.contracts import ConfigData, ContainerIntent, Runtime
from mcpweb.errors import (
    Failure,
    ImageMissing,
    NotFound,
    PullFailed,
    RuntimeProtocolError,
    RuntimeTimeout,
    RuntimeUnavailable,
)
from mcpweb.testing.contracts import Stream, reader
from tests.docker.engine import ADDRESS
from tests.docker.fault_proxy import MODES, FaultProxy
from tests.sizes import NIGHT

DEADLINE_S = 0.4
SLACK_S = 0.5
EXPECTED = {
    "refuse": RuntimeUnavailable,
    "hang": RuntimeTimeout,
    "garbage": RuntimeProtocolError,
    "502": RuntimeUnavailable,
    "half JSON": RuntimeProtocolError,
    "truncated": RuntimeProtocolError,
    "drip": RuntimeTimeout,
    "drop": RuntimeUnavailable,
}
NOBODY = "0" * 64
INTENT = ContainerIntent(
    name="mcpweb-faults-00000000", instance="ins_faults00000000", server_id="srv_faults", server="faults",
    role="server", image="mcpweb-no-such-image:1", config=ConfigData(), config_hash="hash",
)  # fmt: skip
METHODS: dict[str, Callable[[Runtime], Any]] = {
    "image": lambda r: r.image("mcpweb-no-such-image:1"),
    "pull": lambda r: r.pull("mcpweb-no-such-image:1", lambda fraction, sentence: None),
    "launch": lambda r: r.launch(INTENT),
    "attach": lambda r: r.attach(NOBODY),
    "inspect": lambda r: r.inspect(NOBODY),
    "containers": lambda r: r.containers(INTENT.instance),
    "stop": lambda r: r.stop(NOBODY, 0),
    "remove": lambda r: r.remove(NOBODY),
    "stats": lambda r: list(r.stats(NOBODY, lambda: False)),
    "events": lambda r: list(r.events(INTENT.instance, lambda: False)),
    "cleanup": lambda r: r.cleanup(INTENT.instance),
    "history": lambda r: r.history("mcpweb-no-such-image:1"),
    "changes": lambda r: r.changes(NOBODY),
    "processes": lambda r: r.processes(NOBODY),
    "export_image": lambda r: list(image_files(reader(r.export_image("mcpweb-no-such-image:1", lambda: False)))),
    "planted": lambda r: r.planted(INTENT.instance),
    "remove_planted": lambda r: r.remove_planted(INTENT.instance, "mcpweb-00000000-planted-x"),
}


STREAMS = ("pull", "stats", "events", "export_image")
EXPECTED_OF: dict[tuple[str, str], type[Failure]] = {
    ("half JSON", "export_image"): Unreadable,  # bytes are bytes until somebody reads them
    ("half JSON", "events"): RuntimeUnavailable,  # the SDK ends this stream without telling why
    ("truncated", "events"): RuntimeUnavailable,
    ("drip", "attach"): RuntimeProtocolError,  # an answer that is not a stream is known at once
    ("drip", "pull"): PullFailed,
}


@pytest.fixture
def proxy(docker_session: Any, tmp_path: Path) -> Iterator[FaultProxy]:
    proxy = FaultProxy(tmp_path / "engine.sock", ADDRESS.removeprefix("unix://"))
    yield proxy
    proxy.close()


@pytest.fixture
def impatient(proxy: FaultProxy) -> DockerRuntime:
    """A runtime behind the proxy with short deadlines that has talked to the engine already."""
    runtime = DockerRuntime(proxy.address, deadlines=Deadlines.all(DEADLINE_S))
    assert DockerRuntime(proxy.address).health().reachable  # the SDK is imported now
    assert any(runtime.health().reachable for _ in range(20)), "a busy machine may need more than one try"
    return runtime


# all of them at night; by day each mode with a third of the methods, each method with some of the modes
PAIRS = [
    (mode, method) for at, mode in enumerate(MODES) for place, method in enumerate(METHODS)
    if NIGHT or (at + place) % 3 == 0 or (mode, method) in EXPECTED_OF
]


@pytest.mark.parametrize(("mode", "method"), PAIRS)
def test_each_fault_ends_each_call_in_time_with_a_name(
    proxy: FaultProxy, impatient: DockerRuntime, mode: str, method: str
) -> None:
    proxy.set(mode)
    began = time.monotonic()
    with pytest.raises(EXPECTED_OF.get((mode, method), EXPECTED[mode])) as caught:
        METHODS[method](impatient)
    limit = DEADLINE_S * (2 if method in STREAMS else 1)  # a stream may open in time and be silent in time
    assert time.monotonic() - began <= limit + SLACK_S
    assert caught.value.detail and caught.value.next_step


@pytest.mark.parametrize("mode", MODES)
def test_each_fault_at_the_first_word_is_told_by_health_in_time(proxy: FaultProxy, mode: str) -> None:
    runtime = DockerRuntime(proxy.address, deadlines=Deadlines.all(DEADLINE_S))
    proxy.set(mode)
    began = time.monotonic()
    health = runtime.health()
    assert time.monotonic() - began <= DEADLINE_S + SLACK_S
    assert not health.reachable and health.detail and health.address == proxy.address


@pytest.mark.parametrize("mode", MODES)
def test_everything_works_again_once_the_fault_is_over(proxy: FaultProxy, impatient: DockerRuntime, mode: str) -> None:
    proxy.set(mode)
    with pytest.raises(RuntimeUnavailable):
        impatient.containers(INTENT.instance)
    proxy.set("pass")
    assert impatient.containers(INTENT.instance) == []
    with pytest.raises(ImageMissing):
        impatient.image("mcpweb-no-such-image:1")
    with pytest.raises(NotFound):
        impatient.inspect(NOBODY)


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_a_call_that_was_given_up_leaves_no_thread_and_no_connection(
    proxy: FaultProxy, impatient: DockerRuntime, mode: str
) -> None:
    proxy.set(mode)
    for method in ("image", "inspect", "events"):
        with pytest.raises(RuntimeUnavailable):
            METHODS[method](impatient)
    end = time.monotonic() + 2
    while time.monotonic() < end and any(t.name.startswith("engine:") for t in threading.enumerate()):
        time.sleep(0.02)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("engine:")]


def test_after_three_timeouts_nobody_waits_and_one_call_decides_when_it_is_over(
    proxy: FaultProxy, impatient: DockerRuntime
) -> None:
    proxy.set("hang")
    for _ in range(3):
        with pytest.raises(RuntimeTimeout):
            impatient.containers(INTENT.instance)
    before = len(proxy.requests)
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(RuntimeUnavailable, match="has not answered since"):
            impatient.containers(INTENT.instance)
    assert time.monotonic() - began < DEADLINE_S
    assert len(proxy.requests) == before, "an open breaker lets nobody through"
    proxy.set("pass")
    time.sleep(1.1)
    assert impatient.containers(INTENT.instance) == []


def test_while_one_call_tries_an_absent_engine_again_the_others_do_not(
    proxy: FaultProxy, impatient: DockerRuntime
) -> None:
    proxy.set("hang")
    for _ in range(3):
        with pytest.raises(RuntimeTimeout):
            impatient.containers(INTENT.instance)
    time.sleep(1.1)
    before = len(proxy.requests)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            impatient.containers(INTENT.instance)
        except RuntimeUnavailable as failure:
            errors.append(failure)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 8
    assert len(proxy.requests) - before == 1


def test_a_success_of_health_lets_everybody_through_again(proxy: FaultProxy, impatient: DockerRuntime) -> None:
    proxy.set("drop")
    for _ in range(5):
        with pytest.raises(RuntimeUnavailable):
            impatient.containers(INTENT.instance)
    proxy.set("pass")
    assert impatient.health().reachable
    assert impatient.containers(INTENT.instance) == []


@pytest.mark.parametrize(
    ("mode", "only"),
    [
        ("502", "/start"),
        ("drop", "/start"),
        ("hang", "/start"),
        ("drop", "/attach"),
        ("swallow", "/containers/create"),
        ("swallow", "/start"),
    ],
)
def test_nothing_half_made_remains_when_the_engine_fails_in_the_middle(
    proxy: FaultProxy, docker_session: Any, python_image: str, runtime: DockerRuntime, mode: str, only: str
) -> None:
    behind = DockerRuntime(proxy.address, deadlines=Deadlines(launch=2.0))
    intent = docker_session.intent(python_image)
    proxy.set(mode, only=f"POST .*{only}")
    with pytest.raises(RuntimeUnavailable):
        behind.launch(intent)
    assert any(re.search(only.encode(), line) for line in proxy.requests)
    assert runtime.containers(intent.instance) == []


def test_a_container_made_while_the_engine_was_mute_is_removed_by_the_next_look(
    proxy: FaultProxy, docker_session: Any, python_image: str, runtime: DockerRuntime
) -> None:
    behind = DockerRuntime(proxy.address, deadlines=Deadlines(launch=1.0, cleanup=0.3))
    assert behind.health().reachable
    intent = docker_session.intent(python_image)
    proxy.set("swallow", only="POST .*/containers/create|GET .*/containers/|DELETE")
    with pytest.raises(RuntimeTimeout):
        behind.launch(intent)
    assert len(runtime.containers(intent.instance)) == 1, "the engine did make it"
    proxy.set("pass")
    assert behind.containers(intent.instance) == []
    assert runtime.containers(intent.instance) == []


def test_a_broken_stream_ends_the_session_and_leaves_the_engine_to_ask(
    proxy: FaultProxy, docker_session: Any, python_image: str, runtime: DockerRuntime, launch: Any
) -> None:
    behind = DockerRuntime(proxy.address)
    intent = docker_session.intent(python_image)
    launched = behind.launch(intent)
    try:
        proxy.cut()
        Stream(launched.socket).wait_end(5)
        assert behind.inspect(launched.container_id).id == launched.container_id
    finally:
        launched.socket.close()
        runtime.remove(launched.container_id)


def test_events_say_when_they_were_cut_and_go_on_where_they_broke(
    proxy: FaultProxy, docker_session: Any, python_image: str, runtime: DockerRuntime, launch: Any
) -> None:
    behind = DockerRuntime(proxy.address)
    intent = docker_session.intent(python_image)
    stream = behind.events(intent.instance, lambda: False)
    first = runtime.launch(intent)
    try:
        assert next(stream).action == "create"
        proxy.cut()
        with pytest.raises(RuntimeUnavailable):
            for _ in stream:
                pass
        runtime.remove(first.container_id)  # while nobody listens
        first.socket.close()
        seen = []
        for event in behind.events(intent.instance, lambda: False):
            seen.append(event.action)
            if event.action == "destroy":
                break
        assert "die" in seen and "create" not in seen
    finally:
        runtime.remove(first.container_id)


def test_a_pull_that_goes_silent_fails_instead_of_waiting(proxy: FaultProxy, impatient: DockerRuntime) -> None:
    proxy.set("drip", only="POST .*/images/create")
    began = time.monotonic()
    with pytest.raises((RuntimeTimeout, PullFailed)):
        impatient.pull("mcpweb-no-such-image:1", lambda fraction, sentence: None)
    assert time.monotonic() - began < DEADLINE_S * 2 + SLACK_S


@pytest.mark.parametrize("address", ["ssh://host", "npipe:////./pipe/docker", "tcp://host", "fd://", "http://x:1", "x"])
def test_an_address_we_do_not_speak_is_named_with_a_next_step(address: str) -> None:
    health = DockerRuntime(address).health()
    assert not health.reachable and address in health.detail and "unix://" in health.detail


def test_a_tcp_address_with_nobody_behind_it_is_refused_not_hung() -> None:
    health = DockerRuntime("tcp://127.0.0.1:9").health()
    assert not health.reachable and "refused" in health.detail
