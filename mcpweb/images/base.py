"""A Python root file system for images: an official one where a registry answers, else Debian packages unpacked."""
from __future__ import annotations

import atexit
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mcpweb.errors import Conflict

OFFICIAL = "python:3.13-slim"
UNPACK_S = 300
PACKAGES = "python3,dash,coreutils,ca-certificates"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"


class DemoUnavailable(Conflict):
    code, title = "demo_unavailable", "The demo image cannot be built"


class Engine(Protocol):
    """What building needs of an engine."""

    def has_image(self, reference: str) -> bool: ...

    def load(self, archive: Path) -> None: ...

    def save(self, reference: str, archive: Path) -> None: ...

    def pull(self, reference: str, timeout_s: float) -> bool: ...


@dataclass(frozen=True)
class Rootfs:
    """Layers (uncompressed tar files) that hold a runnable python3."""

    layers: tuple[Path, ...]
    architecture: str
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment: Mapping[str, str] = field(default_factory=dict)


def cache_folder() -> Path:
    """Where unpacked bases are kept between builds."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) / "mcpweb"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def python_base(engine: Engine, say: Callable[[str], None]) -> Rootfs:
    """Return a base with python3. Raises DemoUnavailable."""
    if engine.has_image(OFFICIAL) or (not can_unpack_debian() and _pulled(engine, say)):
        return _from_image(engine, OFFICIAL)
    if can_unpack_debian():
        return debian_base("python", PACKAGES, say)
    raise DemoUnavailable(
        f"The engine cannot pull {OFFICIAL}, and there is no mmdebstrap here that may be used.",
        next_step="Let the engine reach a registry, or on Debian or Ubuntu install mmdebstrap and run this as root.",
    )


def _pulled(engine: Engine, say: Callable[[str], None]) -> bool:
    say(f"Pulling {OFFICIAL} …")
    return engine.pull(OFFICIAL, 120.0)


def can_unpack_debian() -> bool:
    """Tell whether Debian packages can be unpacked here."""
    return sys.platform == "linux" and shutil.which("mmdebstrap") is not None and os.geteuid() == 0


def architecture() -> str:
    """Return this machine's architecture as images name it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def debian_base(name: str, packages: str, say: Callable[[str], None]) -> Rootfs:
    """Unpack Debian packages into one layer, kept in the cache folder."""
    kept = cache_folder() / f"debian-{name}-{architecture()}.tar"
    if not kept.exists():
        say(f"Unpacking {packages} from Debian …")
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        with tempfile.TemporaryDirectory(prefix="mcpweb-base-", dir=memory) as folder:
            root = Path(folder) / "root"
            command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract", f"--include={packages}"]
            _run([*command, _suite(), str(root)])
            _finish(root)
            fresh = kept.with_suffix(f".{os.getpid()}")
            with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as tar:
                tar.add(root, arcname=".", filter=_plain)
            fresh.replace(kept)
    return Rootfs((kept,), architecture())


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=UNPACK_S, check=False)
        said = done.stderr.decode(errors="replace").strip()[-300:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        said = f"it was not done after {UNPACK_S} s"
    if said:
        raise DemoUnavailable(f"mmdebstrap failed: {said}", next_step="Check that apt works on this machine.")


def _suite() -> str:
    facts = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    return facts.get("VERSION_CODENAME", "bookworm").strip('"')


def _finish(root: Path) -> None:
    """Do by hand what the packages' scripts would have done."""
    for place in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt", "var/cache"):
        shutil.rmtree(root / place, ignore_errors=True)
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(_GROUP)
    for folder in ("tmp", "data"):
        (root / folder).mkdir(exist_ok=True)
        (root / folder).chmod(0o1777)
    shell = root / "bin/sh"
    if not shell.exists() and (root / "bin/dash").exists():
        shell.symlink_to("dash")
    library = next(root.glob("usr/lib/python3.*"), None)
    python = next(root.glob("usr/bin/python3.*"), None)
    if library is not None and python is not None and python.name == f"python3.{sys.version_info.minor}":
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", "-s", str(root), "--invalidation-mode", "unchecked-hash",
             str(library)], capture_output=True, timeout=120, check=False,
        )


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime = 0
    info.uname = info.gname = ""
    return info


def _from_image(engine: Engine, reference: str) -> Rootfs:
    """Take the layers of an image the engine has."""
    folder = Path(tempfile.mkdtemp(prefix="mcpweb-base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    archive = folder / "image.tar"
    engine.save(reference, archive)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    manifest = json.loads((folder / "manifest.json").read_text())[0]
    config = json.loads((folder / manifest["Config"]).read_text())
    environment = dict(pair.split("=", 1) for pair in config["config"].get("Env", []))
    path = environment.pop("PATH", Rootfs.path)
    layers = tuple(_uncompressed(folder / name) for name in manifest["Layers"])
    return Rootfs(layers, config["architecture"], path, environment)


def _uncompressed(layer: Path) -> Path:
    """Engines that keep images as they came from the registry save compressed layers."""
    with open(layer, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return layer
    plain = layer.with_name(f"{layer.name}.tar")
    with gzip.open(layer) as packed, open(plain, "wb") as out:
        shutil.copyfileobj(packed, out, 1 << 20)
    return plain
