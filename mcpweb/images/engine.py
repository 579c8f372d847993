"""An engine as the image builder needs it, on top of any runtime."""
from __future__ import annotations

import time
from pathlib import Path

from mcpweb.contracts import Runtime
from mcpweb.errors import Cancelled, Failure, ImageMissing


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
