"""What a test type is handed: canaries instead of secrets, the containers in use, neighbours, pins, cases, a baseline."""
from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcpweb.contracts import Actor, CheckResult, ConfigData, ContainerIntent, SecretDelivery, Sensitive
from mcpweb.core import Core, open_core
from mcpweb.dao import tools
from mcpweb.errors import ImageMissing, InvalidInput
from mcpweb.services import configurations, jobs, servers, test_runs
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import settings_for
from mcpweb.testing.testruns import carry_out
from mcpweb.worker import Worker

VALUE = "a-value-nobody-may-see"
SECRET = SecretDelivery("API_KEY", Sensitive(VALUE), "environment")


@pytest.fixture
def core(tmp_path: Path, migrated_file: Path, runtime: FakeRuntime) -> Iterator[Core]:
    """The application with the asking plugin."""
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    shutil.copy(Path(__file__).with_name("asking_test_types.py"), folder / "asking.py")
    (folder / "asking.py").chmod(0o600)
    wanted = settings_for(tmp_path, plugins_dir=str(folder))
    wanted.data_dir.mkdir(mode=0o700)
    shutil.copy(migrated_file, wanted.db_path)
    made = open_core(wanted, role="worker")
    made.use_runtime(runtime)
    yield made
    made.close()


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def asked(core: Core, runtime: FakeRuntime) -> Callable[..., list[CheckResult]]:
    def ask(what: str, *, test_type: str = "asks", **fields: Any) -> list[CheckResult]:
        ended = carry_out(core, runtime, test_type, parameters={"ask": what}, **fields)
        assert ended.outcome.error is None, ended.outcome.error
        return ended.results

    return ask


@pytest.fixture
def ask(asked: Callable[..., list[CheckResult]]) -> Ask:
    """Ask one thing and return what the test type told."""

    def ask(what: str, **more: Any) -> dict[str, Any]:
        (told,) = asked(what, **more)
        assert told.verdict == "pass", told.summary
        return dict(told.evidence)

    return ask


