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
import subprocess
import sys
from pathlib import Path

from mcpweb.settings import Settings

TIME_LIMIT_S = 20


def refusal(settings: Settings, name: str, source: str, origin: str) -> str:
    """Return why this plugin must not be loaded here, empty when it may."""
    digest = _digest(source, origin)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    seen_path = settings.data_dir / "plugins.seen.json"
    with open(settings.data_dir / "plugins.lock", "a", opener=_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = _read(seen_path)
        if digest not in seen:
            seen[digest] = _try(name, source, origin)
            temporary = seen_path.with_suffix(".new")
            temporary.write_text(json.dumps(seen, indent=1))
            temporary.replace(seen_path)
        return seen[digest]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(path: Path) -> dict[str, str]:
    try:
        seen = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return seen if isinstance(seen, dict) else {}


def _digest(source: str, origin: str) -> str:
    if source == "installed":
        spec = importlib.util.find_spec(origin.split(":")[0].split(".")[0])
        place = Path(spec.origin) if spec and spec.origin else Path(origin)
        place = place.parent if place.name == "__init__.py" else place
    else:
        place = Path(origin)
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    total = hashlib.sha256(f"{source}:{origin}".encode())
    for file in files:
        if file.is_file():
            total.update(str(file).encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def _try(name: str, source: str, origin: str) -> str:
    code = (
        "import sys; from mcpweb import pluginhost; from pathlib import Path; import importlib\n"
        "name, source, origin = sys.argv[1:]\n"
        "importlib.import_module(origin.split(':')[0]) if source == 'installed' else "
        "pluginhost.import_folder(name, Path(origin))\n"
    )
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, arguments as a list
            [sys.executable, "-c", code, name, source, origin],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT_S, check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{name} did not finish loading within {TIME_LIMIT_S} s; it is quarantined until its files change."
    if done.returncode:
        return f"{name} does not load: {done.stderr.decode(errors='replace')[-1500:] or f'exit {done.returncode}'}"
    return ""
