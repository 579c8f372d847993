"""What a started container is really like: as the engine declares it, and as it looks from inside."""
from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcpweb_plugins.runtime_docker.runtime import DockerRuntime

from mcpweb import paths, settings
from mcpweb.contracts import ConfigData, Limits, Mount
from mcpweb.errors import ImageMissing, InvalidInput, NotFound, PolicyRefused, RuntimeConflict, StartFailed
from mcpweb.pluginhost import import_folder
from mcpweb.testing.attached import Stream
from tests.docker.engine import api, remove_networks, remove_volumes, tiny

PROBE = """
import json, os, socket, subprocess, time
def status(name):
    return next(l.split(":", 1)[1].strip() for l in open("/proc/self/status") if l.startswith(name + ":"))
def can(action):
    try:
        action()
        return True
    except OSError as error:
        return type(error).__name__ + ": " + str(error.strerror)
def write(path):
    with open(path, "w") as file:
        file.write("x")
def connect(host, port):
    with socket.socket() as s:
        s.settimeout(2)
        s.connect((host, port))
def program():
    with open("/tmp/x.sh", "w") as file:
        file.write("#!/bin/sh\\n")
    os.chmod("/tmp/x.sh", 0o755)
    subprocess.run(["/tmp/x.sh"], check=True)
print(json.dumps({
    "pid1": open("/proc/1/cmdline").read().split("\\0")[0],
    "pid": os.getpid(),
    "cap_eff": int(status("CapEff"), 16), "cap_bnd": int(status("CapBnd"), 16), "cap_prm": int(status("CapPrm"), 16),
    "no_new_privs": status("NoNewPrivs"), "seccomp": status("Seccomp"),
    "root": can(lambda: write("/written")), "tmp": can(lambda: write("/tmp/written")), "exec_tmp": can(program),
    "data": can(lambda: write("/data/written")),
    "sys": can(lambda: write("/proc/sys/kernel/hostname")),
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "devices": sorted(os.listdir("/dev")),
    "outside": can(lambda: connect("192.0.2.1", 80)),
    "resolve": can(lambda: socket.getaddrinfo("example.com", 80)),
    "neighbour": can(lambda: connect(os.environ["NEIGHBOUR"], 8000)) if "NEIGHBOUR" in os.environ else None,
    "core": __import__("resource").getrlimit(__import__("resource").RLIMIT_CORE),
    "uid": os.getuid(),
}), flush=True)
time.sleep(60)
"""


def probe(**changes: Any) -> ConfigData:
    return ConfigData(**{"entrypoint": ("python3", "-c", PROBE), "command": (), "user": "0", **changes})


@pytest.fixture
def look(docker_session: Any, python_image: str, launch: Any) -> Any:
    """Return ``look(**configuration) -> (what inspect says, what is seen inside)``."""

    def look(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        launched = launch(docker_session.intent(python_image, probe(**changes)))
        inside = Stream(launched.socket).line(20)
        return api().inspect_container(launched.container_id), inside

    return look


def test_the_engine_declares_every_hardened_default(look: Any) -> None:
    facts, _ = look()
    host, config = facts["HostConfig"], facts["Config"]
    assert host["CapDrop"] == ["ALL"] and not host["CapAdd"]
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])
    assert not any("unconfined" in option for option in host["SecurityOpt"])
    assert host["Init"] is True and host["Privileged"] is False
    assert host["PidsLimit"] == 256 and host["NanoCpus"] == 10**9
    assert host["Memory"] == host["MemorySwap"] == 512 * 2**20
    assert host["ReadonlyRootfs"] is True
    assert host["Tmpfs"] == {"/tmp": "rw,nosuid,nodev,noexec,size=67108864,mode=1777"}
    assert host["NetworkMode"] == "none" and set(facts["NetworkSettings"]["Networks"]) == {"none"}
    assert host["IpcMode"] == "private" and host["CgroupnsMode"] == "private"
    assert (host["PidMode"], host["UTSMode"], host["UsernsMode"]) == ("", "", "")
    assert not host["Devices"] and not host["DeviceRequests"] and not host["DeviceCgroupRules"]
    assert not host["Binds"] and not host.get("Mounts") and not host["VolumesFrom"] and not facts["Mounts"]
    assert not host["PortBindings"] and host["PublishAllPorts"] is False
    assert host["LogConfig"]["Type"] == "none"
    assert host["RestartPolicy"]["Name"] in ("no", "") and host["AutoRemove"] is False
    assert host["MaskedPaths"] and host["ReadonlyPaths"]
    assert host["Ulimits"] == [{"Name": "core", "Soft": 0, "Hard": 0}]
    assert not host["Sysctls"] if "Sysctls" in host else True
    assert config["Tty"] is False and config["OpenStdin"] is True and config["StdinOnce"] is True


