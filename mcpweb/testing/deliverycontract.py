"""What a runtime promises about secrets; part of ``RuntimeContract``, which gives the fixtures."""
from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mcpweb.contracts import ContainerIntent, ContainerState, Delivery, Launched, Runtime, SecretDelivery, Sensitive
from mcpweb.errors import Cancelled, PolicyRefused, StartFailed
from mcpweb.testing.attached import INITIALIZE, Stream, post

WAYS: tuple[Delivery, ...] = ("stdin", "file", "environment")
VALUES = {
    "PLAIN": "correct horse battery staple",
    "EMPTY": "",
    "SPACES": "  leading, trailing \t ",
    "QUOTES": """it's "quoted" `here` and $HOME $(id) ${IFS} \\n \\0101 \\c %s %b %% !! # ; & | > <""",
    "PEM": "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 8 + "-----END PRIVATE KEY-----\n",
    "NEWLINES": "\n\nfirst\n\n\nlast\n\n\n",
    "ONLY_NEWLINE": "\n",
    "CONTROLS": "".join(map(chr, range(1, 32))) + "\x7f\r\n",
    "BACKSLASHES": "\\" * 9,
    "UNICODE": "Grüße 秘密の値 🔑 \u202e \u0300 \ufeff",
    "EQUALS": "a=b==c=",
    "OPTION": "-n -e --",
    "lower_case_1": "name in small letters",
    "LARGE": "x\\" * 32 * 1024,
}
"""Values of every kind that can be a secret; the largest has the 64 KiB a secret may have."""


