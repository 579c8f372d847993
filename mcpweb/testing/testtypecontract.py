"""What a test type must keep, whatever the server does. Runs on the fake runtime, in a run child of its own."""
from __future__ import annotations

import contextlib
import gc
import json
import os
import secrets as randomness
import threading
import time
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, get_args

import pytest

from mcpweb.contracts import SEVERITIES, Confidence, ConfigData, Json, SecretDelivery, Sensitive, TestType, Verdict
from mcpweb.core import Core
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.testruns import Ended, carry_out
from mcpweb.testing.tinyserver import TOOLS, Behaviour, ServerEnds, tiny_server

BUDGET_S = 5.0
LATE_S = 6.0  # how much longer than its time a run may take until it is over
EVIDENCE_BYTES = 64 * 1024
_OF_THE_HARNESS = ("mcp-loop", "fake server", "Thread-", "ThreadPoolExecutor")


class TestTypeContract(ABC):
    """The promises of a test type. A subclass gives ``test_type``, and the fixtures ``core`` and ``runtime`` of
    ``mcpweb.testing.fixtures`` (``core`` with its plugin loaded, where that is not one of ours)."""

    __test__ = False
    test_type: ClassVar[str]
    config: ClassVar[ConfigData] = ConfigData()
    fields: ClassVar[Mapping[str, Json]] = {}
    """Fields of RunRequest the test type wants: profile, parameters, pins, cases …"""

    def __init_subclass__(cls) -> None:
        cls.__test__ = True

    @pytest.fixture
    def declared(self, core: Core) -> TestType:
        return core.test_types[self.test_type]

    @pytest.fixture
    def run(self, core: Core, runtime: FakeRuntime) -> Iterator[Callable[..., Ended]]:
        """Return ``run(behaviour, **more) -> Ended``; nothing of a run may be left when it is over."""

        def run(
            behaviour: Callable[[], Behaviour] = tiny_server, *, name: str = "subject", image: Mapping[str, Any] | None = None,
            **more: Any,
        ) -> Ended:
            reference = f"{name}-{randomness.token_hex(4)}:1"
            runtime.add_image(reference, lambda intent: behaviour(), **(image or {}))
            values = {"config": self.config, "budget_s": BUDGET_S, **self.fields, **more}
            return carry_out(core, runtime, self.test_type, image=reference, name=name, **values)

        yield run
        assert runtime.containers(core.instance.id) == []

    # What it declares

    def test_its_checks_are_declared_with_an_id_a_title_and_a_severity_of_their_own(self, declared: TestType) -> None:
        ids = [check.id for check in declared.checks]
        assert ids and len(set(ids)) == len(ids)
        for check in declared.checks:
            assert check.id.strip() == check.id and 0 < len(check.id) <= 40 and check.title.strip(), check
            assert check.severity in SEVERITIES, check
        titles = [check.title for check in declared.checks]
        assert len(set(titles)) == len(titles)

    def test_it_has_a_name_a_title_a_description_and_time_in_each_profile(self, declared: TestType) -> None:
        assert declared.name == self.test_type and declared.title.strip() and declared.description.strip()
        for profile in ("quick", "full"):
            assert declared.budget_s.get(profile, 60.0) > 0
        assert declared.budget_s.get("quick", 60.0) <= declared.budget_s.get("full", 60.0)

    # What it says

    @pytest.mark.parametrize("modern", [True, False], ids=["modern", "handshake"])
    def test_every_result_on_a_sound_server_is_a_verdict_of_a_declared_check(
        self, run: Callable[..., Ended], declared: TestType, modern: bool
    ) -> None:
        ended = run(lambda: tiny_server(modern=modern), budget_s=None)
        assert ended.outcome.error is None and ended.results
        assert faults_of(ended, declared) == []
        broke = [one.summary for one in ended.results if one.verdict == "undecided" and "The test type failed" in one.summary]
        assert broke == []

    def test_no_result_holds_a_secret_however_loudly_the_server_tells_it(self, run: Callable[..., Ended]) -> None:
        value = f"canary-{randomness.token_hex(12)}"
        secrets = tuple(SecretDelivery(f"KEY_{way.upper()}", Sensitive(value), way) for way in ("stdin", "file", "environment"))
        ended = run(lambda: _tells(value), secrets=secrets, image={"greeting": f"key={value}\n".encode()})
        told = json.dumps([[str(vars(one))] for one in ended.results])
        assert ended.results and value not in told and value not in json.dumps(ended.outcome.error)

    # How it ends

    def test_it_ends_in_time_by_itself_with_verdicts_on_servers_of_every_bad_kind(
        self, run: Callable[..., Ended], declared: TestType
    ) -> None:
        run(budget_s=1.0)  # what stays between runs (the loop, the forkserver) is there from here on
        before = _left_open()
        with ThreadPoolExecutor(4) as pool:
            ends = dict(pool.map(lambda kind: (kind, self._on(run, kind)), _BAD))
        told = {kind: self._faults(ended, declared) for kind, ended in ends.items()}
        assert {kind: faults for kind, faults in told.items() if faults} == {}
        assert _settled(before) == [], "something of a run goes on"

    def test_a_cancelled_run_is_over_at_once(self, run: Callable[..., Ended]) -> None:
        for after_s in (0.25, 0.1, 0.0):  # before the run is over by itself, which on a busy machine may be soon
            until = time.monotonic() + after_s
            ended = run(_mute, budget_s=60.0, cancelled=lambda until=until: time.monotonic() > until)
            if ended.code is not None:
                break
        assert ended.code == "cancelled" and ended.seconds < 5 and not ended.orphans

    def _on(self, run: Callable[..., Ended], kind: str) -> Ended:
        behaviour, image = _BAD[kind]
        return run(behaviour, name=kind.replace(" ", "-"), image=image)

    def _faults(self, ended: Ended, declared: TestType) -> list[str]:
        found = faults_of(ended, declared)
        if ended.outcome.error is not None:
            found.append(f"it ended with {ended.outcome.error}")
        if ended.seconds > BUDGET_S + LATE_S:
            found.append(f"it took {ended.seconds:.1f} s with {BUDGET_S:g} s of time")
        if not ended.results:
            found.append("it said nothing")
        return found + [f"left behind: {orphan}" for orphan in ended.orphans]


