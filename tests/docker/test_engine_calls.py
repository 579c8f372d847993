"""The allow-list of the socket proxy is what the adapter asks for: no call is missing from it, and it lets nothing else through."""
from __future__ import annotations

import re
from typing import Any

import pytest

from tests.docker.engine_calls import LIST, Record, as_text, expressions, read_list, record, written_calls

SAMPLES = {
    "{version}": ["v1.41", "v1.54"], "{container}": ["mcpweb-docs-1a2b", "0" * 64], "{network}": ["mcpweb-1a2b"], "{volume}": ["mcpweb-1a2b-data"],
    "{image}": ["alpine", "localhost:5000/a/b:1.2", "registry.example/o/n@sha256:" + "0" * 64, "sha256:" + "0" * 64],
}
REFUSED = [  # each of these is the whole machine, or somebody else's data
    "POST /v1.41/containers/x/exec", "POST /v1.41/exec/x/start", "POST /v1.41/build", "POST /v1.41/swarm/init", "POST /v1.41/plugins/pull",
    "POST /v1.41/containers/x/update", "POST /v1.41/containers/x/rename", "POST /v1.41/containers/prune", "POST /v1.41/volumes/prune",
    "POST /v1.41/commit", "POST /v1.41/images/x/push", "POST /v1.41/session", "POST /v1.41/grpc", "POST /v1.41/auth", "POST /v1.41/containers/x/kill",
    "PUT /v1.41/containers/x/archive", "GET /v1.41/containers/x/archive", "GET /v1.41/containers/x/export", "GET /v1.41/containers/x/logs",
    "GET /v1.41/secrets", "GET /v1.41/configs", "DELETE /v1.41/images/x", "PATCH /v1.41/containers/x", "OPTIONS /version", "GET /metrics",
    "POST /v1.41/images/../containers/x/exec", "GET /v1.41/images/x/../../containers/x/export/json", "GET /v1.41/images/x/json/more",
    "GET //v1.41/containers/json", "GET /v1.41/containers/json/", "GET /x/version", "GET /version/x", "POST /containers/create",
    "DELETE /v1.41/containers/", "DELETE /v1.41/containers/a/b", "GET /v1.41/containers/x/json\n", "POST /v2.0/containers/create", "GET ",
]


def lets_through(call: str, allowed: dict[str, str]) -> bool:
    method, _, path = call.partition(" ")
    return method in allowed and re.fullmatch(allowed[method], path) is not None


def differences(found: set[tuple[str, str]], listed: set[tuple[str, str]]) -> list[str]:
    """Return what is asked for and not on the list, and what is on the list and never asked for."""
    return [f"not on the list: {one}" for one in sorted(found - listed)] + [f"nobody asks for: {one}" for one in sorted(listed - found)]


@pytest.fixture(scope="module")
def recorded(docker_session: Any, python_image: str) -> Record:
    return record(python_image)


def test_the_list_holds_every_call_of_the_adapter_and_no_other(recorded: Record) -> None:
    listed, _ = read_list(LIST.read_text())
    assert not differences(recorded.templates, listed), "python -m tests.docker.engine_calls writes it anew"
    assert as_text(recorded.templates) == LIST.read_text()


def test_nothing_the_adapters_source_asks_for_was_left_out_of_the_record(recorded: Record) -> None:
    used, by_hand = written_calls()
    assert used <= recorded.used and {"start", "stats", "pull", "events"} <= used, used - recorded.used
    for method, path in by_hand:
        wanted = re.compile("/{version}" + re.escape(path).replace(r"\{\}", r"[^/]+"))
        assert any(method == own and wanted.fullmatch(template) for own, template in recorded.templates), (method, path)
    assert ("POST", "/containers/create") in by_hand and ("HEAD", "/containers/{}/archive") in by_hand


def test_a_call_too_many_and_a_call_too_few_are_both_told() -> None:
    listed, _ = read_list(LIST.read_text())
    some = next(iter(listed))
    assert not differences(listed, listed)
    assert differences(listed | {("POST", "/{version}/containers/{container}/exec")}, listed)[0].startswith("not on the list")
    assert differences(listed - {some}, listed)[0].startswith("nobody asks for")


def test_each_listed_call_passes_with_every_kind_of_name() -> None:
    listed, allowed = read_list(LIST.read_text())
    assert allowed == expressions(listed) and len(listed) > 25
    for method, path in listed:
        for at in range(4):
            call = re.sub(r"\{\w+\}", lambda found, at=at: SAMPLES[found[0]][at % len(SAMPLES[found[0]])], path)  # type: ignore[misc]
            assert lets_through(f"{method} {call}", allowed), call


@pytest.mark.parametrize("call", REFUSED)
def test_what_the_adapter_never_asks_for_is_refused(call: str) -> None:
    assert not lets_through(call, read_list(LIST.read_text())[1])


def test_the_expressions_hold_in_any_regexp_language_and_any_file_of_settings() -> None:
    """No dollar (a compose file would read a variable), no look-around, and brackets around all of it, or an anchor would hold one way only."""
    for words in read_list(LIST.read_text())[1].values():
        assert not set("$\\'\"# ") & set(words) and "(?" not in words and words[0] + words[-1] == "()"
