"""Starts, calls, tests and take-overs with secrets: who gets what, who is refused by name, what a change makes of it."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from mcpweb import clock
from mcpweb.contracts import Actor, ConfigData, ContainerIntent, Delivery, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit, bindings, configurations, keys, secrets, tools
from mcpweb.dao import servers as server_rows
from mcpweb.dao.bindings import Binding
from mcpweb.dao.jobs import Job
from mcpweb.dao.secrets import Secret
from mcpweb.dao.servers import Server
from mcpweb.errors import NotFound
from mcpweb.ids import new_id
from mcpweb.services import jobs, servers, test_runs
from mcpweb.services.bindings import place_of
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.tinyserver import Behaviour, tiny_server
from mcpweb.worker import Worker
from mcpweb.worker.fleet import OTHER_CONFIGURATION, OTHER_SECRETS
from tests.waiting import eventually

CANARY = "canary-of-a-start-77aa"
HTTP = ConfigData(transport="http", port=8000, network="published")


class Bench:
    """A core, its fake engine and a worker that can be exchanged for the next one."""

    def __init__(self, core: Core, runtime: FakeRuntime, actor: Actor) -> None:
        self.core, self.runtime, self.actor = core, runtime, actor
        self.worker = self._elected()

    def _elected(self) -> Worker:
        worker = Worker(self.core)
        assert worker.elect(wait=True)
        worker.start()
        return worker

    def next_worker(self) -> None:
        """End the worker and start another, as after a restart of mcpweb."""
        self.worker.stop()
        self.worker = self._elected()

    def server(self, name: str = "demo", config: ConfigData | None = None) -> Server:
        return servers.add(self.core, self.actor, name=name, image="tiny:1", config=config)

    def bind(
        self, server: Server, name: str = "api-key", value: str = CANARY, *, variable: str = "API_KEY", way: Delivery = "stdin",
        scope: Any = "required", condition: dict[str, str] | None = None,
    ) -> Secret:
        """Store a secret and bind it to the server's active configuration."""
        with self.core.db.writing() as conn:
            key = keys.by_name(conn, "main")
            draft = Secret(
                new_id("sec"), name, "", "", key.id, "global", clock.now(), clock.now(), "cli:tester", None, True, "",
                key.key_version, 1,
            )
            sealed = self.core.vault.seal(conn, place_of(draft), Sensitive(value))
            secrets.insert(conn, replace(draft, encrypted_value=sealed.token))
            configuration = configurations.active(conn, server.id)
            bindings.insert(
                conn, Binding(
                    new_id("bnd"), configuration.id, draft.id, scope, "", clock.now(), "cli:tester", variable, way, condition
                ),
            )
        return draft

    def replace_value(self, secret: Secret, value: str) -> None:
        with self.core.db.writing() as conn:
            new = replace(secrets.get(conn, secret.id), value_version=2)
            sealed = self.core.vault.seal(conn, place_of(new), Sensitive(value))
            secrets.replace_value(
                conn, secret.id, encrypted_value=sealed.token, encryption_key_id=sealed.key_id, key_version=sealed.key_version,
                value_version=2,
            )

    def expire(self, secret: Secret) -> None:
        with self.core.db.writing() as conn:
            secrets.set_facts(conn, secret.id, description="", expires_at="2020-01-01 00:00:00.000")

    def deactivate(self, secret: Secret) -> None:
        with self.core.db.writing() as conn:
            secrets.set_active(conn, secret.id, False)

    def ask(self, server: Server, kind: str) -> Job:
        return jobs.wait(self.core, servers.request(self.core, self.actor, server.id, kind).id, 30)

    def digest(self, server: Server, variable: str = "API_KEY") -> dict[str, str]:
        """Ask the server itself what it was given."""
        job = jobs.wait(self.core, servers.call(self.core, self.actor, server.id, "digest", {"variable": variable}).id, 30)
        assert job.state == "succeeded", job.error
        told: dict[str, str] = json.loads(job.result["result"]["content"][0]["text"])
        return told

    def seen(self, server: Server) -> Server:
        with self.core.db.reading() as conn:
            return server_rows.get(conn, server.id)

    def lock(self) -> Callable[[], None]:
        """Take the key ring away; returns what brings it back."""
        ring = self.core.settings.key_file
        away = ring.with_name("away.json")
        ring.rename(away)
        for source in self.core.vault.sources.values():
            source.refresh()
        self.core.vault._cache.clear()

        def unlock() -> None:
            away.rename(ring)
            for source in self.core.vault.sources.values():
                source.refresh()

        return unlock

    def told_at_last(self, server: Server, sentence: str) -> None:
        """A sweep writes down that the server runs and differs so; the worker's own, begun before, may still write what it knew."""

        def told() -> bool:
            self.worker._watch.sweep()
            seen = self.seen(server)
            return (seen.status, seen.status_detail) == ("running", sentence)

        eventually(told)


