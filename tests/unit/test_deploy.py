"""What `deploy/` holds is true: settings that exist, a credential the key source looks for, and a unit systemd accepts."""
from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mcpweb.dao.gauges import COUNTS
from mcpweb.services import gauges
from mcpweb.settings import PREFIX, SETTINGS

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy/mcpweb.service"
OPERATIONS = (ROOT / "mcpweb/docs/operations.md").read_text()


def test_the_unit_sets_what_exists_and_mounts_the_credential_the_key_source_reads() -> None:
    text = UNIT.read_text()
    names = [name for name in re.findall(r"^Environment=(\w+)=", text, re.M) if not name.startswith(f"{PREFIX}PLUGIN_")]
    assert names and set(names) <= {PREFIX + setting.name for setting in SETTINGS}
    (credential,) = re.findall(r"^LoadCredential=([\w.]+):", text, re.M)
    assert f'"{credential}"' in (ROOT / "plugins/keysource_file/given.py").read_text()
    assert '"SECRETS_DIR"' in (ROOT / "plugins/runtime_docker/__init__.py").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd-analyze")
def test_systemd_takes_every_line_of_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    wrong = [line for line in done.stderr.splitlines() if UNIT.name in line and "not-found" not in line and "not found" not in line]
    assert not wrong, done.stderr


def test_in_the_compose_file_nothing_but_the_proxy_has_the_engines_socket_and_nothing_has_rights() -> None:
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    assert [name for name, one in services.items() if any("/docker.sock:" in mount for mount in one["volumes"])] == ["engine-proxy"]
    for one in services.values():
        assert one["read_only"] and one["cap_drop"] == ["ALL"] and one["security_opt"] == ["no-new-privileges:true"]
        assert one["mem_limit"] and one["pids_limit"] and not {"privileged", "cap_add", "devices", "pid", "ipc", "ports"} & set(one)
    proxy = services["engine-proxy"]
    assert proxy["network_mode"] == "none" and proxy["environment"]["SP_ALLOWBINDMOUNTFROM"] == "/run/mcpweb"
    names = set(services["mcpweb"]["environment"]) | set(re.findall(r"\b(MCPWEB_\w+)=", (ROOT / "deploy/Dockerfile").read_text()))
    assert {"MCPWEB_DATA_DIR", "MCPWEB_KEY_FILE"} <= names <= {PREFIX + setting.name for setting in SETTINGS}


def test_the_operations_tell_how_many_calls_the_list_has_and_name_the_files_that_are_there() -> None:
    listed = re.findall(r"^#   \w+ +/", (ROOT / "deploy/socket-proxy.env").read_text(), re.M)
    assert f"{len(listed)} calls" in OPERATIONS
    assert all((ROOT / name).exists() for name in re.findall(r"deploy/[\w.-]+\w", OPERATIONS))


def test_every_metric_is_explained() -> None:
    told = set(re.findall(r"mcpweb_\w+", OPERATIONS))
    source = Path(gauges.__file__).read_text()
    names = {*COUNTS, *re.findall(r'_one\("(\w+)"', source), *re.findall(r'Gauge\("(\w+)"', source)}
    assert {f"mcpweb_{name}" for name in names} <= told and len(names) >= 12
