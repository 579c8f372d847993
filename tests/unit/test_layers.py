"""Arrows point down: who may import whom, read from the source."""
from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEAVES = {"errors", "ids", "clock", "settings", "paths", "contracts", "events", "wire", "logstore", "passwords", "hookspecs", "origin", "files", "keyinput", "redaction", "processes", "logs", "permissions", "safefetch"}
# layer: what it may import of ours, beside the leaves and itself
MAY = {
    "db": set(),
    "dao": {"db"},
    "schemas": {"dao", "pluginhost"},
    "mcp": set(),
    "catalogs": {"schemas"},
    "vault": {"db", "dao"},
    "fitness": {"db"},
    "failpoints": set(),
    "pluginchoices": set(),
    "plugincalls": set(),
    "pluginload": {"pluginhost"},
    "pluginhost": {"plugincalls", "pluginchoices", "pluginprobe"},
    "kit": {"pluginhost", "pluginload", "pluginprobe"},
    "signing": set(),
    "checkpoints": {"signing"},
    "segments": {"signing"},
    "apart": {"core", "line", "schemas", "services"},
    "core": {"db", "dao", "pluginhost", "instance", "line", "vault", "checkpoints"},
    "reports": {"dao"},
    "services": {"reports", "catalogs", "core", "db", "dao", "schemas", "instance", "line", "pluginhost", "pluginchoices", "pluginprobe", "kit", "demo", "images", "vault", "failpoints", "signing", "checkpoints", "segments"},
    "bench": {"core", "mcp", "pluginhost", "line", "schemas", "services", "images", "instance"},
    "worker": {"core", "db", "dao", "schemas", "services", "bench", "mcp", "instance", "line", "fitness", "apart"},
    "web": {"catalogs", "reports", "core", "dao", "schemas", "services", "db", "rest"},
    "rest": {"catalogs", "reports", "core", "dao", "schemas", "services", "web", "apart"},
    "demo": {"images"},
    "images": set(),
}


def imports(path: Path) -> frozenset[str]:
    """Return the second words of all ``mcpweb.x`` imports that run (type-checking ones do not)."""
    return _read(path)[0]


def libraries(path: Path) -> frozenset[str]:
    """Return the first words of all imports, those for type checking too."""
    return _read(path)[1]


@functools.cache
def _read(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    found, all_words = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            all_words.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            all_words |= {alias.name.split(".")[0] for alias in node.names}
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            words = node.module.split(".")
            if words[0] == "mcpweb":
                found |= {words[1]} if len(words) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("mcpweb.")}
    return frozenset(found - {"__version__"}), frozenset(all_words)


@pytest.mark.parametrize("layer", sorted(MAY))
def test_no_arrow_points_up(layer: str) -> None:
    place = ROOT / "mcpweb" / layer
    files = list(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert files
    for file in files:
        wrong = imports(file) - LEAVES - MAY[layer] - {layer}
        assert not wrong, f"{file.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_leaves_import_only_leaves() -> None:
    for leaf in LEAVES - {"hookspecs"}:
        place = ROOT / "mcpweb" / leaf
        for file in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
            wrong = imports(file) - LEAVES
            assert not wrong, f"{leaf} imports {wrong}"


def test_plugins_import_what_they_may_and_nothing_more() -> None:
    for file in (ROOT / "plugins").rglob("*.py"):
        wrong = imports(file) - {"plugin"}
        assert not wrong, f"{file.relative_to(ROOT)} imports mcpweb.{', mcpweb.'.join(sorted(wrong))}"


@pytest.mark.parametrize(("library", "allowed"), [("docker", "plugins/runtime_docker"), ("mcp", "mcpweb/mcp"), ("pysqlite3", "mcpweb/db/driver.py")])
def test_a_library_has_one_place(library: str, allowed: str) -> None:
    for folder in ("mcpweb", "plugins"):
        for file in (ROOT / folder).rglob("*.py"):
            place = str(file.relative_to(ROOT))
            if place.startswith((allowed, "mcpweb/bench/preload.py", "mcpweb/testing/")):
                continue
            assert library not in libraries(file), f"{place} imports {library}"


def test_the_web_process_imports_neither_docker_nor_mcp(tmp_path: Path) -> None:
    code = (
        "import sys; from mcpweb import create_app; app = create_app();"
        "app.test_client().get('/sign-in');"
        "bad = [m for m in ('docker', 'mcp', 'requests', 'mcp_types') if m in sys.modules]; print(bad); sys.exit(bool(bad))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": "/usr/bin", "MCPWEB_DATA_DIR": str(tmp_path / "d"), "HOME": str(tmp_path)},
        capture_output=True, text=True, cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_worker_that_has_no_session_has_no_sdk_either_and_plugins_load_into_little_memory(tmp_path: Path) -> None:
    code = (
        "import resource, sys, mcpweb.worker; before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "from mcpweb.core import load_plugins; from mcpweb.settings import load; load_plugins(load());"
        "grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024;"
        "bad = [m for m in ('mcp', 'mcp_types', 'docker', 'jsonschema_rs', 'jsonpath') if m in sys.modules]; print(bad, grown);"
        "sys.exit(bool(bad) or grown > 20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": "/usr/bin", "MCPWEB_DATA_DIR": str(tmp_path / "d"), "HOME": str(tmp_path)},
        capture_output=True, text=True, cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_product_code_knows_a_server_by_name() -> None:
    names = ("mcp-server-time", "server-everything", "server-filesystem", "get_current_time", "convert_time")
    for folder in ("mcpweb", "plugins", "templates"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".html", ".js"):
                text = file.read_text()
                assert not [name for name in names if name in text], file


def test_no_environment_is_read_outside_the_settings() -> None:
    allowed = {"settings.py", "supervisor.py", "gunicorn_conf.py", "served.py", "commands.py", "base.py", "server.py", "run.py"}
    for file in (ROOT / "mcpweb").rglob("*.py"):
        if file.name not in allowed:
            assert "os.environ" not in file.read_text(), file