@pytest.fixture
def bench(core: Core, runtime: FakeRuntime, actor: Actor) -> Iterator[Bench]:
    made = Bench(core, runtime, actor)
    yield made
    made.worker.stop()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(("way", "place"), [("stdin", "environment"), ("file", "file"), ("environment", "environment")])
def test_a_started_server_has_its_secret_by_the_way_it_is_bound(bench: Bench, way: Delivery, place: str) -> None:
    server = bench.server()
    bench.bind(server, way=way)
    assert bench.ask(server, "start").state == "succeeded"
    assert bench.digest(server) == {"from": place, "sha256": sha256(CANARY)}
    page = servers.logs(bench.core, bench.actor, server.id)
    told = " ".join(line.text for line in page.lines)
    assert "API_KEY was given" in told and CANARY not in told
    assert ("last resort" in told) is (way == "environment")


def test_a_call_of_a_stopped_server_gives_its_throw_away_container_the_secret(bench: Bench) -> None:
    server = bench.server()
    bench.bind(server)
    assert bench.digest(server)["sha256"] == sha256(CANARY)
    assert bench.runtime.containers(bench.core.instance.id) == []


def test_two_servers_have_each_their_own_and_nobody_anothers(bench: Bench) -> None:
    one, other, none = bench.server("one"), bench.server("other"), bench.server("none")
    bench.bind(one, "one-key", "the secret of one")
    bench.bind(other, "other-key", "the secret of the other")
    for server in (one, other, none):
        assert bench.ask(server, "start").state == "succeeded"
    assert bench.digest(one)["sha256"] == sha256("the secret of one")
    assert bench.digest(other)["sha256"] == sha256("the secret of the other")
    given = {c.intent.server: [s.variable for s in c.intent.secrets] for c in bench.runtime._containers.values()}
    assert given == {"one": ["API_KEY"], "other": ["API_KEY"], "none": []}


@pytest.mark.parametrize("how", ["deactivate", "expire"])
def test_a_start_without_a_required_secret_is_refused_by_name_and_others_start(bench: Bench, how: str) -> None:
    server, other = bench.server("needs"), bench.server("other")
    secret = bench.bind(server)
    getattr(bench, how)(secret)
    job = bench.ask(server, "start")
    assert job.state == "failed" and job.error is not None
    assert job.error["code"] == "secret_missing" and "api-key" in job.error["detail"]
    assert bench.seen(server).status == "error" and "api-key" in (bench.seen(server).status_detail or "")
    assert bench.ask(other, "start").state == "succeeded"
    asked, run_job = test_runs.request(bench.core, bench.actor, server.id, types=["connection"])
    ended = jobs.wait(bench.core, run_job.id, 30)
    assert ended.state == "failed" and ended.error is not None and ended.error["code"] == "secret_missing"
    run = test_runs.get(bench.core, bench.actor, asked.id)
    assert run.state == "failed" and run.error is not None and "api-key" in run.error["detail"]
    with bench.core.db.reading() as conn:
        failed = audit.listing(conn, audit.Wanted(action="job.failed", target=server.id))
    assert [(row.actor, row.detail) for row in failed] == [
        (bench.actor.name, {"kind": kind, "code": "secret_missing", "job": job_id})
        for kind, job_id in (("test_run", run_job.id), ("start", job.id))
    ]


def test_an_optional_secret_that_is_gone_is_left_out_and_a_conditional_one_waits_for_its_condition(bench: Bench) -> None:
    server = bench.server(config=ConfigData(environment={"MODE": "live"}))
    bench.deactivate(bench.bind(server, "extra", scope="optional", variable="EXTRA"))
    bench.bind(server, "live", "for live", scope="conditional", condition={"MODE": "live"}, variable="LIVE")
    bench.bind(server, "dry", "for dry runs", scope="conditional", condition={"MODE": "dry"}, variable="DRY")
    assert bench.ask(server, "start").state == "succeeded"
    assert bench.digest(server, "EXTRA")["from"] == bench.digest(server, "DRY")["from"] == "nowhere"
    assert bench.digest(server, "LIVE")["sha256"] == sha256("for live")


