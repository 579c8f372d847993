"""Load a team's plugin in a child process first, when its files were never seen before.

A plugin that hangs, exits or crashes the interpreter at import then costs a time limit, not the application.
What was seen is kept by hash in ``<data dir>/plugins.seen.json``.
"""
from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path

from mcpweb import pluginload
from mcpweb.settings import Settings

TIME_LIMIT_S = 20


def refusal(settings: Settings, name: str, source: str, origin: str) -> str:
    """Return why this plugin must not be loaded here, empty when it may."""
    found = digest(source, origin)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    seen_path = settings.data_dir / "plugins.seen.json"
    with open(settings.data_dir / "plugins.lock", "a", opener=_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = _read(seen_path)
        if found not in seen:
            seen[found] = _try(settings, name, source, origin)
            temporary = seen_path.with_suffix(".new")
            temporary.write_text(json.dumps(seen, indent=1))
            temporary.replace(seen_path)
        return seen[found]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(path: Path) -> dict[str, str]:
    try:
        seen = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return seen if isinstance(seen, dict) else {}


def digest(source: str, origin: str) -> str:
    """Return one hash over the files of a plugin."""
    total = hashlib.sha256(f"{source}:{origin}".encode())
    for file in files_of(source, origin):
        total.update(str(file).encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def files_of(source: str, origin: str) -> list[Path]:
    """Return the Python files of a plugin."""
    if source == "installed":
        spec = importlib.util.find_spec(origin.split(":")[0].split(".")[0])
        place = Path(spec.origin) if spec and spec.origin else Path(origin)
        place = place.parent if place.name == "__init__.py" else place
    else:
        place = Path(origin)
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return [file for file in files if file.is_file()]


def _try(settings: Settings, name: str, source: str, origin: str) -> str:
    told = pluginload.in_child(
        name, source, origin, whole=False, limit_s=TIME_LIMIT_S, environment=settings.clean(),
        path=[one for one in sys.path if one],
    )
    error: str = told["error"]
    return error
