"""What is installed is whole: the wheel, made from the source archive, works on another path with nothing of the checkout in reach."""
from __future__ import annotations

import itertools
import os
import resource
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"mcpweb": "mcpweb", "sql": "mcpweb/_sql", "templates": "mcpweb/_templates", "plugins": "mcpweb/_plugins"}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def files_of(folder: Path) -> Iterator[str]:
    """Yield what a person wrote there; what Python leaves behind is nobody's."""
    for file in folder.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
            yield file.relative_to(folder).as_posix()


def build(source: Path, target: str, folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)], cwd=source, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build(source, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a program of an environment that holds the wheel; libraries are those of this one."""
    place = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "venv")], check=True)
    bin_ = place / "venv/bin"
    (libraries,) = (place / "venv/lib").glob("python*/site-packages")
    (libraries / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # a path alone: no .pth there is read, so no checkout
    with zipfile.ZipFile(wheel) as file:
        file.extractall(libraries)
    command = bin_ / "mcpweb"  # what pip makes of [project.scripts]
    command.write_text(f"#!{bin_ / 'python'}\nimport sys\nfrom mcpweb.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    environment = {
        "PATH": f"{bin_}:{os.environ['PATH']}", "HOME": str(place), "MCPWEB_DATA_DIR": str(place / "data"),
        "DOCKER_HOST": f"unix://{place}/no-engine.sock",
    }

    def run(*words: str, input: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(bin_ / words[0]), *words[1:]], env=environment | more, cwd=place, input=input, capture_output=True, text=True, timeout=60,
        )

    run.popen = lambda *words, **more: subprocess.Popen(  # type: ignore[attr-defined]
        [str(bin_ / words[0]), *words[1:]], env=environment | more, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    return run


def test_the_wheel_holds_every_file_of_the_checkout_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    wanted = {f"{inside}/{name}" for folder, inside in FOLDERS.items() for name in files_of(ROOT / folder)}
    assert held == wanted
    for one in ("static/app.css", "locale/ja/LC_MESSAGES/mcpweb.mo", "catalogs/suggestions.yaml", "docs/security.md", "_templates/base.html"):
        assert f"mcpweb/{one}" in held


def test_the_source_archive_can_be_built_tested_and_read(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    for folder in (*FOLDERS, "tests", "e2e", "tools", "benchmarks", "deploy", "examples"):
        assert {f"{folder}/{name}" for name in files_of(ROOT / folder)} <= held, folder
    assert {"README.md", "LICENSE", "Makefile", "pyproject.toml", "requirements.lock", "wsgi.py"} <= held


def needed(name: str, extras: frozenset[str] = frozenset(), found: dict[str, metadata.Distribution] | None = None) -> dict[str, metadata.Distribution]:
    """Return a distribution and all it needs here, by the names of their metadata."""
    found = {} if found is None else found
    own = metadata.distribution(name)
    found[canonicalize_name(name)] = own
    for line in own.requires or ():
        wanted = Requirement(line)
        if canonicalize_name(wanted.name) not in found and any(
            wanted.marker is None or wanted.marker.evaluate({"extra": extra}) for extra in extras or {""}
        ):
            needed(wanted.name, frozenset(wanted.extras), found)
    return found


def test_an_installation_is_small(wheel: Path) -> None:
    """As packages ship it; the bytecode that pip adds is another 23 MB."""
    libraries: dict[str, metadata.Distribution] = {}
    with zipfile.ZipFile(wheel) as file:
        (about,) = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        lines = message_from_bytes(file.read(about)).get_all("Requires-Dist") or []
        size = sum(one.file_size for one in file.infolist())
    for wanted in map(Requirement, lines):
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            needed(wanted.name, frozenset(wanted.extras), libraries)
    for one in libraries.values():
        size += sum(file.size or 0 for file in one.files or () if file.suffix != ".pyc")
    assert 30 < len(libraries) + 1 <= 55, sorted(libraries)
    assert 40e6 < size < 80e6, f"{size / 1e6:.1f} MB"


def test_nothing_of_the_checkout_is_used_where_the_wheel_is(run: Run) -> None:
    done = run("python", "-c", "import mcpweb.paths as p; print(p.SQL, p.TEMPLATES, p.PLUGINS, p.STATIC, p.LOCALE, p.DOCS)")
    places = done.stdout.split()
    assert len(places) == 6 and all("elsewhere" in one and Path(one).is_dir() for one in places), done.stdout + done.stderr


def test_help_and_the_documents_are_there_and_help_costs_little(run: Run) -> None:
    run("mcpweb", "--help")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("mcpweb", "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and "servers" in done.stdout, done.stderr
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 0.45, f"{spent:.2f} s CPU; 0.12 on a quiet machine"
    for hooks in (run("mcpweb", "docs", "hooks"), run("mcpweb", "--version")):
        assert hooks.returncode == 0 and hooks.stdout, hooks.stderr


def test_help_loads_neither_the_engine_nor_the_protocol_nor_the_web(run: Run) -> None:
    heavy = ("mcp", "mcp_types", "docker", "requests", "pydantic", "flask", "cryptography")
    program = "from mcpweb.cli import cli; cli(['--help'], standalone_mode=False)"
    done = run("python", "-c", f"import sys; {program}; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout + done.stderr


def test_a_database_is_made_a_key_rotated_and_the_log_proven_elsewhere(run: Run) -> None:
    for words, given in (
        (("db", "migrate"), None), (("secrets", "set", "TOKEN"), "a value of some length"), (("keys", "rotate", "main"), None),
        (("audit", "verify"), None), (("plugins", "list"), None),
    ):
        done = run("mcpweb", *words, input=given)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        if words[0] == "plugins":
            assert all(name.name in done.stdout for name in (ROOT / "plugins").iterdir() if name.joinpath("__init__.py").exists())
            assert "broken" not in done.stdout


def test_it_is_served_elsewhere_with_its_style_in_both_languages_and_counts_over_both_processes(run: Run) -> None:
    assert run("mcpweb", "users", "add", "ada", "--role", "viewer", "--password-stdin", input="seven tall lighthouses").returncode == 0
    token = run("mcpweb", "tokens", "create", "--user", "ada", "--name", "prometheus").stdout.strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = run.popen("mcpweb", "serve", MCPWEB_BIND=f"127.0.0.1:{port}", MCPWEB_WEB_WORKERS="2")  # type: ignore[attr-defined]
    try:
        until = time.monotonic() + 30
        while _get(f"{url}/healthz") is None:
            assert process.poll() is None and time.monotonic() < until, "it is not served"
            time.sleep(0.1)
        page = _get(f"{url}/sign-in", "ja") or ""
        assert "サインイン" in page
        style = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        assert "@layer" in (_get(url + style) or "")
        assert _get(f"{url}/api/v1/openapi.json")
        while not process.stdout.readline().startswith("URL: "):  # until then serve itself asks whether it is answered
            assert process.poll() is None
        told = [_get(f"{url}/metrics", token=token) or "" for _ in range(8)]
        counts = [float(one.partition("mcpweb_http_request_seconds_count ")[2].split()[0]) for one in told]
        assert [later - sooner for sooner, later in itertools.pairwise(counts)] == [1.0] * 7, counts
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[0]
    assert process.returncode == 0, said


def _get(url: str, language: str = "en", token: str = "") -> str | None:
    """Return what is answered with 200, None for anything else."""
    try:
        headers = {"Accept-Language": language} | ({"Authorization": f"Bearer {token}"} if token else {})
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return str(answer.read().decode())
    except (OSError, urllib.error.HTTPError):
        return None
