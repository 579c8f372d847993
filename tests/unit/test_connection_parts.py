"""Parts of the connection test that need no server: what answers mean, what is announced and what is served."""
from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from mcpweb.core import load_plugins
from mcpweb.errors import RpcError
from mcpweb.settings import load


@pytest.fixture(scope="module")
def parts() -> Any:
    load_plugins(load({"MCPWEB_DATA_DIR": "/nowhere"}))
    return lambda name: importlib.import_module(f"mcpweb_plugins.testtype_connection.{name}")


def refused(code: int, **data: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": "no", "data": data}}


@pytest.mark.parametrize(("reply", "said"), [
    (refused(-32022, supported=["2026-07-28"]), ""),
    (None, "no answer"),
    ({"result": {}}, "success"),
    (refused(-32602), "-32602"),
    (refused(-32022), "names no version"),
    (refused(-32022, supported=["2099-01-01", "2026-07-28"]), "refuses is supported"),
    (refused(-32022, supported=["2025-11-25"]), "leaves out"),
])
def test_a_version_is_refused_with_those_that_are_spoken(parts: Any, reply: Any, said: str) -> None:
    found = parts("protocol")._not_refused("tools/list", reply, "2026-07-28")
    assert (said in found) if said else found == ""


@pytest.mark.parametrize(("line", "odd"), [
    (b'{"jsonrpc": "2.0", "id": true, "error": {"code": -32600, "message": "x"}}', True),
    (b'[{"jsonrpc": "2.0", "id": 1, "result": {}}]', True),
    (b'{"level": "info", "message": "ready"}', False), (b"loan created", False), (b"[]", False), (b"5", False),
])
def test_answers_to_odd_messages_are_no_stray_lines_and_logs_are(parts: Any, line: bytes, odd: bool) -> None:
    assert parts("run").answers_what_is_odd(line) is odd


class Server:
    """A session that answers by method, as far as the parts look at one."""

    def __init__(self, capabilities: dict[str, Any], served: dict[str, Any], era: str = "handshake") -> None:
        self.capabilities, self.served, self.era = capabilities, served, era
        self.protocol = "2025-11-25" if era == "handshake" else "2026-07-28"
        self.server_info = {"name": "lib", "version": "1"}
        self.heard: list[Any] = []

    def request(self, method: str, params: Any, deadline_s: float = 3.0) -> Any:
        if method not in self.served:
            raise RpcError({"code": -32601, "message": "unknown"})
        return self.served[method]

    def frames(self) -> list[Any]:
        return [SimpleNamespace(direction="received", message=one) for one in self.heard]


PROMPT = {"name": "greet", "arguments": [{"name": "who"}]}


@pytest.mark.parametrize(("capabilities", "served", "said"), [
    ({}, {}, ""),
    ({"logging": {}}, {"logging/setLevel": {}}, ""),
    ({"logging": {}}, {}, "logging is announced"),
    ({}, {"logging/setLevel": {}}, "logging is not announced"),
    ({"completions": {}}, {}, "completions is announced"),
    ({}, {"completion/complete": {"completion": {"values": []}}}, "completions is not announced"),
    ({"resources": {"subscribe": True}}, {}, "resources.subscribe is announced"),
    ({"resources": {}}, {"resources/subscribe": {}}, "resources.subscribe is not announced"),
])
def test_methods_are_served_as_they_are_announced(parts: Any, capabilities: Any, served: Any, said: str) -> None:
    made = parts("use").Used(Server(capabilities, served), before={"prompts": [PROMPT], "resources": [{"uri": "a:b"}]})
    found = "; ".join(parts("served")._methods(made, {}))
    assert (said in found) if said else found == ""


def test_a_list_that_changes_is_told_where_that_is_announced(parts: Any) -> None:
    server = Server({"tools": {"listChanged": True}}, {})
    made = parts("use").Used(server, before={"tools": [1]}, after={"tools": [1, 2]})
    assert "without a word" in "; ".join(parts("served")._changes(made))
    server.heard.append({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    assert list(parts("served")._changes(made)) == []
    server.capabilities["tools"] = {}
    assert "not announced" in "; ".join(parts("served")._changes(made))


def test_what_a_server_tells_of_makes_other_tools_work(parts: Any) -> None:
    known: dict[str, list[Any]] = {}
    parts("use")._learn(known, "loans", '{"content": [{"type": "text", "text": "Loan LN-0004 of BK-101\\nby mem_7, on 2024"}]}')
    assert known["loan_id"] == known["id"] == ["LN-0004", "BK-101", "mem_7"]


def still(running: bool, memory: int = 0, **more: Any) -> Any:
    state = SimpleNamespace(running=running, status="running" if running else "exited", exit_code=0 if running else 3, oom_killed=False)
    return SimpleNamespace(inspect=lambda: state, stderr=lambda: "", given_up="", resident=lambda: memory, **more)


def test_a_server_that_ends_while_nothing_is_asked_of_it_is_told_and_one_that_is_killed_weighs_as_its_killer(parts: Any) -> None:
    run, used = parts("run"), SimpleNamespace(session=still(True))
    assert run.kept_running(still(True), used, still(True), None).verdict == "pass"
    idle = run.kept_running(still(True), used, still(False), None)
    assert idle.verdict == "fail" and "while nothing was asked of it: exit code 3" in idle.summary and idle.severity is None
    harm = SimpleNamespace(verdict="fail", severity="medium")
    assert run.kept_running(still(False), used, still(True), harm).severity == "medium"


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([120, 140, 160], "grew from 20 to 160 MiB"),
        ([120, 134, 147], "grew from 20 to 147 MiB"),  # half as fast, as where what it keeps is made more slowly
        ([120, 120, 120], None),  # what it loads once is loaded
        ([120, 160, 161], None),  # its helpers have all been started
        ([120, 0, 0], None),  # it has ended, which is another finding
        ([67, 90, 110], None),
        ([20, 20, 20], None),
    ],
)
def test_a_server_that_goes_on_growing_while_it_is_idle_is_told(
    parts: Any, monkeypatch: pytest.MonkeyPatch, looks: list[int], said: str | None
) -> None:
    run, coming = parts("run"), iter(looks)
    monkeypatch.setattr(run.time, "sleep", lambda seconds: None)
    found = run.growing(SimpleNamespace(resident=lambda: next(coming) << 20), 20 << 20, 8.0)
    assert found is None if said is None else found.verdict == "fail" and said in found.summary


def test_what_a_server_had_at_first_is_needed_to_see_it_grow(parts: Any) -> None:
    growing = parts("run").growing
    assert growing(None, 0, 8.0) is None and growing(still(True, 90 << 20), 0, 8.0) is None
