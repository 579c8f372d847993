"""What a process does to itself first: keep its memory private, and load without looking for garbage."""
from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from collections.abc import Iterator

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def keep_memory_private() -> None:
    """Leave no core file, and let other processes of the same user read neither our memory nor our open files.

    Root still can; where the system has no such switch, only core files are ruled out. Children made by fork inherit it,
    a new program does not.
    """
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Look for no garbage while modules are loaded: what they make stays, and to look at all of it took a tenth of a start."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
