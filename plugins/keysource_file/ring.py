"""The key ring: a JSON file of KEKs outside the data folder, mode 0600, made at first start."""
from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mcpweb.plugin import Conflict, FileNotPrivate, VaultLocked, clock, private_folder, read_private, write_private

from .local import KEK_BYTES, LocalKeys, decode_key, kek_id

if TYPE_CHECKING:
    from mcpweb.settings import Settings


class KeyRing(LocalKeys):
    """KEKs in ``MCPWEB_KEY_FILE``, newest first. The folder is 0700 and not inside the data folder."""

    name = "file"

    def __init__(self, settings: Settings) -> None:
        self.path = settings.key_file
        self._data_dir = settings.data_dir

    def prepare(self) -> None:
        self._check_place()
        with self._alone():
            if not self.path.exists() and not self.path.is_symlink():
                self._write([os.urandom(KEK_BYTES)])
        self.keys()

    def keys(self) -> dict[str, bytes]:
        self._check_place()
        try:
            text = read_private(self.path)
        except FileNotFoundError:
            raise VaultLocked(
                f"The key ring {self.path} is not there.", code="KEY_MISSING",
                next_step="Put it back from its backup, then run `mcpweb keys unlock`.",
            ) from None
        except FileNotPrivate as failure:
            raise VaultLocked(failure.detail, code="KEY_PERMISSIONS", next_step=failure.next_step) from None
        try:
            entries = json.loads(text)["keks"]
            keys = {entry["id"]: decode_key(entry["key"]) for entry in entries}
            damaged = [name for name, key in keys.items() if key is None or kek_id(key) != name]
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged, keys = ["it is not a key ring"], {}
        if damaged or not keys:
            raise VaultLocked(
                f"The key ring {self.path} is damaged: {', '.join(damaged) or 'it is empty'}.", code="KEY_WRONG",
                next_step="Put it back from its backup, then run `mcpweb keys unlock`.",
            )
        return {name: key for name, key in keys.items() if key is not None}

    def add_kek(self) -> str:
        with self._alone():
            new = os.urandom(KEK_BYTES)
            self._write([new, *self.keys().values()])
        return kek_id(new)

    def remove_kek(self, kek_id: str) -> None:
        with self._alone():
            keys = self.keys()
            if next(iter(keys)) == kek_id:
                raise Conflict(f"{kek_id} wraps the keys now.", next_step="Run `mcpweb keys rotate-kek` first.")
            keys.pop(kek_id, None)
            self._write(list(keys.values()))

    def _write(self, keys: list[bytes]) -> None:
        made = self._made()
        entries = [
            {"id": kek_id(key), "created_at": made.get(kek_id(key), clock.now()), "key": base64.b64encode(key).decode()}
            for key in keys
        ]
        write_private(self.path, json.dumps({"format": 1, "keks": entries}, indent=1) + "\n")

    def _made(self) -> dict[str, str]:
        try:
            return {entry["id"]: entry["created_at"] for entry in json.loads(read_private(self.path))["keks"]}
        except FileNotFoundError:
            return {}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time change the ring."""
        private_folder(self.path.parent)
        descriptor = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _check_place(self) -> None:
        folder = Path(os.path.realpath(self.path.parent))
        inside = folder.is_relative_to(os.path.realpath(self._data_dir))
        if inside:
            raise VaultLocked(
                f"The key ring {self.path} lies inside the data folder, where a copy of the database would take it along.",
                code="KEY_PERMISSIONS", next_step="Set MCPWEB_KEY_FILE to a place outside MCPWEB_DATA_DIR.",
            )
        try:
            mode = folder.stat().st_mode
        except FileNotFoundError:
            return
        if mode & 0o022:
            raise VaultLocked(
                f"The folder {self.path.parent} of the key ring can be written by others.", code="KEY_PERMISSIONS",
                next_step=f"Run `chmod 700 {self.path.parent}`.",
            )
