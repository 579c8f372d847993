"""Signed checkpoints of the audit log, outside the database: how long the chain was, and which hash it ended with.

A hash chain alone does not notice that its tail was cut. Each line of ``audit.checkpoints`` is signed, and names the hash of
the line before it. What was cut after the last checkpoint cannot be seen; nor can lines cut off the end of this file
together with the rows they prove.
"""
from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpweb import clock, signing
from mcpweb.errors import FileNotPrivate
from mcpweb.files import private_folder, read_private
from mcpweb.settings import Settings

_MOST_BYTES = 1 << 28
_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Checkpoint:
    """After ``size`` rows the chain ended with the hash ``head``."""

    size: int
    head: str
    at: str


@dataclass(frozen=True)
class Kept:
    """The checkpoints that count, oldest first, and what is wrong with the file."""

    checkpoints: tuple[Checkpoint, ...]
    faults: tuple[str, ...]


def path_of(settings: Settings) -> Path:
    return settings.key_dir / "audit.checkpoints"


def write(settings: Settings, instance: str, size: int, head: str, *, restored: bool = False) -> bool:
    """Add a checkpoint; False when one as new is there already.

    ``restored`` says that an older database was put in place, so that earlier checkpoints beyond it do not count any more.
    Raises FileNotPrivate, OSError.
    """
    with _locked(settings) as descriptor:
        last = _last_line(descriptor)
        if last and not restored and _size_of(last) >= size:
            return False
        record = signing.signed(settings, {
            "what": "restored" if restored else "checkpoint", "instance": instance, "size": size, "head": head, "at": clock.now(),
            "prev": hashlib.sha256(last).hexdigest() if last else "",
        })
        line = json.dumps(record, sort_keys=True).encode() + b"\n"
        end = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path_of(settings)))
            os.fsync(descriptor)
        except OSError:  # a full disk takes a part of it: what follows would be read as one damaged line with it
            os.ftruncate(descriptor, end)
            raise
    return True


def last(settings: Settings) -> Checkpoint | None:
    """Return the newest checkpoint without checking it, None when there is none."""
    try:
        with _locked(settings) as descriptor:
            line = _last_line(descriptor)
        record = json.loads(line) if line else None
    except (OSError, ValueError, FileNotPrivate):
        return None
    return Checkpoint(record["size"], record["head"], record["at"]) if record else None


def read(settings: Settings) -> Kept:
    """Return all checkpoints after checking every signature and every link. Raises FileNotPrivate."""
    try:
        content = read_private(path_of(settings), most=_MOST_BYTES)
    except FileNotFoundError:
        return Kept((), ())
    public = signing.public_key(settings)
    kept: list[Checkpoint] = []
    faults: list[str] = []
    before = b""
    for number, line in enumerate(content.splitlines(), 1):
        record = _record(line)
        if record is None or not signing.fits(record, public):
            faults.append(f"line {number} of {path_of(settings).name} was not signed by this installation")
        elif record["prev"] != (hashlib.sha256(before).hexdigest() if before else ""):
            faults.append(f"before line {number} of {path_of(settings).name} something is missing")
        if record is not None:
            if record.get("what") == "restored":
                kept = [one for one in kept if one.size <= record["size"]]
            kept.append(Checkpoint(record["size"], record["head"], record["at"]))
        before = line
    return Kept(tuple(kept), tuple(faults))


@contextmanager
def _locked(settings: Settings) -> Iterator[int]:
    path = path_of(settings)
    private_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _last_line(descriptor: int) -> bytes:
    end = os.lseek(descriptor, 0, os.SEEK_END)
    tail = os.pread(descriptor, _TAIL_BYTES, max(0, end - _TAIL_BYTES))
    return tail.removesuffix(b"\n").rpartition(b"\n")[2]


def _size_of(line: bytes) -> int:
    record = _record(line)
    return record["size"] if record else 0


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
        fits = isinstance(record["size"], int) and all(isinstance(record[name], str) for name in ("head", "at", "prev"))
    except (ValueError, KeyError, TypeError):
        return None
    return record if fits else None