class DeliveryContract:
    """Secrets reach a container whole, by the way they are bound, and show nowhere else."""

    @pytest.mark.parametrize("mode", ["stdio", "http"])
    @pytest.mark.parametrize("way", WAYS)
    def test_secrets_of_every_kind_arrive_whole(self, runtime: Runtime, make: Any, way: Delivery, mode: str) -> None:
        intent = make(mode, secrets=deliveries(way))
        launched = runtime.launch(intent)
        ask = asking(launched)
        for variable, value in VALUES.items():
            place = "file" if way == "file" else "environment"
            assert ask(variable) == {"from": place, "sha256": hashlib.sha256(value.encode()).hexdigest()}, variable
        launched.socket.close()

    @pytest.mark.parametrize("way", WAYS)
    def test_a_secret_shows_in_what_the_engine_tells_only_by_the_way_that_says_so(
        self, runtime: Runtime, make: Any, way: Delivery
    ) -> None:
        canary = f"canary-{secrets.token_hex(16)}"
        intent = make(secrets=(SecretDelivery("API_KEY", Sensitive(canary), way),))
        launched = runtime.launch(intent)
        state = runtime.inspect(launched.container_id)
        told = json.dumps([dict(state.raw), dict(state.labels), [repr(s) for s in runtime.containers(intent.instance)]])
        assert (canary in told or base64.b64encode(canary.encode()).decode() in told) is (way == "environment")
        assert canary not in repr(intent) + repr(launched)
        launched.socket.close()

    def test_each_way_can_be_used_beside_the_others_and_a_secret_wins_over_the_configuration(
        self, runtime: Runtime, make: Any
    ) -> None:
        config = replace(make().config, environment={"A": "not this", "B": "nor this", "C": "this neither", "D": "this"})
        ways = dict(zip("ABC", WAYS, strict=True))
        given = tuple(SecretDelivery(name, Sensitive(f"secret {name}"), way) for name, way in ways.items())
        launched = runtime.launch(make(config=config, secrets=given))
        ask = asking(launched)
        for name, place in {"A": "environment", "B": "file", "C": "environment"}.items():
            assert ask(name) == {"from": place, "sha256": hashlib.sha256(f"secret {name}".encode()).hexdigest()}
        assert ask("D")["sha256"] == hashlib.sha256(b"this").hexdigest()
        launched.socket.close()

    def test_another_launch_gets_the_secrets_it_brings_and_not_those_of_the_one_before(
        self, runtime: Runtime, make: Any
    ) -> None:
        for value in ("first", "second"):
            for way in WAYS:
                launched = runtime.launch(make(secrets=(SecretDelivery("API_KEY", Sensitive(value), way),)))
                assert asking(launched)("API_KEY")["sha256"] == hashlib.sha256(value.encode()).hexdigest()
                launched.socket.close()

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize(
        ("refused", "allowed"),
        [
            (("LD_PRELOAD",), ("PRELOAD",)), (("PATH",), ("PATHS",)), (("IFS",), ("I_F_S",)), (("ENV",), ("MY_ENV",)),
            (("1ST",), ("FIRST",)), (("A-B",), ("A_B",)), (("A B",), ("AB",)), (("",), ("_A",)), (("A=B",), ("A",)),
            (("BASH_ENV",), ("BASHFUL_KEY",)), (("NODE_OPTIONS",), ("NODE_TOKEN",)), (("OPTIND",), ("OPT_IN_KEY",)),
            (("PYTHONPATH",), ("PYTHON_KEY",)), (("ld_preload",), ("old_preload",)), (("__mcpweb_x",), ("mcpweb_x",)),
            (("A\n",), ("A",)), (("Ä",), ("AE",)), (("A" * 200,), ("A" * 100,)), (("A", "A"), ("A", "B")),
        ],
    )
    def test_a_variable_that_is_none_or_that_loaders_read_is_refused_and_its_neighbour_is_not(
        self, runtime: Runtime, make: Any, way: Delivery, refused: tuple[str, ...], allowed: tuple[str, ...]
    ) -> None:
        def with_names(names: tuple[str, ...]) -> ContainerIntent:
            intent: ContainerIntent = make(secrets=tuple(SecretDelivery(name, Sensitive("value"), way) for name in names))
            return intent

        runtime.check(with_names(allowed))
        with pytest.raises(PolicyRefused) as caught:
            runtime.check(with_names(refused))
        assert caught.value.next_step and "value" not in caught.value.sentence
        with pytest.raises(PolicyRefused):
            runtime.launch(with_names(refused))

    def test_a_zero_byte_goes_by_file_only(self, runtime: Runtime, make: Any) -> None:
        for way in WAYS:
            intent = make(secrets=(SecretDelivery("KEY", Sensitive("a\0b"), way),))
            if way == "file":
                launched = runtime.launch(intent)
                assert asking(launched)("KEY")["sha256"] == hashlib.sha256(b"a\0b").hexdigest()
                launched.socket.close()
            else:
                with pytest.raises(PolicyRefused, match="zero byte"):
                    runtime.launch(intent)

    @pytest.mark.parametrize("way", WAYS)
    def test_what_ends_with_secrets_ends_as_without(self, runtime: Runtime, make: Any, way: Delivery) -> None:
        given = (SecretDelivery("API_KEY", Sensitive("value"), way),)
        launched = runtime.launch(make("exits", secrets=given))
        Stream(launched.socket).wait_end()
        assert eventually(runtime, launched, lambda state: not state.running).exit_code == 7
        launched.socket.close()
        launched = runtime.launch(make(secrets=given))
        stream = Stream(launched.socket)
        stream.send(INITIALIZE)
        stream.line()
        stream.close_stdin()
        stream.wait_end()
        assert eventually(runtime, launched, lambda state: not state.running).exit_code == 0
        launched.socket.close()

    @pytest.mark.parametrize("way", WAYS)
    def test_nothing_remains_of_a_launch_with_secrets_that_was_cancelled_or_cannot_start(
        self, runtime: Runtime, make: Any, way: Delivery
    ) -> None:
        def progress(fraction: float | None, sentence: str) -> None:
            if sentence.startswith("Starting"):
                raise Cancelled("Somebody cancelled it.")

        given = (SecretDelivery("API_KEY", Sensitive("value"), way),)
        intent = make(secrets=given)
        with pytest.raises(Cancelled):
            runtime.launch(intent, progress=progress)
        with pytest.raises(StartFailed):
            runtime.launch(make("cannot start", secrets=given))
        assert runtime.containers(intent.instance) == []


def deliveries(way: Delivery) -> tuple[SecretDelivery, ...]:
    """Return all VALUES on their way."""
    return tuple(SecretDelivery(variable, Sensitive(value), way) for variable, value in VALUES.items())


def asking(launched: Launched) -> Callable[[str], dict[str, str]]:
    """Open the session and return ``ask(variable)``: where the server found it, and the SHA-256 of its bytes."""
    stream = Stream(launched.socket)

    def exchange(message: dict[str, Any]) -> dict[str, Any]:
        if launched.endpoint is not None:
            return post(launched.endpoint, message)
        stream.send(message)
        return stream.line()

    exchange(INITIALIZE)

    def ask(variable: str) -> dict[str, str]:
        params = {"name": "digest", "arguments": {"variable": variable}}
        answer = exchange({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})
        told: dict[str, str] = json.loads(answer["result"]["content"][0]["text"])
        return told

    return ask


def eventually(runtime: Runtime, launched: Launched, wanted: Any, deadline_s: float = 10.0) -> ContainerState:
    """Return the state once it is as wanted, the last one seen otherwise."""
    end = time.monotonic() + deadline_s
    while True:
        state = runtime.inspect(launched.container_id)
        if wanted(state) or time.monotonic() > end:
            return state
        time.sleep(0.05)


__all__ = ["VALUES", "WAYS", "DeliveryContract", "asking", "deliveries", "eventually"]
