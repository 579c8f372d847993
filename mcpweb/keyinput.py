"""Key material that a person gives: read once by ``serve``, handed to its processes through a memory file.

The environment of a process can be read by others of the same user, and a passphrase is asked once; so both live in an
anonymous memory file whose descriptor the children inherit. ``keys unlock`` writes a passphrase there, and every process
sees it at its next look.
"""
from __future__ import annotations

import json
import os
from pathlib import Path

from mcpweb.contracts import Sensitive

DESCRIPTOR = "_MCPWEB_KEY_INPUT"
_MOST = 1 << 16


class KeyInput:
    """What was given, by name (``environment``, ``passphrase``); the memory file wins over what was read at start."""

    def __init__(
        self, given: dict[str, Sensitive] | None = None, passphrase_file: Path | None = None, descriptor: int | None = None
    ) -> None:
        self._given = given or {}
        self._file = passphrase_file
        self._descriptor = descriptor

    def get(self, name: str) -> Sensitive | None:
        """Return what was given under this name, None when nothing was."""
        handed = self._handed()
        if name in handed:
            return Sensitive(handed[name])
        if name == "passphrase" and name not in self._given and self._file is not None:
            try:
                self._given[name] = Sensitive(self._file.read_text().removesuffix("\n"))
            except OSError:
                return None
        return self._given.get(name)

    def put(self, name: str, value: Sensitive) -> None:
        """Give material to this process, and to all that share its memory file."""
        if self._descriptor is None:
            self._given[name] = value
            return
        text = json.dumps(self._handed() | {name: value.reveal()}).encode()
        os.pwrite(self._descriptor, text.ljust(_MOST), 0)

    def hand_over(self) -> int | None:
        """Return the descriptor of a memory file with all that was given, inheritable; None where there is nothing like it."""
        if self._descriptor is None and hasattr(os, "memfd_create"):
            handed = {name: value.reveal() for name in ("environment", "passphrase") if (value := self.get(name)) is not None}
            self._descriptor = os.memfd_create("mcpweb-key", 0)
            os.pwrite(self._descriptor, json.dumps(handed).encode().ljust(_MOST), 0)
        return self._descriptor

    def _handed(self) -> dict[str, str]:
        if self._descriptor is None:
            return {}
        try:
            handed: dict[str, str] = json.loads(os.pread(self._descriptor, _MOST, 0))
        except (OSError, ValueError):
            return {}
        return handed

    def __repr__(self) -> str:
        return "<key input>"
