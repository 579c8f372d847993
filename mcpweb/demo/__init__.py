"""The demo: a small MCP server of our own as an image, made without a registry where there is none."""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from mcpweb.images import base, imagebuild

SERVER_FILE = Path(__file__).with_name("server.py")
NAME = "mcpweb-demo"


def demo_reference() -> str:
    """Return what the demo's image is called; its tag follows the server's source."""
    return f"{NAME}:{hashlib.sha256(SERVER_FILE.read_bytes()).hexdigest()[:8]}"


def build_demo_image(engine: base.Engine, say: Callable[[str], None]) -> str:
    """Return the reference of the demo image, building it when the engine does not have it.

    Raises DemoUnavailable with the next step when no Python base image can be had.
    """
    source, reference = SERVER_FILE.read_bytes(), demo_reference()
    if engine.has_image(reference):
        return reference
    root = base.python_base(engine, say)
    say(f"Building {reference} …")
    imagebuild.load_on_top(
        engine, root, reference, files={"srv/server.py": imagebuild.File(source, 0o644)},
        entrypoint=("python3", "-u", "/srv/server.py"),
        labels={"org.opencontainers.image.title": "mcpweb demo server"},
    )
    return reference
