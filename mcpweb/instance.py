"""Who we are on this machine: the instance record beside the key ring, and the locks of the data folder.

The record is bound to its data folder. It makes a lost database different from a first start, and it gives the
containers of two managers on one engine different owners.
"""
from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mcpweb import clock
from mcpweb.errors import Conflict, StorageUnusable
from mcpweb.files import private_folder, write_private
from mcpweb.ids import new_id
from mcpweb.settings import Settings


@dataclass(frozen=True)
class Instance:
    """The identity of one installation; ``short`` is part of container and network names."""

    id: str
    data_dir: str
    created_at: str

    @property
    def short(self) -> str:
        return self.id[-8:]


def record_path(settings: Settings) -> Path:
    return settings.key_dir / "instance.json"


def find(settings: Settings) -> Instance | None:
    """Return the instance record, None before the first start. Raises StorageUnusable when it is not ours."""
    path = record_path(settings)
    try:
        instance = Instance(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StorageUnusable(f"The instance record {path} cannot be read: {error}.") from None
    if instance.data_dir != str(settings.data_dir):
        raise StorageUnusable(
            f"{path} belongs to the data folder {instance.data_dir}, not to {settings.data_dir}.",
            next_step="Set MCPWEB_DATA_DIR back, or MCPWEB_KEY_FILE to a folder of its own.",
        )
    return instance


def create(settings: Settings) -> Instance:
    """Write the instance record of a first start, the last step of it."""
    private_folder(settings.key_dir)
    instance = Instance(id=new_id("ins"), data_dir=str(settings.data_dir), created_at=clock.now())
    write_private(record_path(settings), json.dumps(asdict(instance), indent=1) + "\n")
    return instance


class FileLock:
    """A lock on a file of the run folder; gone with the process that held it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = False) -> bool:
        """Take the lock; False when somebody else has it and ``wait`` is off."""
        private_folder(self.path.parent)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(descriptor, mode)
        except OSError:
            os.close(descriptor)
            return False
        if not shared:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> str:
        """Return the process id that last took it exclusively, as text for a sentence."""
        try:
            return self.path.read_text().strip() or "unknown"
        except OSError:
            return "unknown"


@contextmanager
def start_lock(settings: Settings) -> Iterator[None]:
    """Let one process at a time do what a first start does."""
    lock = FileLock(settings.run_dir / "start.lock")
    lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()


def use_lock(settings: Settings) -> FileLock:
    """The lock every process with an open Core shares; who migrates or restores needs it alone."""
    return FileLock(settings.run_dir / "instance.lock")


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Be the only process that uses the data folder. Raises Conflict naming the others."""
    lock = use_lock(settings)
    if not lock.acquire():
        others = ", ".join(str(pid) for pid in _users_of(lock.path)) or "unknown"
        raise Conflict(
            f"The data folder {settings.data_dir} is in use by others (process {others}).",
            next_step="Stop `mcpweb serve` and other commands first.",
        )
    try:
        yield
    finally:
        lock.release()


def _users_of(path: Path) -> list[int]:
    """Return the processes that hold a lock on a file, as far as the system tells."""
    inode = str(path.stat().st_ino)
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    # 7: FLOCK  ADVISORY  READ 4242 08:01:131102 0 EOF
    held = [line.split() for line in lines if " FLOCK " in line and "->" not in line]
    return sorted({int(words[4]) for words in held if words[5].rpartition(":")[2] == inode})


def worker_lock(settings: Settings) -> FileLock:
    """The lock whose holder is the elected worker."""
    return FileLock(settings.run_dir / "worker.lock")
