"""A process that holds keys shows its memory and its open files to nobody but root."""
from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable

import pytest

from mcpweb.processes import keep_memory_private

NOBODY = 65534


def child(work: Callable[[], int]) -> int:
    """Run something in a fork as an ordinary user and return its exit code, or the process id while it waits."""
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # what an ordinary program has; a change of user takes it away
            code = work()
        finally:
            os._exit(code)
    return pid


def readable(protected: bool) -> list[bool]:
    """Return whether another process of the same user can open the memory, the environment and the files of a process."""
    told, tell = os.pipe()
    held, release = os.pipe()

    def holder() -> int:
        os.close(release)
        if protected:
            keep_memory_private()
        os.write(tell, b"1")
        os.read(held, 1)
        return 0 if resource.getrlimit(resource.RLIMIT_CORE)[0] == 0 or not protected else 1

    keeper = child(holder)
    os.read(told, 1)

    def reader() -> int:
        found = 0
        for bit, name in enumerate(("mem", "environ", "fd")):
            try:
                path = f"/proc/{keeper}/{name}"
                os.listdir(path) if name == "fd" else os.close(os.open(path, os.O_RDONLY))
                found |= 1 << bit
            except PermissionError:
                pass
        return found

    seen = os.waitstatus_to_exitcode(os.waitpid(child(reader), 0)[1])
    os.close(release)
    assert os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1]) == 0
    for descriptor in (told, tell, held):
        os.close(descriptor)
    return [bool(seen & 1 << bit) for bit in range(3)]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="only Linux shows processes as files")
def test_a_process_of_the_same_user_cannot_read_it_while_it_could_read_another() -> None:
    assert readable(protected=True) == [False, False, False]
    assert readable(protected=False) == [True, True, True]
