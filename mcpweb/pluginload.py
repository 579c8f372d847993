"""Load one plugin in this process, which is there for nothing else, within limits; tell as one line of JSON what came of it.

``python -m mcpweb.pluginload NAME SOURCE ORIGIN [whole]``: with ``whole`` the hooks that contribute are called, too.
"""
from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from signal import SIGKILL
from typing import Any

MEMORY = 2 << 30
CPU_S = 30


def in_child(
    name: str, source: str, origin: str, *, whole: bool, limit_s: float, path: list[str], environment: dict[str, str]
) -> dict[str, Any]:
    """Load a plugin in a child and return what it told: ``error`` is empty when all went well."""
    arguments = [sys.executable, "-m", "mcpweb.pluginload", name, source, origin, *(["whole"] if whole else [])]
    paths = [str(Path(__file__).resolve().parents[1]), *path]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as faults:
        # files, not pipes: what the plugin leaves running holds them open, and nobody waits for that
        child = subprocess.Popen(  # noqa: S603 - our own interpreter, arguments as a list
            arguments, stdin=subprocess.DEVNULL, stdout=said, stderr=faults, start_new_session=True, cwd="/",
            env={**environment, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        try:
            code = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, SIGKILL)
            child.wait()
        said.seek(0)
        lines = said.read(1 << 20).decode(errors="replace").splitlines()
        faults.seek(max(0, faults.seek(0, os.SEEK_END) - 1500))
        tail = faults.read().decode(errors="replace")
    if code is None:
        return {"error": f"{name} did not finish loading within {limit_s:g} s; it is quarantined until its files change."}
    try:
        told: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"error": f"{name} does not load: {tail.strip() or _ended(code)}"}
    return told


def _ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"


def _main(name: str, source: str, origin: str, *rest: str) -> None:
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the plugin prints is not what we tell
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    result: dict[str, Any] = {"error": ""}
    from mcpweb import pluginhost

    began = time.perf_counter()
    try:
        if source == "installed":
            module = importlib.import_module(origin.split(":")[0])
        else:
            module = pluginhost.import_folder(name, Path(origin))
        result["load_ms"] = round((time.perf_counter() - began) * 1000, 1)
        if rest:
            with tempfile.TemporaryDirectory() as folder:
                result.update(_contributed(name, module, folder))
    except BaseException as error:
        # the plugin's frames are the last ones; nothing of ours follows
        text = "".join(traceback.format_exception(error, limit=-3))[-1500:]
        result = {"error": f"{name} does not load: {text}"}
    result["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    told.write(json.dumps(result) + "\n")
    told.flush()
    os._exit(0)  # threads of the plugin may go on


def _contributed(name: str, module: Any, folder: str) -> dict[str, Any]:
    from mcpweb import settings as settings_module
    from mcpweb.pluginhost import PluginHost

    settings = settings_module.load({"MCPWEB_DATA_DIR": folder})
    faults: list[str] = []
    host = PluginHost(settings, on_error=lambda _, hook, error: faults.append(f"{hook}: {error}"))
    record = host.register(module, name)
    found: dict[str, list[str]] = {}
    for hook in record.hooks:
        if not hook.startswith("mcpweb_add_"):
            continue
        for _, result in host.collect(hook, settings=settings):
            items = result if isinstance(result, list) else [result]
            found[hook] = [str(getattr(one, "name", one)) for one in items]
    return {"hooks": list(record.hooks), "contributes": found, "faults": faults}


if __name__ == "__main__":
    _main(*sys.argv[1:])
