"""pip of our own environment: put a plugin's distribution in, take it out, and tell what changed."""
from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mcpweb.errors import Conflict, InvalidInput
from mcpweb.pluginhost import GROUP
from mcpweb.settings import Settings

LIMIT_S = 600.0


@dataclass(frozen=True)
class Installed:
    """A plugin as its distribution brings it; ``files`` are SHA-256 by path."""

    name: str
    distribution: str
    version: str
    files: dict[str, str]


def installed() -> dict[str, Installed]:
    """Return the plugins that distributions of this environment bring, as they are now."""
    importlib.invalidate_caches()
    found = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        if entry.dist is not None:
            found[entry.name] = Installed(entry.name, entry.dist.name, entry.dist.version, _hashes(entry.dist))
    return found


def install(given: str, settings: Settings) -> None:
    """Let pip install a path or a requirement. Raises InvalidInput, Conflict with what pip said."""
    if given.startswith("-") or not given.strip():
        raise InvalidInput(f"{given!r} is no path and no requirement.")
    _writable(given)
    path = Path(given)
    options = ["--upgrade", "--upgrade-strategy", "only-if-needed", "--no-warn-script-location"]
    if path.exists():
        given = str(path.resolve())
        if path.is_dir() and _can_build(path):
            options.append("--no-build-isolation")  # what builds it is here: no network
    _pip(settings, "install", *options, given)


def uninstall(distribution: str, settings: Settings) -> None:
    """Let pip remove a distribution. Raises Conflict with what pip said."""
    _writable("")
    _pip(settings, "uninstall", "--yes", distribution)


def _pip(settings: Settings, *arguments: str) -> None:
    if importlib.util.find_spec("pip") is None:
        raise Conflict(f"The environment {sys.prefix} has no pip.", next_step=f"{sys.executable} -m ensurepip")
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, arguments as a list
            [sys.executable, "-m", "pip", arguments[0], "--disable-pip-version-check", "--no-input", *arguments[1:]],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, env=settings.clean(), check=False,
        )
    except subprocess.TimeoutExpired:
        raise Conflict(f"pip did not end within {LIMIT_S:.0f} s.") from None
    if done.returncode:
        raise Conflict(f"pip {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-1500:]}")


def _writable(given: str) -> None:
    place = sysconfig.get_paths()["purelib"]
    if os.access(place, os.W_OK) and not os.statvfs(place).f_flag & os.ST_RDONLY:
        return
    step = "In an image, add a line to its Dockerfile and build it: "
    path = Path(given)
    what = f"COPY {path.name} /tmp/plugin\nRUN pip install /tmp/plugin" if path.exists() else f"RUN pip install {given}"
    raise Conflict(
        f"{place} cannot be written, so nothing can be installed or removed there.",
        next_step=f"{step}{what}" if given else "In an image, take the line out of its Dockerfile and build it.",
    )


def _can_build(path: Path) -> bool:
    """Tell whether everything a project is built with is in this environment."""
    try:
        needs = tomllib.loads((path / "pyproject.toml").read_text())["build-system"]["requires"]
        names = [re.split(r"[^A-Za-z0-9._-]", need.strip())[0] for need in needs]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        return False
    for name in names:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return False
    return True


def _hashes(distribution: importlib.metadata.Distribution) -> dict[str, str]:
    found = {}
    for file in distribution.files or ():
        place = Path(str(distribution.locate_file(file)))
        if place.is_file() and "__pycache__" not in file.parts:
            found[str(file)] = hashlib.sha256(place.read_bytes()).hexdigest()
    return found
