"""The examples pass their own tests, and are installed into an environment and used there as an administrator would."""
from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mcpweb.testing.served import Served
from tests.apart import ROOT, environment_at

EXAMPLES = ROOT / "examples"
NOWHERE = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": "/dev/null", "PIP_RETRIES": "0"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_at(tmp_path_factory.mktemp("apart") / "venv")


def part(name: str, file: str, folder: str) -> ModuleType:
    """Load a module of an example's tests."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / folder / file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_an_example_is_in_order_and_its_own_tests_pass(folder: str, tmp_path: Path) -> None:
    here = Served(tmp_path)
    assert "is fine." in here.cli("plugins", "check", str(EXAMPLES / folder))
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=EXAMPLES / folder, capture_output=True, text=True)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout[-3000:]


def test_keys_of_an_installation_stand_under_the_stand_in_of_vault(python: Path, tmp_path: Path) -> None:
    stand_in = part("transit_server", "tests/transit_server.py", "keysource_vault_transit")
    (tmp_path / "token").write_text(stand_in.TOKEN + "\n")
    with stand_in.TransitServer() as vault:
        here = Served(tmp_path, python=str(python), **NOWHERE)
        here.cli("plugins", "install", str(EXAMPLES / "keysource_vault_transit"), "--yes")
        here.environment |= {
            "MCPWEB_DATA_DIR": str(tmp_path / "first" / "data"), "MCPWEB_KEY_SOURCE": "vault_transit", "MCPWEB_PLUGIN_VAULT_TRANSIT_ADDRESS": vault.address,
            "MCPWEB_PLUGIN_VAULT_TRANSIT_TOKEN_FILE": str(tmp_path / "token"),
        }
        here.cli("keys", "add", "team", "--source", "vault_transit")
        here.cli("secrets", "set", "API_KEY", "--key", "team", given="canary of the team")
        assert any(path.startswith("POST /v1/transit/encrypt") for path in vault.asked)
        here.cli("keys", "rotate", "team")
        here.cli("keys", "verify")
        before = vault.keys["mcpweb"].latest
        here.cli("keys", "rotate-kek")
        assert vault.keys["mcpweb"].latest == before + 1
        here.cli("keys", "verify")
        vault.sealed = True
        here.cli("secrets", "set", "OTHER", "--key", "team", code=2, given="value")
        assert "503" in here.stderr and stand_in.TOKEN not in here.stderr
        vault.sealed = False
        here.cli("secrets", "set", "OTHER", "--key", "team", given="value")
        here.cli("plugins", "uninstall", "vault_transit", "--yes", code=2)
        assert "needs vault_transit" in here.stderr


def test_a_failed_run_of_an_installation_reaches_the_webhook(python: Path, tmp_path: Path) -> None:
    tests = part("webhook_tests", "tests/test_plugin.py", "notifier_webhook") if importlib.util.find_spec("mcpweb_notifier_webhook") else None
    assert tests is None, "the example is installed in the environment of the tests"
    sys.path.insert(0, str(EXAMPLES / "notifier_webhook" / "src"))
    try:
        receiver = part("webhook_tests", "tests/test_plugin.py", "notifier_webhook").Receiver()
    finally:
        sys.path.remove(str(EXAMPLES / "notifier_webhook" / "src"))
    here = Served(tmp_path, python=str(python), **NOWHERE)
    here.cli("plugins", "install", str(EXAMPLES / "notifier_webhook"), "--yes")
    (tmp_path / "secret").write_text("a secret of the webhook\n")
    here.environment |= {
        "MCPWEB_PLUGIN_NOTIFIER_WEBHOOK_URL": receiver.url, "MCPWEB_PLUGIN_NOTIFIER_WEBHOOK_TRUSTED_HOSTS": "127.0.0.1",
        "MCPWEB_PLUGIN_NOTIFIER_WEBHOOK_SECRET_FILE": str(tmp_path / "secret"),
    }
    program = (
        "from mcpweb.core import open_core; from mcpweb.events import TestRunFinished; core = open_core(); core.plugins.ready(core);"
        "core.announce(TestRunFinished('cli:tester', 'run_bad', 'srv_1', 'fail'))"
    )
    subprocess.run([python, "-c", program], env=here.environment, check=True, timeout=60)
    ((headers, body),) = receiver.heard
    assert json.loads(body)["run_id"] == "run_bad" and headers["x-mcpweb-signature"].startswith("t=")
    receiver.close()