def test_inside_nothing_more_is_possible_than_declared(look: Any) -> None:
    _, inside = look()
    assert "init" in inside["pid1"] or "tini" in inside["pid1"]
    assert inside["pid"] != 1
    assert inside["cap_eff"] == inside["cap_prm"] == inside["cap_bnd"] == 0
    assert (inside["no_new_privs"], inside["seccomp"]) == ("1", "2")
    assert "Read-only" in inside["root"] and inside["tmp"] is True
    assert "Permission denied" in inside["exec_tmp"]
    assert inside["sys"] is not True
    assert inside["interfaces"] == ["lo"]
    assert inside["outside"] is not True and inside["resolve"] is not True
    assert not {"sda", "kmsg", "mem", "kvm"} & set(inside["devices"])
    assert inside["core"] == [0, 0]


def test_loosening_shows_and_goes_no_further(look: Any) -> None:
    facts, inside = look(capabilities=("CHOWN", "KILL"), read_only_root=False, user="65534:65534", tmpfs={})
    assert sorted(facts["HostConfig"]["CapAdd"]) == ["CHOWN", "KILL"]
    assert inside["cap_bnd"] == (1 << 0) | (1 << 5)
    assert inside["uid"] == 65534
    assert facts["HostConfig"]["ReadonlyRootfs"] is False
    assert inside["no_new_privs"] == "1"


