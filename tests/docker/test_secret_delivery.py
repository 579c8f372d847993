"""Secrets on their way into containers: what the engine and odd images can do to it."""
from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcpweb_plugins.runtime_docker.engine import Deadlines
from mcpweb_plugins.runtime_docker.runtime import DockerRuntime
from mcpweb_plugins.runtime_docker.secretfiles import SecretFiles, Written

from mcpweb.contracts import ConfigData, Delivery, Mount, SecretDelivery, Sensitive
from mcpweb.errors import Cancelled, PolicyRefused, StartFailed
from mcpweb.testing.contracts import INITIALIZE, Stream, asking
from tests.docker.engine import ADDRESS, TINY, api, tiny
from tests.docker.fault_proxy import FaultProxy
from tests.docker.images import build_image
from tests.waiting import eventually

CANARY = "canary-5f2d8c1e-under-no-circumstances"
SHELLS = {
    "leaves": "sys.stderr.write('no time\\n'); sys.exit(3)",
    "mute": "time.sleep(60)",
    "floods": "\nwhile True: sys.stdout.write('x' * 65536)",
    "never reads": "say('ready'); time.sleep(60)",
    "reads and leaves": "say('ready'); sys.stderr.write(sys.stdin.readline()); sys.stderr.flush(); sys.exit(5)",
    "says taken and leaves": "say('ready'); sys.stdin.readline(); say('taken'); sys.exit(6)",
    "echoes": (
        "say('ready')\nfor line in iter(raw, b'\\n'): sys.stdout.buffer.write(line); sys.stdout.flush()\n"
        "say('taken'); raw(); os.execvp(sys.argv[4], sys.argv[4:])"
    ),
}
PRELUDE = """#!/usr/bin/env -S python3 -u
import os, sys, time
def say(word): sys.stdout.write('mcpweb: ' + word + '\\n'); sys.stdout.flush()
def raw():
    line = b''
    while not line.endswith(b'\\n'): line += os.read(0, 1)
    return line
"""


def secret(value: str = CANARY, way: Delivery = "stdin", variable: str = "API_KEY") -> SecretDelivery:
    return SecretDelivery(variable, Sensitive(value), way)


@pytest.fixture
def shelled(tmp_path: Path) -> Callable[[str], ConfigData]:
    """Return ``shelled(kind)``: a configuration whose image has this odd program as its shell."""

    def shelled(kind: str) -> ConfigData:
        program = tmp_path / "sh"
        program.write_text(PRELUDE + SHELLS[kind])
        program.chmod(0o755)
        return tiny(mounts=(Mount("bind", str(program), "/bin/sh"),))

    return shelled


@pytest.fixture
def files() -> Iterator[Callable[[str], list[Path]]]:
    """Return ``files(instance)``: what lies in memory for an instance."""

    def files(instance: str) -> list[Path]:
        place = SecretFiles().place(ADDRESS)
        return sorted(path for path in (place / f"mcpweb-{instance[-8:]}").rglob("*") if path.is_file())

    yield files


# Images without a shell, or with an odd one


def test_an_image_without_a_shell_is_named_with_the_way_that_works_and_nothing_of_it_ran(
    docker_session: Any, tmp_path: Path
) -> None:
    proxy = FaultProxy(tmp_path / "e.sock", ADDRESS.removeprefix("unix://"))
    runtime = DockerRuntime(proxy.address)
    intent = docker_session.intent(build_image("static"), ConfigData(), secrets=(secret(),))
    try:
        for _ in range(2):
            with pytest.raises(StartFailed) as caught:
                runtime.launch(intent)
            assert caught.value.code == "no_shell" and "/bin/sh" in caught.value.detail and "`file`" in caught.value.next_step
            assert runtime.containers(intent.instance) == []
        assert not [line for line in proxy.requests if b"/start" in line or b"/attach" in line]
        looks = [line for line in proxy.requests if line.startswith(b"HEAD")]
        assert len(looks) == 1, "an image is looked into once"
    finally:
        proxy.close()


def test_the_same_image_runs_with_the_secret_as_a_file(docker_session: Any, launch: Any) -> None:
    launched = launch(docker_session.intent(build_image("static"), ConfigData(), secrets=(secret(way="file"),)))
    stream = Stream(launched.socket)
    stream.send(INITIALIZE)
    assert stream.line()["result"]["serverInfo"]["name"]
    launched.socket.close()


