"""Files only we may read: made, replaced and read with the checks a key deserves."""
from __future__ import annotations

import os
import stat
from pathlib import Path

from mcpweb.errors import FileNotPrivate, StorageUnusable


def private_folder(path: Path) -> None:
    """Make a folder only we can enter. Raises StorageUnusable."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageUnusable(
            f"The folder {path} cannot be made: {error.strerror}.", next_step="Set MCPWEB_DATA_DIR to a writable place."
        ) from None


def write_private(path: Path, text: str) -> None:
    """Replace a file of ours atomically, mode 0600, on disk before the call returns."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_private(path: Path, *, most: int = 1 << 20, shared: bool = False) -> bytes:
    """Return the content of a file that nobody else may read.

    Raises FileNotFoundError when it is not there, FileNotPrivate for a symbolic link, anything but a regular file, a
    foreign owner, bits for group or others (``shared`` allows reading by others, as mounted credentials have it), or
    more than ``most`` bytes.
    """
    try:
        # O_NONBLOCK: a FIFO in its place must not make us wait
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        what = "is a symbolic link" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise FileNotPrivate(f"{path} {what}.") from None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise FileNotPrivate(f"{path} is not a regular file.")
        if facts.st_uid not in (os.geteuid(), 0):
            raise FileNotPrivate(f"{path} belongs to another user.")
        forbidden = 0o022 if shared else 0o077
        if facts.st_mode & forbidden:
            raise FileNotPrivate(
                f"{path} is open to others (mode {stat.S_IMODE(facts.st_mode):04o}).", next_step=f"Run `chmod 600 {path}`."
            )
        content = file.read(most + 1)
    if len(content) > most:
        raise FileNotPrivate(f"{path} is larger than {most} bytes.")
    return content
