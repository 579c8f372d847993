"""Commands of ``mcpweb`` for tests: each in a process of its own, forked from one that loaded the program once.

A test asks an installation dozens of times; loading the program takes a command longer than what it does.
"""
from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

MESSAGE_BYTES = 1 << 17


class Commands:
    """The process that commands are forked from; it leaves with whoever made it."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._line, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES)
        subprocess.Popen(
            [sys.executable, "-m", "mcpweb.testing.commands", str(theirs.fileno())], pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, start_new_session=True,
        )
        theirs.close()

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, given: str | None, timeout_s: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``mcpweb`` with these arguments. Raises subprocess.TimeoutExpired after it was killed."""
        with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            read.write((given or "").encode())
            read.seek(0)
            asking, telling = os.pipe()
            with open(asking, "rb") as told:
                message = json.dumps({"arguments": arguments, "environment": dict(environment), "folder": str(folder)})
                socket.send_fds(self._line, [message.encode()], [read.fileno(), out.fileno(), errors.fileno(), telling])
                os.close(telling)
                (pid,) = struct.unpack("i", told.read(4))
                if not _readable(told, timeout_s):
                    os.kill(pid, signal.SIGKILL)
                    told.read(4)
                    raise subprocess.TimeoutExpired(["mcpweb", *arguments], timeout_s, _text(out), _text(errors))
                (code,) = struct.unpack("i", told.read(4))
            return subprocess.CompletedProcess(["mcpweb", *arguments], code, _text(out), _text(errors))


@functools.cache
def shared() -> Commands:
    """Return the process for the commands of all tests of this process."""
    return Commands()


def _readable(pipe: IO[bytes], timeout_s: float) -> bool:
    return bool(select.select([pipe], [], [], timeout_s)[0])


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


def main(line: socket.socket) -> None:
    """Load every command, then fork one for each request; the end of one is told by a process that waits for it."""
    from mcpweb import paths
    from mcpweb.cli import COMMANDS
    from mcpweb.pluginhost import import_folder

    for name, _ in COMMANDS.values():
        importlib.import_module(f"mcpweb.cli.{name}")
    for name in ("accounts", "calls", "demo", "setup", "test_runs"):
        importlib.import_module(f"mcpweb.services.{name}")
    for path in paths.PLUGINS.iterdir():
        if (path / "__init__.py").is_file():
            import_folder(path.name, path)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, given, _, _ = socket.recv_fds(line, MESSAGE_BYTES, 4)
        if not message:
            return
        if os.fork() == 0:
            line.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if pid := os.fork():
                os.write(given[3], struct.pack("i", pid))
                os.write(given[3], struct.pack("i", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
                os._exit(0)
            os.close(given[3])
            _command(given[:3], **json.loads(message))
        for descriptor in given:
            os.close(descriptor)


def _command(given: list[int], arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Become the command: its files, its environment, its folder."""
    from mcpweb import __main__ as program
    from mcpweb.cli import main as run

    for ours, theirs in enumerate(given):
        os.dup2(theirs, ours)
        os.close(theirs)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115 - its own to the end
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.modules["__main__"] = program  # what a run's process loads, and what a usage line names
    sys.argv, sys.path[0] = [str(program.__file__), *arguments], folder
    run()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