def test_a_shell_that_was_there_and_is_gone_is_noticed_by_the_exchange(docker_session: Any, runtime: DockerRuntime) -> None:
    intent = docker_session.intent(build_image("static"), ConfigData(), secrets=(secret(),))
    runtime._containers._shells._known[runtime.image(intent.image).id] = True
    with pytest.raises(StartFailed) as caught:
        runtime.launch(intent)
    assert caught.value.code == "no_shell"
    assert runtime.containers(intent.instance) == []


@pytest.mark.parametrize(
    ("kind", "said", "at_most_s"),
    [
        ("leaves", "exit code 3 before it had taken its secrets: no time", 3.0),
        ("mute", "did not take the secrets in time", 4.5),
        ("floods", "wrote without end", 4.0),
        ("never reads", "did not take the secrets in time", 4.5),
        ("reads and leaves", "exit code 5 while it took its secrets", 3.0),
    ],
)
def test_a_shell_that_does_not_do_its_part_ends_the_launch_in_time_and_nothing_remains(
    docker_session: Any, python_image: str, tmp_path: Path, shelled: Any, kind: str, said: str, at_most_s: float
) -> None:
    runtime = DockerRuntime(ADDRESS, (tmp_path,), deadlines=replace(Deadlines(), launch=2.5))
    large = secret("x\\" * 32 * 1024, variable="LARGE")
    intent = docker_session.intent(python_image, shelled(kind), secrets=(secret(), large))
    before, began = len(os.listdir("/proc/self/fd")), time.monotonic()
    with pytest.raises(StartFailed) as caught:
        runtime.launch(intent)
    assert time.monotonic() - began < at_most_s
    assert said in caught.value.detail and caught.value.next_step
    assert CANARY not in str(caught.value) + caught.value.sentence
    assert runtime.containers(intent.instance) == []
    assert len(os.listdir("/proc/self/fd")) <= before


def test_an_engine_connection_that_breaks_during_the_exchange_ends_the_launch_at_once(
    docker_session: Any, python_image: str, tmp_path: Path, shelled: Any
) -> None:
    proxy = FaultProxy(tmp_path / "e.sock", ADDRESS.removeprefix("unix://"))
    runtime = DockerRuntime(proxy.address, (tmp_path,))
    intent = docker_session.intent(python_image, shelled("never reads"), secrets=(secret(), secret(way="file", variable="B")))

    def break_it() -> None:
        engine = api()  # a second runtime would take the files of a container that is being made for leftovers
        eventually(lambda: engine.containers(filters={"label": f"mcpweb.instance={intent.instance}", "status": "running"}))
        engine.close()
        time.sleep(0.7)  # the engine has answered that it runs, and the exchange goes on
        proxy.cut()

    breaking = threading.Thread(target=break_it)
    breaking.start()
    began = time.monotonic()
    try:
        with pytest.raises(StartFailed, match=r"did not take its secrets|ended with exit code"):
            runtime.launch(intent)
        assert time.monotonic() - began < 6
        assert runtime.containers(intent.instance) == []
    finally:
        breaking.join()
        proxy.close()


def test_an_exchange_can_be_cancelled(docker_session: Any, python_image: str, tmp_path: Path, shelled: Any) -> None:
    runtime = DockerRuntime(ADDRESS, (tmp_path,))
    intent = docker_session.intent(python_image, shelled("mute"), secrets=(secret(),))

    def progress(fraction: float | None, sentence: str) -> None:
        if sentence == "Handing over the secrets":
            raise Cancelled("Somebody cancelled it.")

    began = time.monotonic()
    with pytest.raises(Cancelled):
        runtime.launch(intent, progress=progress)
    assert time.monotonic() - began < 3
    assert runtime.containers(intent.instance) == []


def test_a_server_that_ends_right_after_it_had_its_secrets_is_a_launched_one(
    docker_session: Any, python_image: str, tmp_path: Path, shelled: Any
) -> None:
    runtime = DockerRuntime(ADDRESS, (tmp_path,))
    intent = docker_session.intent(python_image, shelled("says taken and leaves"), secrets=(secret(),))
    launched = runtime.launch(intent)
    Stream(launched.socket).wait_end()
    assert runtime.inspect(launched.container_id).exit_code == 6
    launched.socket.close()
    runtime.remove(launched.container_id)


def test_what_an_odd_shell_echoes_is_not_forwarded(
    docker_session: Any, python_image: str, tmp_path: Path, shelled: Any
) -> None:
    runtime = DockerRuntime(ADDRESS, (tmp_path,))
    launched = runtime.launch(docker_session.intent(python_image, shelled("echoes"), secrets=(secret(),)))
    stream = Stream(launched.socket)
    stream.send(INITIALIZE)
    assert stream.line()["id"] == 1
    assert CANARY.encode() not in stream.stdout + stream.stderr
    launched.socket.close()
    runtime.remove(launched.container_id)


