"""The policy alone, without an engine: each dangerous wish is refused, and its harmless neighbour is not."""
from __future__ import annotations

import dataclasses
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcpweb_plugins.runtime_docker import mounts, policy

from mcpweb.contracts import ConfigData, ContainerIntent, Limits, Mount
from mcpweb.errors import PolicyRefused

ADDRESS = "unix:///var/run/docker.sock"
HTTP = {"transport": "http", "port": 8000, "network": "published"}


def intent(**config: Any) -> ContainerIntent:
    return ContainerIntent(
        name="mcpweb-policy-0a1b2c3d", instance="ins_000000000a1b2c3d", server_id="srv_policy", server="policy",
        role="server", image="image:1", config=ConfigData(**config), config_hash="hash",
    )  # fmt: skip


def plan(roots: tuple[Path, ...] = (), address: str = ADDRESS, **config: Any) -> policy.Plan:
    return policy.plan(intent(**config), roots, address)


def host(**config: Any) -> dict[str, Any]:
    return dict(plan(**config).body["HostConfig"])


# What cannot be said at all


def test_an_intent_has_no_word_for_host_namespaces_devices_or_privileges() -> None:
    words = {field.name for kind in (ContainerIntent, ConfigData, Mount, Limits) for field in dataclasses.fields(kind)}
    for dangerous in (
        "privileged", "devices", "pid", "ipc", "uts", "userns", "cgroup", "cgroup_parent", "security_opt", "sysctls",
        "runtime", "links", "extra_hosts", "volumes_from", "group_add", "host_config", "options", "driver_opts",
        "driver", "propagation", "device_requests", "restart", "log_driver", "oom_score_adj", "dns", "ports",
    ):  # fmt: skip
        assert dangerous not in words


def test_the_body_has_only_the_keys_this_policy_knows() -> None:
    full = plan(
        environment={"A": "1"}, user="1000:1000", entrypoint=("a",), command=("b",), capabilities=("CHOWN",),
        mounts=(Mount("volume", "data", "/data"),), **HTTP,
    )  # fmt: skip
    assert set(full.body) == {
        "Image", "Labels", "Env", "Tty", "OpenStdin", "StdinOnce", "AttachStdin", "AttachStdout", "AttachStderr",
        "Healthcheck", "HostConfig", "User", "Entrypoint", "Cmd", "ExposedPorts",
    }  # fmt: skip
    assert set(full.body["HostConfig"]) == {
        "NetworkMode", "PortBindings", "Mounts", "Tmpfs", "ReadonlyRootfs", "CapDrop", "CapAdd", "SecurityOpt",
        "Privileged", "Init", "IpcMode", "CgroupnsMode", "LogConfig", "RestartPolicy", "AutoRemove", "Memory",
        "MemorySwap", "NanoCpus", "PidsLimit", "Ulimits", "Dns", "DnsOptions",
    }  # fmt: skip
    json.dumps(full.body)


# Network


@pytest.mark.parametrize("network", ["host", "bridge", "default", "container:abc", "mcpweb-other", ""])
def test_no_network_but_the_three_can_be_had(network: str) -> None:
    with pytest.raises(PolicyRefused):
        plan(network=network)


def test_the_three_networks_are_none_or_bridges_of_this_instance() -> None:
    assert plan(network="none").network is None and host(network="none")["NetworkMode"] == "none"
    published = plan(**HTTP)
    assert published.network == policy.Network("mcpweb-0a1b2c3d", masquerade=False)
    assert published.body["HostConfig"]["NetworkMode"] == "mcpweb-0a1b2c3d"
    outbound = plan(**{**HTTP, "network": "outbound"})
    assert outbound.network == policy.Network("mcpweb-0a1b2c3d-out", masquerade=True)


