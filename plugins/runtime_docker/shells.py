"""Whether an image has a shell, found out without running anything of it, once an image."""
from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING, Any

from mcpweb.plugin import NotFound, StartFailed

from .faults import EngineRefused
from .handshake import SHELL

if TYPE_CHECKING:
    from collections.abc import Callable

    from .engine import Engine
    from .transport import Client

_LINK, _FOLDER, _EXECUTABLE = 1 << 27, 1 << 31, 0o111  # the engine's file modes
_MOST_KNOWN = 1000


class Shells:
    """What is known of the images of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, bool] = {}
        self._guard = threading.Lock()

    def require(self, image_id: str, image: str, container_id: str, left: Callable[[], float]) -> None:
        """Look into a made, not yet started container of the image. Raises StartFailed when it has no shell."""
        has = self._known.get(image_id)
        if has is None:
            try:
                has = self._look(container_id, left)
            except EngineRefused:
                return  # something in front of the engine does not let us look; the exchange itself will tell
            with self._guard:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[image_id] = has
        if not has:
            raise no_shell(image)

    def _look(self, container_id: str, left: Callable[[], float]) -> bool:
        path = SHELL
        for _ in range(2):  # the engine follows a chain of links in one step

            def stat(client: Client, path: str = path) -> dict[str, Any]:
                told = client.head_header(f"/containers/{container_id}/archive", "X-Docker-Container-Path-Stat", path=path)
                facts: dict[str, Any] = json.loads(base64.b64decode(told))
                return facts

            try:
                facts = self._engine.call("look into a container", stat, deadline_s=left())
            except NotFound:
                return False
            mode = int(facts["mode"])
            if not mode & _LINK:
                return not mode & _FOLDER and bool(mode & _EXECUTABLE)
            path = str(facts["linkTarget"])
        return False


def no_shell(image: str) -> StartFailed:
    """Return the failure for an image that cannot take secrets over standard input."""
    return StartFailed(
        f"The image {image} has no {SHELL}, which takes secrets from standard input.",
        next_step="Bind its secrets with the delivery `file`.", code="no_shell",
    )