def test_with_a_locked_vault_only_servers_without_secrets_start_and_the_others_follow_when_it_opens(bench: Bench) -> None:
    server, other = bench.server("needs"), bench.server("other")
    bench.bind(server)
    unlock = bench.lock()
    job = bench.ask(server, "start")
    assert job.state == "failed" and job.error is not None and job.error["code"] == "KEY_MISSING"
    assert bench.ask(other, "start").state == "succeeded"
    unlock()
    bench.worker._watch.sweep()
    eventually(lambda: bench.seen(server).status == "running")
    assert bench.digest(server)["sha256"] == sha256(CANARY)


def test_a_test_runs_container_has_the_secret_and_its_child_has_not(bench: Bench) -> None:
    given: list[ContainerIntent] = []

    def noted(intent: ContainerIntent) -> Behaviour:
        given.append(intent)
        return tiny_server()

    bench.runtime.add_image("tiny:1", noted)
    server = bench.server()
    bench.bind(server, way="environment")
    asked, job = test_runs.request(bench.core, bench.actor, server.id, types=["connection"])
    assert jobs.wait(bench.core, job.id, 60).state == "succeeded"
    assert len(given) == 3 and all(intent.role == "test" for intent in given)
    values = [[one.value.reveal() for one in intent.secrets] for intent in given]
    assert values[0] == [CANARY], "who is only looked at is given what a start gives"
    assert all(others and CANARY not in others for others in values[1:]), "who is called, or left alone, has made-up values"
    results = test_runs.results(bench.core, bench.actor, asked.id)
    assert CANARY not in json.dumps([[result.output_data, result.input_data, result.error_message] for result in results])


def test_after_the_engine_was_away_a_server_is_started_again_with_its_secret(bench: Bench) -> None:
    server = bench.server()
    bench.bind(server)
    bench.ask(server, "start")
    bench.runtime.away = True
    for container in list(bench.runtime._containers.values()):
        container.end(255)
    eventually(lambda: not bench.worker.fleet.members() and bench.seen(server).status == "unknown")
    bench.runtime.away = False
    bench.worker._watch.sweep()
    eventually(lambda: bench.seen(server).status == "running")
    assert bench.digest(server)["sha256"] == sha256(CANARY)


@pytest.mark.parametrize("config", [None, HTTP])
def test_after_a_restart_of_the_worker_a_server_has_its_secret_still_or_again(bench: Bench, config: ConfigData | None) -> None:
    server = bench.server(config=config)
    bench.bind(server)
    bench.ask(server, "start")
    container = bench.seen(server).container_id
    bench.next_worker()
    eventually(lambda: bench.worker.fleet.member(server.id))
    eventually(lambda: (bench.seen(server).container_id == container) is (config is HTTP))
    assert bench.digest(server)["sha256"] == sha256(CANARY)
    assert bench.seen(server).status_detail in ("", None)


def test_a_changed_secret_is_a_restart_to_make_and_the_server_runs_on(bench: Bench) -> None:
    server = bench.server(config=HTTP)
    secret = bench.bind(server)
    bench.ask(server, "start")
    container = bench.seen(server).container_id
    bench.replace_value(secret, "the new value")
    bench.told_at_last(server, OTHER_SECRETS)
    assert bench.seen(server).container_id == container and bench.digest(server)["sha256"] == sha256(CANARY)
    assert bench.ask(server, "restart").state == "succeeded"
    assert bench.seen(server).status_detail in ("", None)
    assert bench.digest(server)["sha256"] == sha256("the new value")


def test_a_new_worker_takes_over_no_server_whose_secret_it_cannot_know_and_starts_it_anew(bench: Bench) -> None:
    server = bench.server(config=HTTP)
    secret = bench.bind(server)
    bench.ask(server, "start")
    container = bench.seen(server).container_id
    bench.worker.stop()
    bench.replace_value(secret, "the new value")
    bench.worker = bench._elected()
    eventually(lambda: bench.worker.fleet.member(server.id))
    eventually(lambda: bench.seen(server).container_id != container)
    assert bench.digest(server)["sha256"] == sha256("the new value")
    assert bench.seen(server).status_detail in ("", None)
    with pytest.raises(NotFound):
        bench.runtime.inspect(str(container))