def faults_of(ended: Ended, declared: TestType) -> list[str]:
    """Return what is wrong with the results of a run, as sentences."""
    found: list[str] = []
    known = {check.id for check in declared.checks}
    seen: set[tuple[str, str, str]] = set()
    for one in ended.results:
        place = f"{one.check_id} on {one.tool}"
        if one.check_id not in known:
            found.append(f"{place}: the check is not declared")
        if one.verdict not in get_args(Verdict) or one.confidence not in get_args(Confidence):
            found.append(f"{place}: {one.verdict}, {one.confidence}")
        if one.severity is not None and one.severity not in SEVERITIES:
            found.append(f"{place}: the severity {one.severity}")
        if not one.summary.strip():
            found.append(f"{place}: no sentence for people")
        if one.verdict == "fail" and not one.next_step.strip():
            found.append(f"{place}: a violation without a next step: {one.summary}")
        if one.verdict == "fail" and not one.reproduce.strip() and one.input is None:
            found.append(f"{place}: a violation without a way to see it again: {one.summary}")
        if one.verdict == "fail" and "used up its time" in one.summary:
            found.append(f"{place}: the server is blamed for the end of our time: {one.summary}")
        if (one.check_id, one.tool, one.key) in seen:
            found.append(f"{place}: two results under the key {one.key!r}")
        seen.add((one.check_id, one.tool, one.key))
        for what, told in (("evidence", one.evidence), ("input", one.input)):
            size = len(json.dumps(told, allow_nan=False))
            if size > EVIDENCE_BYTES or (isinstance(told, Mapping) and set(told) == {"cut"}):
                found.append(f"{place}: {what} that had to be cut")
    return found


# Servers of every bad kind


