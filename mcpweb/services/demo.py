"""Build and register the demo server."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mcpweb.contracts import Actor, ConfigData, Runtime
from mcpweb.core import Core
from mcpweb.dao import servers as server_rows
from mcpweb.dao.servers import Server
from mcpweb.demo import build_demo_image
from mcpweb.errors import Cancelled, Failure, ImageMissing
from mcpweb.services import servers

NAME = "demo"


class RuntimeEngine:
    """What the image builder needs, on top of a runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def has_image(self, reference: str) -> bool:
        try:
            self._runtime.image(reference)
        except ImageMissing:
            return False
        return True

    def load(self, archive: Path) -> None:
        self._runtime.load_image(archive)

    def save(self, reference: str, archive: Path) -> None:
        self._runtime.save_image(reference, archive)

    def pull(self, reference: str, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s

        def progress(fraction: float | None, message: str) -> None:
            if time.monotonic() > until:
                raise Cancelled(f"The pull was not done after {timeout_s:g} s.")

        try:
            self._runtime.pull(reference, progress)
        except Failure:
            return False
        return True


def register(core: Core, actor: Actor, say: Callable[[str], None]) -> Server:
    """Build the demo image if it is missing and register the server ``demo``; a second call changes nothing."""
    reference = build_demo_image(RuntimeEngine(core.runtime), say)
    with core.db.reading() as conn:
        known = server_rows.find(conn, NAME)
    if known is None:
        return servers.add(
            core, actor, name=NAME, image=reference, config=ConfigData(),
            description="A small server of our own, to try things on. Its read_note tool is weak on purpose.",
        )
    if known.image != reference:
        return servers.update(core, actor, known.id, expect=None, image=reference)
    return known
