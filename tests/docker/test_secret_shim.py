"""The few lines of shell that take secrets, in every shell of this machine; and how values are written for them."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from mcpweb_plugins.runtime_docker import handshake

from mcpweb.contracts import SecretDelivery, Sensitive
from mcpweb.testing.contracts import VALUES, deliveries

SHELLS = [found for name in ("dash", "bash", "busybox", "mksh", "zsh") if (found := shutil.which(name))]
TELL = "import os, json; print(json.dumps({k: v for k, v in os.environ.items()}))"


def run(shell: str, given: bytes, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    program = [shell, "sh"] if shell.endswith("busybox") else [shell]
    command = [*program, "-c", handshake.SHIM, "mcpweb", *(words or (sys.executable, "-c", TELL))]
    return subprocess.run(command, input=given, capture_output=True, timeout=30, env={"PATH": "/usr/bin:/bin", **(env or {})})


@pytest.mark.parametrize("shell", SHELLS)
def test_every_value_becomes_the_environment_of_the_server_and_nothing_else_does(shell: str) -> None:
    done = run(shell, bytes(handshake.encoded(deliveries("stdin"))) + b"\n", env={"KEPT": "as it was", "PLAIN": "overruled"})
    ready, taken, told = done.stdout.split(b"\n", 2)
    assert (ready, taken, done.returncode) == (b"mcpweb: ready", b"mcpweb: taken", 0), done.stderr
    seen = json.loads(told)
    assert {name: seen.get(name) for name in VALUES} == VALUES
    assert seen["KEPT"] == "as it was"
    assert set(seen) - set(VALUES) - {"KEPT", "PATH", "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"} == set()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("given", [b"", b"A=1\n", b"A=1\nB=", b"A=1\n\n"])
def test_an_input_that_ends_too_soon_is_a_configuration_error_and_the_server_is_not_started(shell: str, given: bytes) -> None:
    done = run(shell, given)
    assert done.returncode == 78
    assert b"PATH" not in done.stdout
    assert (b"taken" in done.stdout) is given.endswith(b"\n\n"), "half of the secrets is not all of them"


@pytest.mark.parametrize("shell", SHELLS)
def test_what_follows_is_the_servers_input_to_the_last_byte(shell: str) -> None:
    session = b'{"jsonrpc": "2.0"}\n\n\\0101 %s \xff\x00 no newline at the end'
    done = run(shell, b"A=1\n\n\n" + session, "cat")
    assert done.stdout == b"mcpweb: ready\nmcpweb: taken\n" + session


@pytest.mark.parametrize("shell", SHELLS)
def test_the_servers_words_are_kept_and_its_exit_code_is_the_containers(shell: str) -> None:
    words = (sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "a b", "", "$HOME", "*", "-n", "'")
    done = run(shell, b"A=1\n\n\n", *words)
    assert done.returncode == 7
    assert done.stdout.splitlines()[2].decode() == str(list(words[3:]))
    assert run(shell, b"A=1\n\n\n", "no-such-program-at-all").returncode == 127


def test_what_is_sent_is_printable_ascii_whatever_the_value() -> None:
    lines = bytes(handshake.encoded(deliveries("stdin")))
    assert all(byte == 10 or 0x20 <= byte < 0x7F for byte in lines)
    assert lines.count(b"\n") == len(VALUES) + 1 and lines.endswith(b"\n\n")


def test_only_what_goes_by_standard_input_is_sent_there() -> None:
    given = [SecretDelivery("A", Sensitive("one"), "file"), SecretDelivery("B", Sensitive("two"), "environment")]
    assert bytes(handshake.encoded(given)) == b"\n"


def test_a_wrapped_command_is_known_by_its_own_words() -> None:
    assert handshake.unwrapped(handshake.wrapped(["server", "--flag"])) == ["server", "--flag"]
    assert handshake.unwrapped(["/bin/sh", "-c", "server"]) == ["/bin/sh", "-c", "server"]
