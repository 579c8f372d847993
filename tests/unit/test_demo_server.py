"""The demo server and the fixture server's good modes as the official client sees them, and as nobody should treat them."""
from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import jsonschema_rs
import pytest
from mcp import Client, MCPError, StdioServerParameters

from mcpweb import demo
from mcpweb.testing.served import free_port

FIXTURE = Path(__file__).parents[1] / "docker" / "images" / "fixture.py"
PROGRAMS = {"demo": demo.SERVER_FILE, "fixture": FIXTURE}
MODERN = "2026-07-28"
ERAS = {"auto": MODERN, "legacy": "2025-11-25", MODERN: MODERN}
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}

Use = Callable[[Client], Awaitable[Any]]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOTES_FOLDER", str(tmp_path / "notes"))
    return tmp_path / "notes"


@contextlib.contextmanager
def over_http(program: Path, *arguments: str) -> Iterator[str]:
    """Serve on a free port and return the URL."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(program), *arguments, "--http", str(port)], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if post(f"http://127.0.0.1:{port}/mcp", b"{", {})[0] == 400:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(5)


def post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
    """POST and return status, headers and the decoded answer."""
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=10)
    accept = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    try:
        connection.request("POST", "/mcp", body, {**accept, **headers})
        response = connection.getresponse()
        data = response.read()
        return response.status, dict(response.getheaders()), json.loads(data) if data else None
    finally:
        connection.close()


def visit(target: str | StdioServerParameters, mode: str, use: Use) -> Any:
    """Open a session of the official client, use it and return what came of it."""

    async def main() -> Any:
        with anyio.fail_after(20):
            async with Client(target, mode=mode) as client:
                return await use(client)

    with ThreadPoolExecutor(1) as own:  # not here: the browser of an earlier test may keep a loop in this thread
        return own.submit(anyio.run, main).result()


def stdio(program: Path, *arguments: str) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=[str(program), *arguments], env=dict(os.environ))


@contextlib.contextmanager
def target(transport: str, program: Path, *arguments: str) -> Iterator[str | StdioServerParameters]:
    if transport == "stdio":
        yield stdio(program, *arguments)
    else:
        with over_http(program, *arguments) as url:
            yield url


def exchange(program: Path, *messages: Any, mode: tuple[str, ...] = ()) -> tuple[list[Any], int]:
    """Send lines over stdio, end the input and return all replies and the exit code."""
    lines = [message if isinstance(message, bytes) else json.dumps(message).encode() for message in messages]
    done = subprocess.run(
        [sys.executable, str(program), *mode], input=b"\n".join(lines) + b"\n", capture_output=True, timeout=20, check=False
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


def request(at: Any, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": at, "method": method, "params": {"_meta": META, **params}}


INITIALIZE = {
    "jsonrpc": "2.0", "id": "hello", "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_everything_announced_is_served_in_both_eras_over_both_transports(
    name: str, mode: str, transport: str, notes: Path
) -> None:
    async def use(client: Client) -> Any:
        tools = (await client.list_tools()).tools
        resources = (await client.list_resources()).resources
        prompts = (await client.list_prompts()).prompts
        text = (await client.read_resource(str(resources[0].uri))).contents[0].text  # type: ignore[union-attr]
        prompt = await client.get_prompt(prompts[0].name, {a.name: "ada" for a in prompts[0].arguments or ()})
        echoed = await client.call_tool("echo", {"text": "grüße 🌍"})
        return client.protocol_version, {tool.name for tool in tools}, text, prompt.messages[0].content.text, echoed

    with target(transport, PROGRAMS[name]) as where:
        version, tools, text, prompt, echoed = visit(where, mode, use)
    assert version == ERAS[mode] and "echo" in tools and text and "ada" in prompt
    assert echoed.content[0].text == "grüße 🌍" and not echoed.is_error


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_fixture_of_the_handshake_era_only_is_found_to_be_one(transport: str) -> None:
    async def use(client: Client) -> Any:
        return client.protocol_version, (await client.call_tool("add", {"a": 1, "b": 2})).structured_content

    with target(transport, FIXTURE, "legacy") as where:
        assert visit(where, "auto", use) == ("2025-11-25", {"sum": 3})


def test_a_fixture_of_the_modern_era_only_refuses_the_handshake(notes: Path) -> None:
    (reply,), _ = exchange(FIXTURE, INITIALIZE, mode=("modern",))
    assert reply["error"]["code"] == -32022 and reply["error"]["data"]["supported"] == [MODERN]


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_waiting_reports_progress_that_only_grows(transport: str, notes: Path) -> None:
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async def use(client: Client) -> Any:
        return await client.call_tool("wait", {"seconds": 0.6}, progress_callback=note)

    with target(transport, demo.SERVER_FILE) as where:
        assert not visit(where, "auto", use).is_error
    assert len(seen) >= 2 and seen == sorted(seen) and seen[-1] <= 0.6


@pytest.mark.parametrize(("name", "call"), [("demo", {"name": "wait", "arguments": {"seconds": 5}}),
                                            ("fixture", {"name": "sleep", "arguments": {"ms": 5000}})])
def test_a_cancelled_call_gets_no_reply_and_the_session_goes_on(name: str, call: dict[str, Any], notes: Path) -> None:
    process = subprocess.Popen([sys.executable, str(PROGRAMS[name])], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    assert process.stdin is not None and process.stdout is not None
    started = time.monotonic()
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    wrong = {**cancel, "params": {"requestId": [1]}}
    for message in (request(1, "tools/call", **call), wrong, {**cancel, "params": 5}, cancel):
        process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()
    time.sleep(0.5)
    process.stdin.write(json.dumps(request(2, "tools/list")).encode() + b"\n")
    process.stdin.close()
    replies = [json.loads(line) for line in process.stdout]
    assert [reply["id"] for reply in replies] == [2] and process.wait(5) == 0
    assert time.monotonic() - started < 4
    process.stdout.close()


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_schema_is_valid_and_every_structured_result_fits_its_own(name: str, notes: Path) -> None:
    good = {
        "demo": {"count_words": {"text": "two words"}, "calculate": {"operation": "divide", "a": 1, "b": 4},
                 "roll_dice": {"dice": 3, "seed": 7}},
        "fixture": {"add": {"a": 1, "b": 2}},
    }[name]
    (listed,), _ = exchange(PROGRAMS[name], request(1, "tools/list"))
    tools = {tool["name"]: tool for tool in listed["result"]["tools"]}
    for tool in tools.values():
        jsonschema_rs.meta.validate(tool["inputSchema"])
    calls = [request(tool_name, "tools/call", name=tool_name, arguments=arguments) for tool_name, arguments in good.items()]
    for reply in answers(PROGRAMS[name], calls):
        tool_name, result = reply["id"], reply["result"]
        assert jsonschema_rs.is_valid(tools[tool_name]["inputSchema"], good[tool_name])
        jsonschema_rs.validate(tools[tool_name]["outputSchema"], result["structuredContent"])
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    assert {tool for tool in tools if "outputSchema" in tools[tool]} == set(good)


def answered(program: Path, messages: list[dict[str, Any]]) -> Any:
    """Return the reply to the last message."""
    return answers(program, messages)[-1]


def answers(program: Path, messages: list[dict[str, Any]]) -> list[Any]:
    """Return the replies to requests sent one after the other."""
    process = subprocess.Popen([sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    assert process.stdin is not None and process.stdout is not None
    replies = []
    with process:
        for message in messages:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            replies.append(json.loads(process.stdout.readline()))
    return replies


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_server_should_refuse_is_refused_by_the_right_code(name: str, notes: Path) -> None:
    unknown = {**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    cases: dict[str, tuple[dict[str, Any], int]] = {
        "version": ({"jsonrpc": "2.0", "id": "version", "method": "tools/list", "params": {"_meta": unknown}}, -32022),
        "meta": ({"jsonrpc": "2.0", "id": "meta", "method": "tools/list", "params": {}}, -32602),
        "params": ({"jsonrpc": "2.0", "id": "params", "method": "tools/list", "params": 5}, -32602),
        "method": (request("method", "no/such"), -32601),
        "ping": (request("ping", "ping"), -32601),
        "tool": (request("tool", "tools/call", name="nobody", arguments={}), -32602),
        "cursor": (request("cursor", "tools/list", cursor="x"), -32602),
        "resource": (request("resource", "resources/read", uri="x://y"), -32602),
        "prompt": (request("prompt", "prompts/get", name="nobody"), -32602),
    }
    replies = answers(PROGRAMS[name], [message for message, _ in cases.values()])
    assert {reply["id"]: reply["error"]["code"] for reply in replies} == {case: code for case, (_, code) in cases.items()}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "x://y"}}
    assert answered(PROGRAMS[name], [INITIALIZE, asked])["error"]["code"] == -32002


@pytest.mark.parametrize("name", PROGRAMS)
def test_nonsense_is_answered_and_the_next_request_too(name: str, notes: Path) -> None:
    deep = b"[" * 100_000
    nonsense = [b"{half", b"[]", b"null", b"7", deep, b"\xff\xfe", b'{"jsonrpc":"1.0","id":1,"method":"x"}']
    replies, code = exchange(PROGRAMS[name], *nonsense, request("last", "tools/list"))
    assert [reply["error"]["code"] for reply in replies[:-1]] == [-32700, -32600, -32600, -32600, -32700, -32700, -32600]
    assert replies[-1]["id"] == "last" and replies[-1]["result"]["tools"] and code == 0


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("offered", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2099-01-01"])
def test_the_handshake_agrees_to_what_it_knows_and_counters_the_rest(name: str, offered: str, notes: Path) -> None:
    message = {**INITIALIZE, "params": {**INITIALIZE["params"], "protocolVersion": offered}}  # type: ignore[dict-item]
    agreed = answered(PROGRAMS[name], [message])["result"]["protocolVersion"]
    assert agreed == (offered if offered in ("2024-11-05", "2025-03-26", "2025-06-18") else "2025-11-25")


def test_wrong_arguments_are_the_tools_own_error(notes: Path) -> None:
    wrong: list[tuple[str, Any]] = [
        ("calculate", {"operation": "divide", "a": 1, "b": 0}), ("calculate", {"operation": "power", "a": 1, "b": 1}),
        ("calculate", {"operation": "add", "a": "1", "b": 1}), ("calculate", {"operation": "add", "a": True, "b": 1}),
        ("calculate", {"operation": "add", "a": 1e10, "b": 1}), ("calculate", {"operation": "add", "a": float("nan"), "b": 1}),
        ("roll_dice", {"dice": 0}), ("roll_dice", {"dice": 1.5}), ("echo", {}), ("echo", {"text": "x", "more": 1}),
        ("read_note", {"path": "nowhere.txt"}), ("read_note", {"path": "\0"}), ("echo", None), ("echo", []),
    ]
    calls = [request(at, "tools/call", name=tool, arguments=given) for at, (tool, given) in enumerate(wrong)]
    for (tool, given), reply in zip(wrong, answers(demo.SERVER_FILE, calls), strict=True):
        assert reply["result"]["isError"] and reply["result"]["content"][0]["text"].startswith(f"{tool}: "), given


def test_equal_seeds_roll_equal_dice(notes: Path) -> None:
    calls = [request(1, "tools/call", name="roll_dice", arguments={"dice": 20, "seed": seed}) for seed in (1, 1, 2)]
    first, again, other = (reply["result"]["structuredContent"] for reply in answers(demo.SERVER_FILE, calls))
    assert first == again != other


def test_the_demo_is_weak_where_it_says_and_a_note_can_be_read_too(notes: Path) -> None:
    (notes.parent / "secret").write_text("canary")
    calls = [request(1, "tools/call", name="list_notes", arguments={})]
    calls += [request(1, "tools/call", name="read_note", arguments={"path": path}) for path in ("welcome.txt", "../secret")]
    listed, note, stolen = (reply["result"]["content"][0]["text"] for reply in answers(demo.SERVER_FILE, calls))
    assert "welcome.txt" in listed and "Welcome" in note and stolen == "canary"


@pytest.fixture(scope="module", params=PROGRAMS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTES_FOLDER", str(tmp_path_factory.mktemp("notes")))
        with over_http(PROGRAMS[request.param]) as url:
            yield url


HEADERS = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "server/discover"}
DISCOVER = json.dumps(request("http", "server/discover")).encode()


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://[", "http://127.0.0.1.attacker.example"])
def test_a_page_from_elsewhere_is_refused(url: str, origin: str) -> None:
    status, _, _ = post(url, DISCOVER, {**HEADERS, "Origin": origin})
    assert status == 403


def test_a_page_behind_a_rebound_name_is_refused(url: str) -> None:
    host = f"attacker.example:{url.split(':')[2].split('/')[0]}"
    assert post(url, DISCOVER, {**HEADERS, "Origin": f"http://{host}", "Host": host})[0] == 403


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]"])
def test_a_page_of_this_machine_is_answered_without_a_session_id(url: str, origin: str | None) -> None:
    status, headers, reply = post(url, DISCOVER, HEADERS if origin is None else {**HEADERS, "Origin": origin})
    assert status == 200 and reply["result"]["supportedVersions"] == [MODERN]
    assert not [name for name in headers if name.lower() == "mcp-session-id"]


@pytest.mark.parametrize(
    "changed", [{"Mcp-Method": "tools/call"}, {"MCP-Protocol-Version": "2099-01-01"}, {"Mcp-Method": ""}]
)
def test_headers_that_disagree_with_the_body_are_refused(url: str, changed: dict[str, str]) -> None:
    status, _, reply = post(url, DISCOVER, {**HEADERS, **changed})
    assert status == 400 and reply["error"]["code"] == -32020


@pytest.mark.parametrize(("mode", "headers", "caught"), [
    ("open", {"Origin": "https://attacker.example"}, lambda status, headers, reply: status == 200),
    ("rebound", {"Origin": "http://x.example", "Host": "x.example"}, lambda status, headers, reply: status == 200),
    ("mismatch", {"Mcp-Method": "tools/call"}, lambda status, headers, reply: status == 200),
    ("sessions", {}, lambda status, headers, reply: "Mcp-Session-Id" in headers),
])
def test_each_bad_http_twin_does_what_the_good_one_refuses(mode: str, headers: dict[str, str], caught: Any) -> None:
    with over_http(FIXTURE, mode) as bad:
        assert caught(*post(bad, DISCOVER, {**HEADERS, **headers}))


def test_an_unknown_tool_is_a_protocol_error_for_the_official_client(notes: Path) -> None:
    async def use(client: Client) -> Any:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("nobody", {})
        return raised.value.error.code

    assert visit(stdio(demo.SERVER_FILE), "auto", use) == -32602


def test_every_mode_the_fixture_promises_is_in_its_code() -> None:
    _, promised, code = FIXTURE.read_text().split('"""', 2)
    modes = [line.split()[0] for line in promised.split("one fault:")[1].split("MOMENT")[0].splitlines() if line.strip()]
    assert len(modes) > 25 and [mode for mode in modes if f'"{mode}"' not in code] == []