def test_a_port_is_published_on_loopback_only_and_names_are_no_way_out() -> None:
    made = plan(**HTTP).body["HostConfig"]
    assert made["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert made["Dns"] == ["127.0.0.1"]
    assert host()["PortBindings"] == {}


@pytest.mark.parametrize(
    "bad", [{"network": "none"}, {"port": None}, {"port": 0}, {"port": 65536}, {"path": "mcp"}, {"path": "/a b"}]
)
def test_an_http_server_needs_a_network_a_port_and_a_path(bad: dict[str, Any]) -> None:
    plan(**HTTP)
    with pytest.raises(PolicyRefused):
        plan(**{**HTTP, **bad})


def test_only_a_stdio_server_has_an_input_and_it_ends_with_our_stream() -> None:
    assert (plan().body["OpenStdin"], plan().body["StdinOnce"]) == (True, True)
    assert (plan(**HTTP).body["OpenStdin"], plan(**HTTP).body["StdinOnce"]) == (False, False)


# Capabilities


@pytest.mark.parametrize(
    "name",
    [
        "SYS_ADMIN", "CAP_SYS_ADMIN", "sys_admin", "ALL", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_MODULE", "MKNOD",
        "DAC_READ_SEARCH", "SYS_RAWIO", "BPF", "SETPCAP", "", "CHOWN,SYS_ADMIN",
    ],
)  # fmt: skip
def test_a_dangerous_capability_is_refused(name: str) -> None:
    with pytest.raises(PolicyRefused):
        plan(capabilities=(name,))


@pytest.mark.parametrize("name", sorted(policy.CAPABILITIES))
def test_a_harmless_capability_is_added_to_nothing(name: str) -> None:
    made = host(capabilities=(name,))
    assert (made["CapDrop"], made["CapAdd"]) == (["ALL"], [name])
    assert host(capabilities=(f"cap_{name}".lower(),))["CapAdd"] == [name]


# Binds


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, ...]:
    (tmp_path / "allowed/data").mkdir(parents=True)
    (tmp_path / "allowed/file.txt").write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "allowed-not").mkdir()
    return (tmp_path / "allowed",)


def bind(source: object, **changes: Any) -> dict[str, Any]:
    return {"mounts": (Mount(**{"type": "bind", "source": str(source), "target": "/data", **changes}),)}


def test_a_bind_under_a_root_is_read_only_private_and_not_recursive(roots: tuple[Path, ...]) -> None:
    for place in ("", "data", "file.txt"):
        (made,) = plan(roots, **bind(roots[0] / place)).body["HostConfig"]["Mounts"]
        assert made == {
            "Type": "bind",
            "Source": str((roots[0] / place).resolve()),
            "Target": "/data",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "private", "NonRecursive": True},
        }
    (loose,) = plan(roots, **bind(roots[0], read_only=False)).body["HostConfig"]["Mounts"]
    assert loose["ReadOnly"] is False


@pytest.mark.parametrize(
    "source", ["/", "/etc", "{root}/..", "{root}/../outside", "{root}-not", "{root}/data/../../outside", "relative", ""]
)
def test_a_bind_outside_the_roots_is_refused(roots: tuple[Path, ...], source: str) -> None:
    with pytest.raises(PolicyRefused):
        plan(roots, **bind(source.format(root=roots[0])))


def test_without_roots_nothing_can_be_bound(roots: tuple[Path, ...]) -> None:
    with pytest.raises(PolicyRefused, match="MCPWEB_BIND_ROOTS is empty"):
        plan((), **bind(roots[0]))


def test_a_symbolic_link_counts_as_what_it_points_to(roots: tuple[Path, ...]) -> None:
    (roots[0] / "inward").symlink_to(roots[0] / "data")
    (roots[0] / "outward").symlink_to(roots[0].parent / "outside")
    (roots[0] / "chain").symlink_to(roots[0] / "outward")
    (made,) = plan(roots, **bind(roots[0] / "inward")).body["HostConfig"]["Mounts"]
    assert made["Source"] == str((roots[0] / "data").resolve())
    for name in ("outward", "chain"):
        with pytest.raises(PolicyRefused, match="really"):
            plan(roots, **bind(roots[0] / name))


def test_a_root_that_is_itself_a_link_allows_what_is_really_in_it(roots: tuple[Path, ...]) -> None:
    link = roots[0].parent / "link"
    link.symlink_to(roots[0])
    plan((link,), **bind(roots[0] / "data"))
    plan((link,), **bind(link / "data"))
    with pytest.raises(PolicyRefused):
        plan((link,), **bind(roots[0].parent / "outside"))


def test_a_path_that_is_exchanged_after_the_check_is_noticed(roots: tuple[Path, ...]) -> None:
    source = roots[0] / "data"
    made = plan(roots, **bind(source))
    policy.check_again(made, roots, ADDRESS)
    (roots[0] / "new").mkdir()
    source.rmdir()
    source.symlink_to(roots[0].parent / "outside")
    with pytest.raises(PolicyRefused):
        policy.check_again(made, roots, ADDRESS)
    source.unlink()
    (roots[0] / "new").rename(source)  # the same path, another folder
    with pytest.raises(PolicyRefused, match="exchanged"):
        policy.check_again(made, roots, ADDRESS)