def _mute() -> Behaviour:
    return lambda line: ()


def _mute_later() -> Behaviour:
    sound = tiny_server(modern=False)
    return lambda line: sound(line) if b'"initialize"' in line or b"server/discover" in line else ()


def _exits_later() -> Behaviour:
    sound, seen = tiny_server(), [0]

    def behave(line: bytes) -> Iterable[bytes]:
        seen[0] += 1
        if seen[0] > 3:
            raise ServerEnds(3, stderr=b"enough\n")
        return sound(line)

    return behave


def _floods() -> Behaviour:
    sound = tiny_server()
    noise = [b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"noise"}}'] * 3000

    def behave(line: bytes) -> Iterable[bytes]:
        return [*noise, *sound(line)]

    return behave


def _huge() -> Behaviour:
    sound = tiny_server(modern=False)

    def behave(line: bytes) -> Iterable[bytes]:
        if b"tools/" not in line:
            return sound(line)
        return [b'{"jsonrpc":"2.0","id":1,"result":{"tools":[],"content":[{"type":"text","text":"' + b"x" * (17 << 20) + b'"}]}}']

    return behave


def _babbles() -> Behaviour:
    return lambda line: [b"Welcome!", b'{"jsonrpc":"2.0"', b"[]", b"\xff\xfe", b'{"jsonrpc":"2.0","id":null,"result":{}}']


def _odd() -> Behaviour:
    """Answer everything after the handshake with a result of another kind."""
    sound, turn = tiny_server(modern=False), [0]
    odd: list[Any] = ["text", 7, None, [1], {"tools": [{"name": 5}, None, {}]}, {"content": "no list", "structuredContent": []}]

    def behave(line: bytes) -> Iterable[bytes]:
        if b'"initialize"' in line or b'"id"' not in line:
            return sound(line)
        turn[0] += 1
        with contextlib.suppress(ValueError, AttributeError):
            return [json.dumps({"jsonrpc": "2.0", "id": json.loads(line).get("id"), "result": odd[turn[0] % len(odd)]}).encode()]
        return ()

    return behave


def _tells(value: str) -> Behaviour:
    """Put the secret into everything there is."""
    tools = [{**tool, "description": f"{tool['description']} The key is {value}."} for tool in TOOLS]
    sound = tiny_server(tools=[*tools, {**TOOLS[0], "name": "show", "description": f"Show {value}."}])

    def behave(line: bytes) -> Iterable[bytes]:
        for answer in sound(line):
            message = json.loads(answer)
            if "content" in message.get("result", {}):
                message["result"]["content"].append({"type": "text", "text": f"API_KEY={value}"})
            if "error" in message:
                message["error"]["message"] += f" {value}"
            yield json.dumps(message).encode()

    return behave


_BAD: dict[str, tuple[Callable[[], Behaviour], dict[str, Any]]] = {
    "mute": (_mute, {}),
    "mute after the handshake": (_mute_later, {}),
    "exits at once": (tiny_server, {"exit_code": 3, "greeting": b"bad luck\n"}),
    "exits later": (_exits_later, {}),
    "cannot start": (tiny_server, {"start_failure": "exec /nothing: no such file"}),
    "floods": (_floods, {}),
    "sends a line without end": (_huge, {}),
    "babbles": (_babbles, {}),
    "answers oddly": (_odd, {}),
}


def _left_open() -> tuple[set[threading.Thread], int]:
    gc.collect()
    return set(threading.enumerate()), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _settled(before: tuple[set[threading.Thread], int], timeout_s: float = 5.0) -> list[str]:
    """Return which threads and how many descriptors more than before are there once all had time to end."""
    until = time.monotonic() + timeout_s
    while True:
        threads, descriptors = _left_open()
        more = [thread.name for thread in threads - before[0] if thread.is_alive()]
        left = [name for name in more if not name.startswith(_OF_THE_HARNESS)]
        left += ([f"{descriptors - before[1]} descriptors"] if descriptors > before[1] else [])
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.1)


__all__ = ["TestTypeContract", "faults_of"]