def test_a_server_that_is_taken_over_with_an_expired_secret_still_says_it_to_nobody(bench: Bench) -> None:
    server = bench.server(config=HTTP)
    secret = bench.bind(server)
    bench.ask(server, "start")
    bench.expire(secret)
    bench.next_worker()
    member = eventually(lambda: bench.worker.fleet.member(server.id))
    assert member.redactor.text(f"it is {CANARY}") == "it is [redacted]"


def test_another_way_or_an_expired_secret_is_a_restart_to_make_too_and_another_configuration_is_named_as_such(
    bench: Bench,
) -> None:
    server = bench.server(config=HTTP)
    secret = bench.bind(server)
    bench.ask(server, "start")
    bench.expire(secret)
    bench.next_worker()
    eventually(lambda: bench.worker.fleet.member(server.id))
    bench.told_at_last(server, OTHER_SECRETS)
    with bench.core.db.writing() as conn:
        active = configurations.active(conn, server.id)
        changed = {**active.config_data, "environment": {"A": "1"}}
        configurations.update(conn, active.id, expect=None, config_data=changed, updated_by="cli:tester")
    bench.told_at_last(server, OTHER_CONFIGURATION)


def test_a_running_http_server_is_neither_ended_nor_listened_to_while_the_vault_is_locked(bench: Bench) -> None:
    server = bench.server(config=HTTP)
    bench.bind(server)
    bench.ask(server, "start")
    container = bench.seen(server).container_id
    bench.worker.stop()
    unlock = bench.lock()
    bench.worker = bench._elected()
    eventually(lambda: bench.seen(server).status == "error")
    assert "vault is locked" in (bench.seen(server).status_detail or "")
    assert bench.runtime.inspect(str(container)).running and bench.worker.fleet.member(server.id) is None
    unlock()
    bench.worker._watch.sweep()
    eventually(lambda: bench.worker.fleet.member(server.id))
    assert bench.seen(server).status == "running" and bench.seen(server).container_id == container
    assert bench.digest(server)["sha256"] == sha256(CANARY)


def test_what_a_server_says_of_its_secret_is_redacted_in_results_tools_errors_and_logs(bench: Bench) -> None:
    def spills(intent: ContainerIntent) -> Behaviour:
        tool = {"name": "spill", "description": f"Knows {CANARY}.", "inputSchema": {"type": "object"}}
        serve = tiny_server(tools=[tool])

        def behave(line: bytes) -> list[bytes]:
            message = json.loads(line)
            if message.get("method") != "tools/call":
                return list(serve(line))
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
            if message["params"]["arguments"].get("fail"):
                answer["error"] = {"code": -32000, "message": f"cannot use {CANARY}"}
            else:
                answer["result"] = {"content": [{"type": "text", "text": CANARY.encode().hex()}], CANARY: 1}
            return [json.dumps(answer).encode()]

        return behave

    bench.runtime.add_image("tiny:1", spills, greeting=f"hello {CANARY}\nhello again {CANARY[:9]}".encode())
    server = bench.server()
    bench.bind(server)
    for _ in range(2):  # a throw-away container first, then a running one
        done = jobs.wait(bench.core, servers.call(bench.core, bench.actor, server.id, "spill", {}).id, 30)
        failed = jobs.wait(bench.core, servers.call(bench.core, bench.actor, server.id, "spill", {"fail": True}).id, 30)
        assert done.state == "succeeded" and "[redacted]" in json.dumps(done.result)
        assert failed.error is not None and "cannot use [redacted]" in failed.error["detail"]
        said = json.dumps([done.result, failed.error])
        assert CANARY not in said and CANARY.encode().hex() not in said
        bench.ask(server, "start")
    with bench.core.db.reading() as conn:
        (told,) = tools.listing(conn, server.id)
    assert told.definition["description"] == "Knows [redacted]."
    log = eventually(lambda: [line.text for line in servers.logs(bench.core, bench.actor, server.id).lines])
    assert "hello [redacted]" in log and CANARY not in " ".join(log)