def test_a_published_server_listens_on_loopback_and_cannot_get_out(look: Any) -> None:
    facts, inside = look(transport="http", port=8000, network="published")
    (name,) = facts["NetworkSettings"]["Networks"]
    assert name == f"mcpweb-{facts['Config']['Labels']['mcpweb.instance'][-8:]}"
    network = api().inspect_network(name)
    options = network["Options"]
    assert options["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    assert options["com.docker.network.bridge.enable_icc"] == "false"
    assert network["Driver"] == "bridge" and not network["EnableIPv6"]
    assert network["Labels"] == {"mcpweb.instance": facts["Config"]["Labels"]["mcpweb.instance"]}
    (binding,) = facts["NetworkSettings"]["Ports"]["8000/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    assert facts["Config"]["OpenStdin"] is False
    assert inside["outside"] is not True and inside["resolve"] is not True
    assert inside["cap_eff"] == 0 and inside["interfaces"] == ["eth0", "lo"]


def test_two_published_servers_of_one_instance_do_not_see_each_other(
    docker_session: Any, python_image: str, launch: Any
) -> None:
    http = {"transport": "http", "port": 8000, "network": "published"}
    first = launch(docker_session.intent(python_image, tiny("http", **http)))
    labels = api().inspect_container(first.container_id)["Config"]["Labels"]
    (network,) = api().inspect_container(first.container_id)["NetworkSettings"]["Networks"].values()
    second = launch(
        docker_session.intent(
            python_image, probe(**http, environment={"NEIGHBOUR": network["IPAddress"]}),
            instance=labels["mcpweb.instance"], name="mcpweb-docker-neighbour-" + docker_session.label,
            server="neighbour", server_id="srv_neighbour",
        )
    )  # fmt: skip
    inside = Stream(second.socket).line(20)
    assert inside["neighbour"] is not None and inside["neighbour"] is not True


def test_outbound_is_a_network_of_its_own_with_masquerade(look: Any) -> None:
    facts, _ = look(network="outbound")
    (name,) = facts["NetworkSettings"]["Networks"]
    assert name.endswith("-out") and name.startswith("mcpweb-")
    assert api().inspect_network(name)["Options"]["com.docker.network.bridge.enable_ip_masquerade"] == "true"
    assert not facts["HostConfig"]["PortBindings"], "stdio needs no port"


def test_cleanup_removes_networks_nobody_uses_and_leaves_the_others(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    intent = docker_session.intent(python_image, probe(network="outbound"))
    launched = launch(intent)
    name = f"mcpweb-{intent.instance[-8:]}-out"
    runtime.cleanup(intent.instance)
    assert api().networks(names=[name])
    runtime.remove(launched.container_id)
    runtime.cleanup(intent.instance)
    assert not [n for n in api().networks(names=[name]) if n["Name"] == name]


def test_a_cleanup_in_the_middle_of_a_launch_takes_nothing_from_it(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    intent = docker_session.intent(python_image, probe(network="outbound"))
    steps = []

    def progress(fraction: float | None, sentence: str) -> None:
        steps.append(sentence)
        runtime.cleanup(intent.instance)

    launched = runtime.launch(intent, progress=progress)
    assert len(steps) >= 2 and runtime.inspect(launched.container_id).running
    launched.socket.close()
    runtime.remove(launched.container_id)
    runtime.cleanup(intent.instance)
    assert remove_networks([intent.instance]) == []


def test_a_foreign_or_loosened_network_of_our_name_is_not_used(
    docker_session: Any, python_image: str, runtime: DockerRuntime
) -> None:
    intent = docker_session.intent(python_image, probe(transport="http", port=8000, network="published"))
    name = f"mcpweb-{intent.instance[-8:]}"
    for labels in ({}, {"mcpweb.instance": intent.instance}):  # somebody else's; ours, but with masquerade
        made = api().create_network(name, driver="bridge", labels=labels)
        try:
            with pytest.raises(RuntimeConflict, match=name):
                runtime.launch(intent)
            assert runtime.containers(intent.instance) == []
        finally:
            api().remove_network(made["Id"])
    assert remove_networks([intent.instance]) == []


def test_a_bind_is_seen_inside_read_only_unless_it_says_otherwise(
    docker_session: Any, python_image: str, tmp_path: Path, runtime: DockerRuntime, launch: Any
) -> None:
    allowed = DockerRuntime(bind_roots=(tmp_path,))
    (tmp_path / "shared").mkdir(mode=0o777)
    (tmp_path / "shared").chmod(0o777)
    for read_only in (True, False):
        mount = Mount("bind", str(tmp_path / "shared"), "/data", read_only=read_only)
        intent = docker_session.intent(python_image, probe(mounts=(mount,)))
        with pytest.raises(PolicyRefused):
            runtime.launch(intent)  # without roots
        launched = allowed.launch(intent)
        try:
            inside = Stream(launched.socket).line(20)
            (seen,) = api().inspect_container(launched.container_id)["Mounts"]
            assert seen["RW"] is not read_only and seen["Propagation"] == "private"
            assert (inside["data"] is True) is not read_only
            assert (tmp_path / "shared/written").exists() is not read_only
        finally:
            launched.socket.close()
            runtime.remove(launched.container_id)


def test_a_volume_keeps_data_from_one_container_to_the_next(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    mount = Mount("volume", "notes", "/data", read_only=False)
    intent = docker_session.intent(python_image, probe(mounts=(mount,)))
    first = launch(intent)
    assert Stream(first.socket).line(20)["data"] is True
    volume = api().inspect_volume(f"mcpweb-{intent.instance[-8:]}-notes")
    assert volume["Driver"] == "local" and not volume["Options"]
    runtime.remove(first.container_id)
    script = "print(open('/data/written').read() == 'x' and '{\"kept\": true}', flush=True)"
    config = replace(intent.config, entrypoint=("python3", "-c", script))
    second = launch(replace(intent, config=config))
    assert Stream(second.socket).line(20) == {"kept": True}


def test_a_volume_with_driver_options_is_not_used_even_under_our_name(
    docker_session: Any, python_image: str, runtime: DockerRuntime
) -> None:
    intent = docker_session.intent(python_image, probe(mounts=(Mount("volume", "etc", "/data"),)))
    name = f"mcpweb-{intent.instance[-8:]}-etc"
    trap = {"type": "none", "o": "bind", "device": "/etc"}
    api().create_volume(name, driver="local", driver_opts=trap, labels={"mcpweb.instance": intent.instance})
    try:
        with pytest.raises(RuntimeConflict, match="driver options"):
            runtime.launch(intent)
        assert runtime.containers(intent.instance) == []
    finally:
        assert remove_volumes([intent.instance]) == [name]


def test_a_server_over_its_memory_limit_is_killed_and_the_state_says_why(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    eater = ConfigData(
        entrypoint=("python3", "-c", "x = [b'x' * 2**20 for _ in range(400)]"), command=(), limits=Limits(memory_mb=32)
    )
    launched = launch(docker_session.intent(python_image, eater))
    Stream(launched.socket).wait_end(20)
    state = _ended(runtime, launched.container_id)
    until = time.monotonic() + 3
    while not state.oom_killed and time.monotonic() < until:  # the engine hears of the kill after it hears of the end
        time.sleep(0.05)
        state = runtime.inspect(launched.container_id)
    assert (state.exit_code, state.oom_killed) == (137, True)


def test_stats_see_work_and_memory(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    busy = ConfigData(
        entrypoint=("python3", "-c", "x = b'x' * 50 * 2**20\nwhile True: pass"), command=(),
        limits=Limits(memory_mb=128, cpus=0.25),
    )  # fmt: skip
    launched = launch(docker_session.intent(python_image, busy))
    samples = []
    for sample in runtime.stats(launched.container_id, lambda: len(samples) >= 3):
        samples.append(sample)
    assert 10 < samples[-1].cpu_percent < 45, "a quarter of a core is 25 %"
    assert 50 * 2**20 < samples[-1].memory_bytes < 128 * 2**20 == samples[-1].memory_limit


def test_stop_asks_first_and_kills_after_the_grace(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    deaf = ConfigData(
        entrypoint=(
            "python3", "-c",
            "import signal,time\nsignal.signal(15, lambda *a: None)\nprint('{}', flush=True)\n"
            "while True: time.sleep(9)",
        ),
        command=(),
    )  # fmt: skip
    launched = launch(docker_session.intent(python_image, deaf))
    Stream(launched.socket).line(20)
    began = time.monotonic()
    state = runtime.stop(launched.container_id, 1)
    assert state is not None and state.exit_code == 137
    assert 0.9 < time.monotonic() - began < 6


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (ConfigData(user="nobody-of-that-name"), "user `nobody-of-that-name` does not exist"),
        (ConfigData(limits=Limits(cpus=1000)), "CPUs only"),
    ],
)
def test_what_cannot_start_says_why_in_words(
    docker_session: Any, python_image: str, runtime: DockerRuntime, config: ConfigData, says: str
) -> None:
    intent = docker_session.intent(python_image, config)
    with pytest.raises(StartFailed, match=says) as caught:
        runtime.launch(intent)
    assert caught.value.next_step
    assert runtime.containers(intent.instance) == []


def test_a_command_that_is_not_in_the_image_is_named_by_the_state(
    docker_session: Any, python_image: str, launch: Any, runtime: DockerRuntime
) -> None:
    launched = launch(docker_session.intent(python_image, ConfigData(entrypoint=("no-such-program",), command=())))
    Stream(launched.socket).wait_end(20)
    state = _ended(runtime, launched.container_id)
    assert state.exit_code == 127
    assert "was not found" in state.error and "no-such-program" in state.error


@pytest.mark.parametrize("image", ["../containers/x", "a/../../x", "a b", "", "-x", "a?b=1", "a#b"])
def test_an_image_name_that_is_a_path_trick_is_not_sent(
    docker_session: Any, runtime: DockerRuntime, image: str
) -> None:
    with pytest.raises(ImageMissing):
        runtime.image(image)
    with pytest.raises(ImageMissing):
        runtime.launch(docker_session.intent(image))


@pytest.mark.parametrize("container_id", ["../images/x", "a/b", "", "a?b=1", "-x"])
def test_a_container_id_that_is_a_path_trick_is_not_sent(
    docker_session: Any, runtime: DockerRuntime, container_id: str
) -> None:
    for ask in (runtime.inspect, runtime.remove, runtime.attach):
        with pytest.raises(NotFound):
            ask(container_id)


@pytest.mark.parametrize(
    ("given", "fine"), [("30", True), ("1.5", True), ("0", False), ("soon", False), ("9e9", False)]
)
def test_the_deadline_of_a_question_can_be_set(given: str, fine: bool, tmp_path: Path) -> None:
    plugin = import_folder("runtime_docker", paths.PLUGINS / "runtime_docker")
    assert [setting.name for setting in plugin.mcpweb_add_settings()] == ["CALL_DEADLINE_S", "SECRETS_DIR"]
    name = "MCPWEB_PLUGIN_RUNTIME_DOCKER_CALL_DEADLINE_S"
    knobs = settings.load({"MCPWEB_DATA_DIR": str(tmp_path), name: given})
    if fine:
        assert plugin.mcpweb_add_runtimes(knobs)[0].name == "docker"
    else:
        with pytest.raises(InvalidInput, match=name):
            plugin.mcpweb_add_runtimes(knobs)


def test_the_plugin_offers_the_runtime_and_loads_no_sdk() -> None:
    import subprocess
    import sys

    script = (
        "import sys; from mcpweb import paths, settings; from mcpweb.pluginhost import import_folder\n"
        "plugin = import_folder('runtime_docker', paths.PLUGINS / 'runtime_docker')\n"
        "(runtime,) = plugin.mcpweb_add_runtimes(settings.load({'MCPWEB_DATA_DIR': '/nowhere'}))\n"
        "print(runtime.name, plugin.mcpweb_api, bool(plugin.__doc__), {'docker', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(json.dumps(done.stdout.strip())) == "docker 1 True set()"


def _ended(runtime: DockerRuntime, container_id: str) -> Any:
    for _ in range(100):
        state = runtime.inspect(container_id)
        if not state.running:
            return state
        time.sleep(0.05)
    raise AssertionError("it did not end")