def test_the_engines_socket_and_every_folder_above_it_stay_out_even_under_a_root(tmp_path: Path) -> None:
    place = tmp_path / "run"
    (place / "near").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place / "docker.sock"))
        address = f"unix://{place}/docker.sock"
        for refused in (place / "docker.sock", place, tmp_path):
            with pytest.raises(PolicyRefused):
                plan((tmp_path,), address, **bind(refused))
        plan((tmp_path,), address, **bind(place / "near"))
        (tmp_path / "alias").symlink_to(place)
        with pytest.raises(PolicyRefused):
            plan((tmp_path,), address, **bind(tmp_path / "alias"))


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "/run/docker.sock", "/run", "/var/run", "/var", "/"])
def test_the_usual_places_of_engine_sockets_stay_out_under_the_widest_root(source: str) -> None:
    with pytest.raises(PolicyRefused):
        plan((Path("/"),), **bind(source))


def test_sockets_and_devices_are_never_mounted(roots: tuple[Path, ...]) -> None:
    os.mkfifo(roots[0] / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(roots[0] / "socket"))
        for name in ("fifo", "socket"):
            with pytest.raises(PolicyRefused, match="neither a folder nor a file"):
                plan(roots, **bind(roots[0] / name))
    with pytest.raises(PolicyRefused, match="neither"):
        plan((Path("/dev"),), **bind("/dev/null"))
    plan(roots, **bind(roots[0] / "file.txt"))


def test_an_engine_over_the_network_gets_no_binds_because_it_sees_other_files(roots: tuple[Path, ...]) -> None:
    with pytest.raises(PolicyRefused, match="over the network"):
        plan(roots, "tcp://127.0.0.1:2375", **bind(roots[0]))
    plan(roots, ADDRESS, **bind(roots[0]))


def test_what_does_not_exist_is_not_made_by_mounting_it(roots: tuple[Path, ...]) -> None:
    with pytest.raises(PolicyRefused, match="cannot be mounted"):
        plan(roots, **bind(roots[0] / "missing"))


# Places in the container


@pytest.mark.parametrize(
    "target",
    ["/", "//", "/.", "", "data", "/data/..", "/../etc", "/proc", "/proc/self", "/sys/fs", "/dev", "/dev/shm", "/a\0b"],
)
def test_nothing_is_put_over_the_root_or_the_systems_folders(target: str) -> None:
    for config in (
        {"tmpfs": {target: "64m"}},
        {"mounts": (Mount("volume", "data", target),)},
    ):
        with pytest.raises(PolicyRefused):
            plan(**config)


@pytest.mark.parametrize("target", ["/data", "/tmp", "/var/lib/x/", "/processes", "/system", "/developer"])
def test_other_places_can_be_had(target: str) -> None:
    plan(tmpfs={target: "64m"})
    plan(tmpfs={}, mounts=(Mount("volume", "data", target),))


def test_two_things_cannot_have_one_place() -> None:
    plan(tmpfs={"/tmp": "1m"}, mounts=(Mount("volume", "data", "/data"),))
    with pytest.raises(PolicyRefused, match="same place"):
        plan(tmpfs={"/tmp": "1m"}, mounts=(Mount("volume", "data", "/tmp/"),))
    with pytest.raises(PolicyRefused, match="same place"):
        plan(mounts=(Mount("volume", "a", "/data"), Mount("volume", "b", "/data")))


@pytest.mark.parametrize("size", ["", "0", "4095", "100g", "64m,exec", "64m,mode=4777", "-1m", "1t", "50%", "1.5m"])
def test_a_tmpfs_has_a_size_and_no_other_words(size: str) -> None:
    with pytest.raises(PolicyRefused):
        plan(tmpfs={"/tmp": size})


@pytest.mark.parametrize(("size", "bytes_"), [("4096", 4096), ("64k", 65536), ("64m", 2**26), ("1G", 2**30)])
def test_a_tmpfs_of_any_size_is_without_programs_and_devices(size: str, bytes_: int) -> None:
    assert host(tmpfs={"/tmp": size})["Tmpfs"] == {"/tmp": f"rw,nosuid,nodev,noexec,size={bytes_},mode=1777"}


def test_a_volume_the_image_asks_for_becomes_a_tmpfs_unless_something_is_there() -> None:
    made = plan(mounts=(Mount("volume", "data", "/data"),))
    with_image = policy.with_image(made, {"/data": {}, "/cache": {}, "/tmp/": {}})
    assert set(with_image.body["HostConfig"]["Tmpfs"]) == {"/tmp", "/cache"}
    assert policy.with_image(made, None).body == made.body
    with pytest.raises(PolicyRefused):
        policy.with_image(made, {"/proc/x": {}})


# Volumes


def test_a_volume_is_always_one_of_this_instance_and_has_no_options() -> None:
    made = plan(mounts=(Mount("volume", "data", "/data", read_only=False),))
    assert made.volumes == ("mcpweb-0a1b2c3d-data",)
    assert made.body["HostConfig"]["Mounts"] == [
        {"Type": "volume", "Source": "mcpweb-0a1b2c3d-data", "Target": "/data", "ReadOnly": False}
    ]
    assert plan(mounts=(Mount("volume", "mcpweb-0a1b2c3d-data", "/data"),)).volumes == made.volumes
    assert plan(mounts=(Mount("volume", "mcpweb-ffffffff-data", "/data"),)).volumes != ("mcpweb-ffffffff-data",)