def sha(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


@pytest.mark.parametrize(
    ("config", "networks"),
    [(ConfigData(network="outbound"), ["outbound", "none"]),
     (ConfigData(transport="http", port=8000, network="outbound"), ["outbound", "published"])],
    ids=["stdio", "http"],
)
def test_with_canaries_a_server_has_neither_the_real_secret_nor_the_way_out(
    ask: Ask, config: ConfigData, networks: list[str]
) -> None:
    told = ask("secrets", config=config, secrets=(SECRET,))
    digest, canaries = told["real"]
    assert sha(VALUE) in digest and canaries == {}
    digest, canaries = told["canaries"]
    assert set(canaries) == {"API_KEY"} and sha(canaries["API_KEY"]) in digest and sha(VALUE) not in digest
    assert [told["real_network"], told["canaries_network"]] == networks


def test_a_container_and_its_image_are_looked_into(ask: Ask) -> None:
    told = ask("looks")
    assert told["processes"] == ["serve"] and told["changes"] == []
    assert (told["given_up"], told["silent_probe"]) == ("", False)
    assert told["history"][0]["CreatedBy"] and told["config"] == {}
    assert told["begun"] == "x" and told["load"] == ["ok"] * 8


def test_a_container_is_sampled_at_the_start_and_at_the_end(ask: Ask) -> None:
    told = ask("measures")
    assert told["at_start"] == 1 and 2 <= told["at_end"] <= 4 and told["pids"] == 2
    assert told["floor"] == ["ok"] * 5 and 0 < told["floor_ms"] < 500
    assert 1 <= ask("ended")["samples"] <= 2
    assert ask("too_many")["refused"] == ["too_many_feeds"] * 4
    assert [thread.name for thread in threading.enumerate() if thread.name == "feed"] == []


def test_the_files_of_the_image_come_layer_by_layer(ask: Ask, runtime: FakeRuntime) -> None:
    runtime.add_image("tiny:1", layers=({"etc/passwd": b"root", "bin/tool": b"\x7fELF"}, {"app/.env": b"A=1", "bin/.wh.tool": b""}))
    told = ask("files")
    assert told["first"] == "etc/passwd" and told["chosen"] == ["bin/tool"]
    assert told["every"] == {
        "etc/passwd": [0, "file", "root"], "bin/tool": [1, "removed", ""], "app/.env": [1, "file", "A=1"],
    }
    runtime.add_image("tiny:1", layers=({"etc/passwd": b"x" * (8 << 20)},))
    assert ask("files")["first"] == "etc/passwd", "an archive that nobody reads to its end holds up nothing"


def test_the_containers_in_use_are_told_without_their_secrets(ask: Ask, core: Core, runtime: FakeRuntime) -> None:
    config = ConfigData(environment={"PLAIN": "to be seen", "CHANGED": "since then"})
    others = ({"server_id": "srv_other"}, {"role": "test"}, {"instance": "ins_other"})
    known = ContainerIntent(
        "used", core.instance.id, "srv_x", "tiny", "server", "tiny:1", replace(config, environment={"PLAIN": "to be seen", "CHANGED": "x"}),
        "hash", secrets=(SECRET,),
    )
    for number, change in enumerate(({}, *others)):
        runtime.launch(replace(known, name=f"used{number}", **change)).socket.close()  # type: ignore[arg-type]
    (state,) = ask("running", config=config)["running"]
    assert state["name"] == "used0" and state["labels"]["mcpweb.role"] == "server"
    assert state["raw"]["Config"]["Env"] == ["PLAIN=to be seen", "CHANGED=<sensitive>", "API_KEY=<sensitive>"]
    runtime.close()


def test_input_is_made_judged_and_shrunk_from_the_schema(ask: Ask) -> None:
    told = ask("schemas")
    assert told["same"] and {valid for _, _, valid in told["cases"]} == {True, False}
    assert told["judged"] == [valid for _, _, valid in told["cases"]]
    assert "a" not in told["shrunk"] and told["faults"][0] == [] and told["faults"][1]


def test_what_is_known_of_neighbours_pins_and_cases_is_handed_over(ask: Ask) -> None:
    pins = [{"kind": "tool", "name": "echo", "hash": "00", "definition": {"name": "echo"}}]
    cases = [{"id": "tcs_1", "name": "one", "tool": "echo", "arguments": {"text": "x"}, "assertions": [{"kind": "is_error", "value": False}]}]
    neighbours = [{"server": "other", "definitions": [{"name": "send"}]}]
    told = ask("known", pins=pins, cases=cases, neighbours=neighbours)
    assert (told["pins"], told["cases"], told["neighbours"]) == (pins, cases, neighbours)
    assert told["hash"] == sha('{"a":"ü","b":1}')
    assert told["may"] == [True, False, False, False]
    nothing = ask("known", config=ConfigData(active_probes=True))
    assert (nothing["pins"], nothing["cases"], nothing["neighbours"]) == ([], [], []) and nothing["may"] == [True] * 4


def test_a_baseline_is_another_image_or_configuration_side_by_side(ask: Ask, runtime: FakeRuntime) -> None:
    old, new = runtime.add_image("tiny:0"), runtime.image("tiny:1")
    config = ConfigData(environment={"OLD": "yes"}).to_json()
    told = ask("baseline", baseline={"image": "tiny:0", "configuration": "before", "config": config})
    assert told["baseline"] == {"image": "tiny:0", "image_id": old.id, "configuration": "before"}
    assert told["images"] == [old.id, new.id] and told["environment"] == [["OLD=yes"], []]
    code, next_step = ask("baseline")["failure"]
    assert code == "no_baseline" and "baseline" in next_step
    with pytest.raises(ImageMissing):
        ask("baseline", baseline={"image": "no-such:1", "configuration": "before", "config": config})


def test_a_baselines_secrets_are_its_own_and_told_to_nobody(ask: Ask, runtime: FakeRuntime) -> None:
    other = SecretDelivery("OLD_KEY", Sensitive("another-value-nobody-may-see"), "environment")
    config = ConfigData(environment={"PLAIN": "another-value-nobody-may-see"}).to_json()
    told = ask(
        "baseline", baseline={"image": "tiny:1", "configuration": "before", "config": config},
        secrets=(SECRET,), baseline_secrets=(other,),
    )
    assert told["environment"] == [["PLAIN=[redacted]", "OLD_KEY=<sensitive>"], ["API_KEY=<sensitive>"]]


def test_keys_and_numbers_of_a_finding_are_kept_within_bounds(asked: Callable[..., list[CheckResult]]) -> None:
    (told,) = asked("good", test_type="numbers")
    assert (told.key, told.metrics, told.reproduce) == ("k" * 300, {"p50": 1.5}, "Do it again.")


@pytest.mark.parametrize(("way", "said"), [("many", "41 metrics"), ("nan", "no finite number"), ("text", "no finite number")])
def test_numbers_that_are_none_are_no_result(asked: Callable[..., list[CheckResult]], way: str, said: str) -> None:
    (told,) = asked(way, test_type="numbers")
    assert told.verdict == "undecided" and said in told.summary


def test_the_worker_hands_over_the_tools_of_other_servers_and_the_baseline(core: Core, actor: Actor, runtime: FakeRuntime) -> None:
    runtime.add_image("tiny:0")
    server = servers.add(core, actor, name="tiny", image="tiny:1", config=None)
    other = servers.add(core, actor, name="other", image="tiny:1", config=None)
    gone = servers.add(core, actor, name="gone", image="tiny:1", config=None)
    with core.db.writing() as conn:
        for one in (server, other, gone):
            tools.replace(conn, one.id, [{"name": f"tool-of-{one.name}"}])
    worker = Worker(core, brief=True)
    assert worker.elect()
    worker.start()
    try:
        jobs.wait(core, servers.request(core, actor, gone.id, "remove").id, 30)

        def run(ask: str, **parameters: Any) -> Any:
            asked, job = test_runs.request(core, actor, server.id, types=["asks"], parameters={"ask": ask, **parameters})
            done = jobs.wait(core, job.id, 30)
            return done, test_runs.results(core, actor, asked.id)

        _, results = run("known")
        told = results[0].output_data["evidence"]["neighbours"]
        assert told == [{"server": "other", "definitions": [{"name": "tool-of-other"}]}]
        _, results = run("baseline", baseline={"image": "tiny:0", "configuration": "default"})
        assert results[0].output_data["evidence"]["baseline"]["image"] == "tiny:0"
        job, results = run("baseline", baseline={"image": "no-such:1"})
        assert job.state == "failed" and job.error["code"] == "image_missing" and "Pull" in json.dumps(job.error)
    finally:
        worker.stop()


@pytest.mark.parametrize("wrong", [
    "tiny:0", {}, {"image": 5}, {"image": "NOT AN IMAGE"}, {"configuration": "none"}, {"image": "tiny:0", "other": 1}, [], 1,
], ids=str)
def test_a_baseline_that_names_nothing_is_refused_when_it_is_asked_for(core: Core, actor: Actor, wrong: Any) -> None:
    server = servers.add(core, actor, name="tiny", image="tiny:1", config=None)
    configurations.add(core, actor, server.id, name="before", config_data=ConfigData().to_json())
    with pytest.raises(InvalidInput) as caught:
        test_runs.request(core, actor, server.id, types=["asks"], parameters={"baseline": wrong})
    assert caught.value.errors[0].pointer.startswith("/parameters/baseline")
    for right in ({"image": "tiny:0"}, {"configuration": "before"}, None):
        run, _ = test_runs.request(core, actor, server.id, types=["asks"], parameters={"baseline": right})
        assert run.parameters["baseline"] == right
