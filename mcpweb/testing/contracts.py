"""What every plugin of a kind must keep: inherit a contract in a test module, give the fixtures, and pass.

``RuntimeContract`` runs on Docker and on the fake, so the fake cannot drift; a team's own runtime inherits it too.
"""
from __future__ import annotations

import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

import pytest

from mcpweb.bench.imagefiles import image_files
from mcpweb.contracts import ConfigData, ContainerIntent, Mount, Planted, Runtime, RuntimeEvent
from mcpweb.errors import (
    Cancelled,
    ImageMissing,
    NotFound,
    PolicyRefused,
    PullFailed,
    RuntimeConflict,
    RuntimeUnavailable,
    StartFailed,
)
from mcpweb.testing.attached import INITIALIZE, Stream, post
from mcpweb.testing.deliverycontract import VALUES, WAYS, DeliveryContract, asking, deliveries, eventually
from mcpweb.testing.testtypecontract import TestTypeContract


def reader(pieces: Iterator[bytes]) -> Callable[[int], bytes]:
    """Return what reads from pieces as from a file."""
    rest = b""

    def read(size: int) -> bytes:
        nonlocal rest
        while not rest and (piece := next(pieces, b"")):
            rest = piece
        data, rest = rest[:size], rest[size:]
        return data

    return read


Mode = Literal["stdio", "http", "exits", "cannot start"]