@pytest.mark.parametrize("name", ["", "/etc", "../x", "a/b", "-a", "a b", "a" * 64, "a,volume-opt=type=nfs"])
def test_a_volume_name_is_only_a_name(name: str) -> None:
    with pytest.raises(PolicyRefused):
        plan(mounts=(Mount("volume", name, "/data"),))


@pytest.mark.parametrize("kind", ["tmpfs", "npipe", "cluster", ""])
def test_no_other_kind_of_mount_can_be_had(kind: Any) -> None:
    with pytest.raises(PolicyRefused):
        plan(mounts=(Mount(kind, "data", "/data"),))


# Limits and words


@pytest.mark.parametrize(
    "limits",
    [
        Limits(memory_mb=5), Limits(memory_mb=0), Limits(memory_mb=-1), Limits(memory_mb=2**40), Limits(cpus=0),
        Limits(cpus=-1), Limits(cpus=float("inf")), Limits(cpus=float("nan")), Limits(pids=0), Limits(pids=-1),
        Limits(pids=3), Limits(pids=2**31),
    ],
)  # fmt: skip
def test_there_is_no_unlimited(limits: Limits) -> None:
    with pytest.raises(PolicyRefused):
        plan(limits=limits)


@pytest.mark.parametrize("limits", [Limits(), Limits(6, 0.01, 4), Limits(65536, 64, 65536)])
def test_limits_in_bounds_are_set_and_swap_adds_nothing(limits: Limits) -> None:
    made = host(limits=limits)
    assert made["Memory"] == made["MemorySwap"] == limits.memory_mb * 2**20
    assert made["NanoCpus"] == limits.cpus * 1e9 and made["PidsLimit"] == limits.pids


@pytest.mark.parametrize("user", ["", "-1", "root:", ":0", "a b", "0;id", "--privileged", "1000:1000:1000", "a" * 33])
def test_a_user_is_a_number_or_a_name(user: str) -> None:
    with pytest.raises(PolicyRefused):
        plan(user=user)


@pytest.mark.parametrize("user", ["0", "1000", "1000:1000", "nobody", "app_user:staff"])
def test_users_that_images_have_can_be_named(user: str) -> None:
    assert plan(user=user).body["User"] == user


@pytest.mark.parametrize("environment", [{"": "x"}, {"A=B": "x"}, {"1A": "x"}, {"A B": "x"}, {"A": "x\0y"}, {"Ä": "x"}])
def test_an_environment_variable_has_a_name(environment: Mapping[str, str]) -> None:
    with pytest.raises(PolicyRefused):
        plan(environment=environment)


def test_values_of_variables_arrive_as_they_are() -> None:
    hostile = "a=b\n$(id) 'x' \"y\" ;"
    assert plan(environment={"A_1": hostile, "_b": ""}).body["Env"] == [f"A_1={hostile}", "_b="]


@pytest.mark.parametrize("field", ["entrypoint", "command"])
def test_commands_are_words_not_shell_lines(field: str) -> None:
    key = {"entrypoint": "Entrypoint", "command": "Cmd"}[field]
    assert plan(**{field: ("sh", "-c", "a b; c")}).body[key] == ["sh", "-c", "a b; c"]
    assert key not in plan().body
    with pytest.raises(PolicyRefused):
        plan(**{field: ("a\0b",)})
    with pytest.raises(PolicyRefused):
        plan(**{field: ("x" * 140_000,)})


def test_labels_of_the_runtime_cannot_be_given_from_outside() -> None:
    made = policy.plan(replace(intent(), labels={"team": "a"}), (), ADDRESS)
    assert made.body["Labels"] == {
        "team": "a",
        "mcpweb.instance": "ins_000000000a1b2c3d",
        "mcpweb.server_id": "srv_policy",
        "mcpweb.server": "policy",
        "mcpweb.role": "server",
        "mcpweb.config_hash": "hash",
    }
    for name in ("mcpweb.instance", "mcpweb.role"):
        with pytest.raises(PolicyRefused):
            policy.plan(replace(intent(), labels={name: "other"}), (), ADDRESS)


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a b", "a?x=1", "../a", "a" * 200])
def test_a_container_name_is_only_a_name(name: str) -> None:
    with pytest.raises(PolicyRefused):
        policy.plan(replace(intent(), name=name), (), ADDRESS)


def test_a_checked_target_is_the_plain_path() -> None:
    assert mounts.check_target("/var/lib/x/") == "/var/lib/x"
