"""Plugins are installed and removed with pip of our environment: audited, without a network, and taken back when they do not fit."""
from __future__ import annotations

import hashlib
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpweb.errors import Conflict
from mcpweb.kit import pip
from mcpweb.kit.new import new
from mcpweb.settings import load
from mcpweb.testing.served import Served
from tests.apart import environment_at

NOWHERE = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_at(tmp_path_factory.mktemp("apart") / "venv")


@pytest.fixture
def here(tmp_path: Path, python: Path) -> Iterator[Served]:
    made = Served(tmp_path, python=str(python), **NOWHERE)
    yield made
    for left in python.parents[1].glob("lib/*/site-packages/mcpweb_*"):
        shutil.rmtree(left)


def audited(here: Served, action: str) -> list[dict]:
    return here.json("audit", "list", "--action", action)["items"]


def test_a_project_is_installed_without_a_network_used_audited_and_removed(here: Served, tmp_path: Path) -> None:
    new("mine", "testtype", tmp_path)
    project = tmp_path / "mcpweb-plugin-mine"
    here.cli("plugins", "install", str(project), code=2)
    assert "every secret" in here.stderr and "--yes" in here.stderr and "mine" not in here.cli("plugins", "list")
    told = here.json("plugins", "install", str(project), "--yes")
    assert told == {"name": "mine", "distribution": "mcpweb-plugin-mine", "version": "0.1.0"} and "every secret" in here.stderr
    found = here.json("plugins", "info", "mine")
    assert (found["state"], found["source"], found["version"]) == ("loaded", "installed", "0.1.0")
    (row,) = audited(here, "plugin.install")
    source = (project / "src" / "mcpweb_mine" / "__init__.py").read_bytes()
    assert row["target"] == "mine" and row["detail"]["version"] == "0.1.0"
    assert row["detail"]["files"]["mcpweb_mine/__init__.py"] == hashlib.sha256(source).hexdigest() and len(row["detail"]["sha256"]) == 64

    here.cli("plugins", "uninstall", "mine", code=2)
    assert here.json("plugins", "uninstall", "mine", "--yes")["name"] == "mine"
    here.cli("plugins", "info", "mine", code=2)
    assert audited(here, "plugin.uninstall")[0]["detail"]["distribution"] == "mcpweb-plugin-mine"
    here.cli("audit", "verify")


def test_what_is_not_in_order_is_not_installed(here: Served, tmp_path: Path) -> None:
    new("mine", "events", tmp_path)
    module = tmp_path / "mcpweb-plugin-mine" / "src" / "mcpweb_mine" / "__init__.py"
    module.write_text(module.read_text().replace("mcpweb_api = 1", "mcpweb_api = 2"))
    here.cli("plugins", "install", str(tmp_path / "mcpweb-plugin-mine"), "--yes", code=2)
    assert "plugin API 2" in here.stderr and "mine" not in here.cli("plugins", "list")
    assert audited(here, "plugin.install.refused") and not audited(here, "plugin.install")


@pytest.mark.parametrize(("given", "said"), [("--index-url=http://127.0.0.1:9", "No such option"), ("no-such-distribution-of-ours==1", "pip install failed")])
def test_what_is_no_plugin_is_refused(here: Served, given: str, said: str) -> None:
    here.cli("plugins", "install", given, "--yes", code=2)
    assert said in here.stderr


def test_a_name_that_is_taken_is_taken_out_again(here: Served, tmp_path: Path) -> None:
    new("keysource_file", "events", tmp_path)
    here.cli("plugins", "install", str(tmp_path / "mcpweb-plugin-keysource-file"), "--yes", code=2)
    assert "already" in here.stderr
    assert here.json("plugins", "info", "keysource_file")["source"] == "built-in"


def test_what_keys_need_and_what_pip_did_not_bring_stays(here: Served, tmp_path: Path) -> None:
    new("mine", "cipher", tmp_path)
    here.cli("plugins", "install", str(tmp_path / "mcpweb-plugin-mine"), "--yes")
    here.cli("keys", "add", "team", "--cipher", "MINE")
    here.cli("plugins", "uninstall", "mine", "--yes", code=2)
    assert "Version 1 of the key team needs mine" in here.stderr and here.json("plugins", "info", "mine")["state"] == "loaded"
    here.cli("plugins", "uninstall", "cipher_aesgcm", "--yes", code=2)
    assert "not installed with pip" in here.stderr
    here.cli("plugins", "uninstall", "nobody", "--yes", code=2)


def test_an_environment_that_cannot_be_written_tells_the_line_for_the_dockerfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"purelib": "/proc/self"})
    settings = load({"MCPWEB_DATA_DIR": str(tmp_path / "data")})
    for given, line in (("some-plugin==1.2", "RUN pip install some-plugin==1.2"), (str(tmp_path), f"COPY {tmp_path.name} /tmp/plugin")):
        with pytest.raises(Conflict) as caught:
            pip.install(given, settings)
        assert line in caught.value.next_step and "cannot be written" in caught.value.detail