class RuntimeContract(DeliveryContract, ABC):
    """The promises of ``Runtime``. A subclass gives the fixtures ``runtime``, ``absent_runtime`` and ``intent_for``."""

    @pytest.fixture
    @abstractmethod
    def runtime(self) -> Iterator[Runtime]:
        """A runtime whose engine answers."""

    @pytest.fixture
    @abstractmethod
    def absent_runtime(self) -> Runtime:
        """A runtime whose engine is not there."""

    @abstractmethod
    def intent_for(self, mode: Mode) -> ContainerIntent:
        """Return what to run: an MCP server over stdio or http that writes a line to stderr first; one that exits
        with code 7 at once; one the engine refuses to start."""

    def clear(self, runtime: Runtime, instance: str) -> None:
        """Remove everything of an instance after a test; a runtime with volumes removes them as well."""
        for state in runtime.containers(instance):
            runtime.remove(state.id)
        runtime.cleanup(instance)

    @pytest.fixture
    def make(self, runtime: Runtime) -> Iterator[Any]:
        """Return ``make(mode, **changes of the intent) -> ContainerIntent`` and remove everything at the end."""
        instance = f"ins_{secrets.token_hex(8)}"
        instances = {instance}

        def make(mode: Mode = "stdio", **changes: Any) -> ContainerIntent:
            intent = replace(self.intent_for(mode), instance=instance, name=f"mcpweb-contract-{instance[-8:]}")
            intent = replace(intent, **changes)
            instances.add(intent.instance)
            return intent

        yield make
        for one in instances:
            self.clear(runtime, one)

    # Looking

    def test_an_engine_that_answers_is_healthy_and_says_its_version(self, runtime: Runtime) -> None:
        health = runtime.health()
        assert health.reachable and health.version and health.api_version and health.address

    def test_an_absent_engine_is_a_fact_to_health_and_a_named_failure_with_a_next_step_to_all_else(
        self, absent_runtime: Runtime
    ) -> None:
        began = time.monotonic()
        health = absent_runtime.health()
        assert not health.reachable and health.detail
        assert time.monotonic() - began < 2.5
        intent = self.intent_for("stdio")
        for ask in (
            lambda: absent_runtime.image(intent.image),
            lambda: absent_runtime.containers(intent.instance),
            lambda: absent_runtime.history(intent.image),
            lambda: absent_runtime.inspect("0" * 64),
            lambda: absent_runtime.changes("0" * 64),
            lambda: absent_runtime.processes("0" * 64),
            lambda: absent_runtime.stop("0" * 64),
            lambda: absent_runtime.remove("0" * 64),
            lambda: absent_runtime.attach("0" * 64),
            lambda: absent_runtime.launch(intent),
            lambda: next(absent_runtime.stats("0" * 64, lambda: False)),
            lambda: absent_runtime.planted(intent.instance),
            lambda: absent_runtime.remove_planted(intent.instance, f"mcpweb-{intent.instance[-8:]}-planted-x"),
            lambda: next(absent_runtime.export_image(intent.image, lambda: False)),
            lambda: next(absent_runtime.events(intent.instance, lambda: False)),
        ):
            with pytest.raises(RuntimeUnavailable) as caught:
                ask()
            assert caught.value.detail and caught.value.next_step

    def test_image_facts_tell_id_size_and_architecture(self, runtime: Runtime) -> None:
        facts = runtime.image(self.intent_for("stdio").image)
        assert facts.id.startswith("sha256:") and facts.size > 0 and facts.architecture
        assert runtime.image(facts.id).id == facts.id

    def test_the_history_of_an_image_tells_its_steps(self, runtime: Runtime) -> None:
        steps = runtime.history(self.intent_for("stdio").image)
        assert steps and all("CreatedBy" in step for step in steps)
        with pytest.raises(ImageMissing):
            runtime.history("mcpweb-no-such-image:1")

    def test_an_image_comes_as_an_archive_whose_files_can_be_read_and_ends_when_told(self, runtime: Runtime) -> None:
        image = self.intent_for("stdio").image
        files = image_files(reader(runtime.export_image(image, lambda: False)))
        assert any(file.kind == "file" and file.size for file in files)
        assert list(runtime.export_image(image, lambda: True)) == []
        with pytest.raises(ImageMissing):
            next(runtime.export_image("mcpweb-no-such-image:1", lambda: False))

    def test_an_image_that_is_not_there_is_named_with_a_next_step(self, runtime: Runtime, make: Any) -> None:
        with pytest.raises(ImageMissing) as caught:
            runtime.image("mcpweb-no-such-image:1")
        assert "mcpweb-no-such-image:1" in caught.value.detail and caught.value.next_step
        with pytest.raises(ImageMissing):
            runtime.launch(make(image="mcpweb-no-such-image:1"))

    def test_pulling_what_cannot_be_had_fails_with_a_reason(self, runtime: Runtime) -> None:
        with pytest.raises(PullFailed) as caught:
            runtime.pull("127.0.0.1:9/no-such/image:1", lambda fraction, sentence: None)
        assert "127.0.0.1:9/no-such/image:1" in caught.value.detail and caught.value.next_step

    # Running over stdio

    def test_a_launched_stdio_server_speaks_mcp_over_a_nonblocking_socket(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make())
        assert launched.endpoint is None
        assert launched.socket.gettimeout() == 0.0
        assert {"create", "attach", "start"} <= launched.timings_ms.keys()
        stream = Stream(launched.socket)
        stream.send(INITIALIZE)
        answer = stream.line()
        assert answer["id"] == 1 and answer["result"]["serverInfo"]["name"]
        launched.socket.close()

    def test_nothing_is_lost_of_what_a_server_says_first(self, runtime: Runtime, make: Any) -> None:
        for _ in range(3):
            launched = runtime.launch(make())
            assert Stream(launched.socket).wait_stderr()
            launched.socket.close()
            runtime.remove(launched.container_id)

    def test_the_end_of_its_input_ends_a_stdio_server(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make())
        stream = Stream(launched.socket)
        stream.send(INITIALIZE)
        stream.line()
        stream.close_stdin()
        stream.wait_end()
        assert eventually(runtime, launched, lambda state: not state.running).exit_code == 0

    def test_a_server_that_exits_at_once_leaves_its_exit_code(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make("exits"))
        Stream(launched.socket).wait_end()
        state = eventually(runtime, launched, lambda state: not state.running)
        assert (state.status, state.exit_code, state.oom_killed) == ("exited", 7, False)

    # Running over http

    def test_an_http_server_is_reached_on_loopback_at_its_endpoint(self, runtime: Runtime, make: Any) -> None:
        intent = make("http")
        launched = runtime.launch(intent)
        assert launched.endpoint and launched.endpoint.startswith("http://127.0.0.1:")
        assert launched.endpoint.endswith(intent.config.path)
        assert post(launched.endpoint, INITIALIZE)["result"]["serverInfo"]["name"]
        state = runtime.inspect(launched.container_id)
        assert runtime.endpoint(state, intent.config) == launched.endpoint
        listed = next(s for s in runtime.containers(intent.instance) if s.id == launched.container_id)
        assert runtime.endpoint(listed, intent.config) == launched.endpoint
        launched.socket.close()

    def test_an_http_server_lives_on_without_us_and_can_be_attached_to_again(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make("http"))
        launched.socket.close()
        time.sleep(0.3)
        assert runtime.inspect(launched.container_id).running
        again = runtime.attach(launched.container_id)
        assert again.gettimeout() == 0.0
        runtime.stop(launched.container_id, 1)
        Stream(again).wait_end()
        again.close()

    # State

    def test_a_container_carries_its_labels_and_is_listed_for_its_instance_only(
        self, runtime: Runtime, make: Any
    ) -> None:
        intent = make()
        launched = runtime.launch(intent)
        state = runtime.inspect(launched.container_id)
        assert state.running and state.name == intent.name and state.raw
        for name, value in {
            "mcpweb.instance": intent.instance,
            "mcpweb.server_id": intent.server_id,
            "mcpweb.server": intent.server,
            "mcpweb.role": intent.role,
            "mcpweb.config_hash": intent.config_hash,
            **intent.labels,
        }.items():
            assert state.labels[name] == value
        assert [s.id for s in runtime.containers(intent.instance)] == [launched.container_id]
        assert state.image_id == runtime.image(intent.image).id
        assert runtime.containers("ins_of_nobody_else_at_all") == []

    def test_stop_returns_the_last_state_and_none_when_it_was_gone(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make())
        state = runtime.stop(launched.container_id, 2)
        assert state is not None and not state.running and state.exit_code is not None
        again = runtime.stop(launched.container_id, 2)
        assert again is not None and again.exit_code == state.exit_code
        runtime.remove(launched.container_id)
        assert runtime.stop(launched.container_id, 2) is None

    def test_remove_ends_a_running_container_and_is_fine_twice(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make())
        runtime.remove(launched.container_id)
        runtime.remove(launched.container_id)
        with pytest.raises(NotFound):
            runtime.inspect(launched.container_id)

    def test_a_container_is_looked_into_while_it_runs_and_has_no_processes_afterwards(self, runtime: Runtime, make: Any) -> None:
        intent = make()
        launched = runtime.launch(intent)
        words = (*(intent.config.entrypoint or ()), *(intent.config.command or ()))
        listed = runtime.processes(launched.container_id)
        assert listed and all(any(word.split()[0] in line for line in listed) for word in words[:1])
        assert runtime.changes(launched.container_id) == []
        runtime.stop(launched.container_id, 1)
        assert runtime.processes(launched.container_id) == []
        runtime.remove(launched.container_id)
        for look in (runtime.processes, runtime.changes):
            with pytest.raises(NotFound):
                look(launched.container_id)

    # Volumes of tests

    def test_a_volume_of_a_test_is_filled_by_a_helper_seen_by_a_test_and_removed_when_nobody_uses_it(
        self, runtime: Runtime, make: Any
    ) -> None:
        name = f"mcpweb-{make().instance[-8:]}-planted-{secrets.token_hex(4)}"
        test = {"role": "test", "planted": (Planted(name, "/srv/planted"),)}
        with pytest.raises(StartFailed):  # nobody filled it, and an empty one would look like a file that is not there
            runtime.launch(make(**test))
        helper = runtime.launch(make(role="helper", planted=(Planted(name, "/planted", writable=True),), name=f"{make().name}-h"))
        seen = runtime.launch(make(**test))
        assert runtime.planted(make().instance) == [name] and runtime.planted("ins_of_nobody_else_at_all") == []
        runtime.remove(helper.container_id)
        with pytest.raises(RuntimeConflict):
            runtime.remove_planted(make().instance, name)
        runtime.remove(seen.container_id)
        runtime.remove_planted(make().instance, name)
        runtime.remove_planted(make().instance, name)
        assert runtime.planted(make().instance) == []

    @pytest.mark.parametrize("wrong", [
        {"role": "server"}, {"role": "helper"}, {"role": "test", "writable": True}, {"role": "server", "writable": True},
    ], ids=str)
    def test_nobody_but_a_helper_fills_the_volume_of_a_test_and_nobody_but_a_test_sees_it(
        self, runtime: Runtime, make: Any, wrong: dict[str, Any]
    ) -> None:
        name = f"mcpweb-{make().instance[-8:]}-planted-x"
        planted = (Planted(name, "/srv/planted", writable=wrong.get("writable", False)),)
        with pytest.raises(PolicyRefused):
            runtime.check(make(role=wrong["role"], planted=planted))

    # Conflicts and half-made things

    def test_a_leftover_of_the_same_server_gives_way(self, runtime: Runtime, make: Any) -> None:
        first = runtime.launch(make(config_hash="old"))
        second = runtime.launch(make(config_hash="new"))
        assert first.container_id != second.container_id
        with pytest.raises(NotFound):
            runtime.inspect(first.container_id)

    @pytest.mark.parametrize("other", ["instance", "server_id", "role"])
    def test_a_container_of_somebody_else_keeps_its_name_and_both_owners_are_told(
        self, runtime: Runtime, make: Any, other: str
    ) -> None:
        value = {"instance": f"ins_{secrets.token_hex(8)}", "server_id": "srv_other", "role": "helper"}[other]
        theirs = make(**{other: value})
        first = runtime.launch(theirs)
        ours = make()
        with pytest.raises(RuntimeConflict) as caught:
            runtime.launch(ours)
        assert theirs.instance in caught.value.detail and ours.instance in caught.value.detail
        assert caught.value.next_step
        assert runtime.inspect(first.container_id).running

    def test_nothing_remains_of_a_container_that_cannot_start(self, runtime: Runtime, make: Any) -> None:
        intent = make("cannot start")
        with pytest.raises(StartFailed) as caught:
            runtime.launch(intent)
        assert caught.value.detail and caught.value.next_step
        assert runtime.containers(intent.instance) == []

    @pytest.mark.parametrize("step", [0, 1])
    def test_nothing_remains_of_a_launch_that_was_cancelled(self, runtime: Runtime, make: Any, step: int) -> None:
        steps = []

        def progress(fraction: float | None, sentence: str) -> None:
            steps.append(sentence)
            if len(steps) > step:
                raise Cancelled("Somebody cancelled it.")

        intent = make()
        with pytest.raises(Cancelled):
            runtime.launch(intent, progress=progress)
        assert len(steps) == step + 1
        assert runtime.containers(intent.instance) == []

    def test_four_launches_at_once_get_in_nobodys_way(self, runtime: Runtime, make: Any) -> None:
        intents = [
            make(name=f"{make().name}-{number}", server=f"s{number}", server_id=f"srv_{number}") for number in range(4)
        ]
        with ThreadPoolExecutor(4) as pool:
            launched = list(pool.map(runtime.launch, intents))
        assert len({one.container_id for one in launched}) == 4
        for one in launched:
            stream = Stream(one.socket)
            stream.send(INITIALIZE)
            assert stream.line()["id"] == 1
            one.socket.close()

    # Policy

    @pytest.mark.parametrize(
        ("refused", "allowed"),
        [
            ({"capabilities": ("SYS_ADMIN",)}, {"capabilities": ("CHOWN",)}),
            ({"mounts": (Mount("bind", "/etc", "/data"),)}, {"mounts": (Mount("volume", "data", "/data"),)}),
            (
                {"transport": "http", "port": 8000, "network": "none"},
                {"transport": "http", "port": 8000, "network": "published"},
            ),
        ],
    )
    def test_the_policy_refuses_what_is_dangerous_and_lets_its_neighbour_pass(
        self, runtime: Runtime, make: Any, refused: dict[str, Any], allowed: dict[str, Any]
    ) -> None:
        config: ConfigData = make().config
        runtime.check(make(config=replace(config, **allowed)))
        bad = make(config=replace(config, **refused))
        with pytest.raises(PolicyRefused):
            runtime.check(bad)
        with pytest.raises(PolicyRefused):
            runtime.launch(bad)
        assert runtime.containers(bad.instance) == []

    # Streams

    def test_stats_come_until_the_container_ends(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make())
        samples = []
        for sample in runtime.stats(launched.container_id, lambda: False):
            samples.append(sample)
            runtime.remove(launched.container_id)
        assert samples[0].memory_bytes > 0 and samples[0].memory_limit > samples[0].memory_bytes
        assert samples[0].pids > 0 and samples[0].cpu_percent >= 0

    def test_the_first_sample_can_be_had_at_once(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make())
        began = time.monotonic()
        first = next(runtime.stats(launched.container_id, lambda: False, at_once=True))
        assert time.monotonic() - began < 0.9 and first.memory_bytes > 0

    def test_the_memory_of_the_processes_can_be_had_at_once(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make())
        began = time.monotonic()
        assert (1 << 20) < runtime.resident(launched.container_id) < (1 << 30) and time.monotonic() - began < 0.9

    def test_stats_stop_when_told(self, runtime: Runtime, make: Any) -> None:
        launched = runtime.launch(make())
        began = time.monotonic()
        assert list(runtime.stats(launched.container_id, lambda: time.monotonic() - began > 0.2)) is not None
        assert time.monotonic() - began < 3

    def test_events_tell_start_and_die_of_this_instance_only(self, runtime: Runtime, make: Any) -> None:
        ours = make()
        theirs = make(instance=f"ins_{secrets.token_hex(8)}", name=f"{make().name}-other")
        seen: list[RuntimeEvent] = []
        done = threading.Event()

        def listen() -> None:
            for event in runtime.events(ours.instance, done.is_set):
                seen.append(event)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        time.sleep(0.5)
        other = runtime.launch(theirs)
        runtime.remove(other.container_id)
        launched = runtime.launch(ours)
        runtime.stop(launched.container_id, 1)
        end = time.monotonic() + 5
        while time.monotonic() < end and not {"start", "die"} <= {event.action for event in seen}:
            time.sleep(0.05)
        done.set()
        listener.join(3)
        assert not listener.is_alive()
        assert {"start", "die"} <= {event.action for event in seen}
        assert {event.container_id for event in seen} == {launched.container_id}
        assert all(event.labels["mcpweb.instance"] == ours.instance for event in seen)
        assert all(abs(event.at - time.time()) < 60 for event in seen)


__all__ = [
    "INITIALIZE", "VALUES", "WAYS", "Mode", "RuntimeContract", "Stream", "TestTypeContract", "asking", "deliveries", "reader",
]
