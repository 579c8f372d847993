"""The sinkhole: a container that owns a network namespace without a way out and tells what is tried in it."""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from mcpweb.contracts import Runtime
from mcpweb.errors import Unavailable
from mcpweb.images import base, imagebuild
from mcpweb.images.engine import RuntimeEngine

PROGRAM = Path(__file__).with_name("program.py")
NAME = "mcpweb-sinkhole"


def reference() -> str:
    """Return the name of the image; it changes with the program."""
    return f"{NAME}:{hashlib.sha256(PROGRAM.read_bytes()).hexdigest()[:8]}"


def ensure_image(runtime: Runtime, say: Callable[[str], None]) -> str:
    """Return the reference of the sinkhole's image, built first where the engine does not have it.

    Raises Unavailable with the next step when no Python base image can be had.
    """
    engine = RuntimeEngine(runtime)
    name = reference()
    if engine.has_image(name):
        return name
    try:
        root = base.python_base(engine, say)
    except base.DemoUnavailable as failure:
        raise Unavailable(
            f"The sinkhole's image cannot be built. {failure.detail}", code="sinkhole_unavailable", next_step=failure.next_step
        ) from failure
    say(f"Building {name} …")
    imagebuild.load_on_top(
        engine, root, name, files={"srv/sinkhole.py": imagebuild.File(PROGRAM.read_bytes(), 0o644)},
        entrypoint=("python3", "-S", "-u", "/srv/sinkhole.py"), user="0:0",
        labels={"org.opencontainers.image.title": "mcpweb sinkhole"},
    )
    return name