def test_a_program_that_is_not_in_the_image_is_named_and_not_the_shell_before_it(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    launched = launch(docker_session.intent(python_image, ConfigData(entrypoint=("no-such-program",)), secrets=(secret(),)))
    Stream(launched.socket).wait_end()
    assert "`no-such-program`" in runtime.inspect(launched.container_id).error
    launched.socket.close()


def test_an_image_that_names_no_command_is_told_so_before_anything_is_made(docker_session: Any, runtime: DockerRuntime) -> None:
    intent = docker_session.intent(build_image("static"), ConfigData(entrypoint=()), secrets=(secret(),))
    with pytest.raises(StartFailed, match="names no command"):
        runtime.launch(intent)
    assert runtime.containers(intent.instance) == []


# A container that is started again without us


def test_a_container_started_by_hand_waits_for_secrets_it_does_not_get(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    launched = launch(docker_session.intent(python_image, secrets=(secret(),)))
    assert asking(launched)("API_KEY")["sha256"] == hashlib.sha256(CANARY.encode()).hexdigest()
    launched.socket.close()
    runtime.stop(launched.container_id, 1)
    client = api()
    client.start(launched.container_id)
    stream = Stream(runtime.attach(launched.container_id))
    time.sleep(0.3)
    assert runtime.inspect(launched.container_id).running
    processes = client.top(launched.container_id)["Processes"]
    assert not [row for row in processes if "python3" in row[-1] and "mcpweb: ready" not in row[-1]]
    runtime.stop(launched.container_id, 1)
    stream.wait_end()
    assert stream.stdout.replace(b"mcpweb: ready\n", b"") == b""
    client.close()


def test_an_http_server_with_secrets_lives_on_without_us(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    config = tiny("http", transport="http", port=8000, network="published")
    launched = launch(docker_session.intent(python_image, config, secrets=(secret(), secret(way="file", variable="OTHER"))))
    launched.socket.close()
    time.sleep(0.3)
    assert asking(launched)("API_KEY") == {"from": "environment", "sha256": hashlib.sha256(CANARY.encode()).hexdigest()}
    again = runtime.attach(launched.container_id)
    assert asking(launched)("OTHER")["from"] == "file"
    again.close()
    assert asking(launched)("API_KEY")["from"] == "environment"


def test_an_http_servers_input_ends_after_its_secrets(docker_session: Any, python_image: str, launch: Any) -> None:
    patient = ("python3", "-c", "import sys; sys.stdin.read()\n" + TINY)
    config = tiny("http", transport="http", port=8000, network="published", entrypoint=patient)
    launched = launch(docker_session.intent(python_image, config, secrets=(secret(),)))
    assert asking(launched)("API_KEY")["from"] == "environment"
    launched.socket.close()


# Files in memory


def test_a_file_is_for_its_containers_user_alone_and_goes_with_the_container(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime, files: Any
) -> None:
    intent = docker_session.intent(python_image, secrets=(secret(way="file"),))
    launched = launch(intent)
    (file,) = files(intent.instance)
    facts = file.stat()
    if os.geteuid() == 0:
        assert (stat.S_IMODE(facts.st_mode), facts.st_uid) == (0o400, 65534)
    for folder in (file.parent, file.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and folder.stat().st_uid == os.geteuid()
    (mount,) = [m for m in runtime.inspect(launched.container_id).raw["Mounts"] if m["Type"] == "bind"]  # type: ignore[index,call-overload,union-attr]
    assert mount["Destination"] == "/run/secrets/API_KEY" and mount["RW"] is False  # type: ignore[index,call-overload]
    runtime.stop(launched.container_id, 1)
    assert files(intent.instance) == []
    launched.socket.close()


@pytest.mark.parametrize("user", ["1234:1234", "nobody", "root"])
def test_a_file_can_be_read_by_whatever_user_the_server_has(
    docker_session: Any, python_image: str, launch: Any, user: str
) -> None:
    launched = launch(docker_session.intent(python_image, tiny(user=user), secrets=(secret(way="file"),)))
    assert asking(launched)("API_KEY") == {"from": "file", "sha256": hashlib.sha256(CANARY.encode()).hexdigest()}
    launched.socket.close()


def test_removing_a_running_container_removes_its_files_and_those_of_others_stay(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime, files: Any
) -> None:
    one = docker_session.intent(python_image, secrets=(secret(way="file"),))
    other = replace(one, name=f"{one.name}-b", server_id="srv_b", server="b")
    first, second = runtime.launch(one), launch(other)
    assert len(files(one.instance)) == 2
    runtime.remove(first.container_id)
    assert len(files(one.instance)) == 1
    assert asking(second)("API_KEY")["from"] == "file"
    for launched in (first, second):
        launched.socket.close()


def test_files_nobody_needs_any_more_go_at_the_next_sweep_of_another_process(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime, files: Any
) -> None:
    intent = docker_session.intent(python_image, secrets=(secret(way="file"),))
    launched = launch(intent)
    launched.socket.close()
    next_process = DockerRuntime(ADDRESS)
    assert len(next_process.containers(intent.instance)) == 1 and len(files(intent.instance)) == 1
    client = api()
    client.remove_container(launched.container_id, force=True)
    client.close()
    assert next_process.containers(intent.instance) == [] and files(intent.instance) == []


def test_a_launch_that_fails_leaves_no_file(docker_session: Any, python_image: str, runtime: DockerRuntime, files: Any) -> None:
    intent = docker_session.intent(python_image, tiny(user="nobody-of-that-name"), secrets=(secret(way="file"),))
    with pytest.raises(StartFailed):
        runtime.launch(intent)
    assert files(intent.instance) == []


def test_files_are_refused_where_they_would_be_on_a_disk_or_at_another_machine(
    docker_session: Any, python_image: str, tmp_path: Path
) -> None:
    intent = docker_session.intent(python_image, secrets=(secret(way="file"),))
    on_disk = DockerRuntime(ADDRESS, secrets_dir=str(tmp_path))
    elsewhere = DockerRuntime("tcp://127.0.0.1:9")
    for runtime, word in ((on_disk, "tmpfs"), (elsewhere, "network")):
        with pytest.raises(PolicyRefused, match=word) as caught:
            runtime.check(intent)
        assert caught.value.next_step and CANARY not in caught.value.sentence
    with pytest.raises(PolicyRefused):
        on_disk.launch(intent)
    assert list(tmp_path.iterdir()) == []
    DockerRuntime(ADDRESS).check(intent)


def test_an_engine_that_sees_other_files_than_we_do_is_told_from_a_missing_mount(
    docker_session: Any, python_image: str, runtime: DockerRuntime
) -> None:
    class Elsewhere(SecretFiles):
        """Files the engine does not find, as when we run in a container with only its socket."""

        def write(self, *arguments: Any) -> Written:
            written = super().write(*arguments)
            for mount in written.mounts:
                Path(mount["Source"]).unlink()
            return written

    runtime._containers._files = Elsewhere()
    intent = docker_session.intent(python_image, secrets=(secret(way="file"),))
    with pytest.raises(StartFailed, match="does not see the tmpfs") as caught:
        runtime.launch(intent)
    assert "SECRETS_DIR" in caught.value.next_step
    assert runtime.containers(intent.instance) == []


@pytest.mark.parametrize("planted", ["link", "open"])
def test_a_folder_somebody_else_laid_out_is_not_written_to(
    docker_session: Any, python_image: str, runtime: DockerRuntime, tmp_path: Path, planted: str
) -> None:
    intent = docker_session.intent(python_image, secrets=(secret(way="file"),))
    place = SecretFiles().place(ADDRESS) / f"mcpweb-{intent.instance[-8:]}"
    if planted == "link":
        place.symlink_to(tmp_path)
    else:
        place.mkdir(mode=0o700)
        place.chmod(0o755)
    try:
        with pytest.raises(PolicyRefused, match="ours alone"):
            runtime.launch(intent)
        assert list(tmp_path.iterdir()) == [] and list(place.iterdir()) == []
    finally:
        place.unlink() if planted == "link" else place.rmdir()


def test_a_secrets_file_and_a_mount_of_the_configuration_do_not_share_a_place(
    docker_session: Any, python_image: str, runtime: DockerRuntime
) -> None:
    taken = tiny(mounts=(Mount("volume", "data", "/run/secrets/API_KEY"),))
    with pytest.raises(PolicyRefused, match="same place"):
        runtime.check(docker_session.intent(python_image, taken, secrets=(secret(way="file"),)))
    runtime.check(docker_session.intent(python_image, taken, secrets=(secret(way="file", variable="OTHER"),)))


def test_no_secret_is_put_into_a_container_as_an_archive() -> None:
    for folder in ("mcpweb", "plugins"):
        for source in Path(folder).rglob("*.py"):
            assert "put_archive" not in source.read_text(), source
