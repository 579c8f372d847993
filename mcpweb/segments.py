"""Segments of the audit log: rows that left the database, in a file that can be verified without it.

One JSON line for each row as it was hashed, and a last line that is signed: which rows these are, how the chain goes in and
out, and the SHA-256 of everything above it. A segment continues the one before it when its ``prev_hash`` is that one's
``head``.
"""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpweb import clock, signing
from mcpweb.errors import Conflict, NotFound
from mcpweb.files import private_folder
from mcpweb.settings import Settings

WHAT = "audit segment"
MOST_LINE = 1 << 22
RowHash = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Segment:
    """A file of rows ``first`` to ``last``; ``sha256`` is that of all its bytes."""

    path: Path
    first: int
    last: int
    prev_hash: str
    head: str
    sha256: str


@dataclass(frozen=True)
class SegmentCheck:
    """``first_bad`` is the first row that does not fit, None when something else than a row is wrong."""

    ok: bool
    rows: int
    first: int = 0
    last: int = 0
    prev_hash: str = ""
    head: str = ""
    public_key: str = ""
    first_bad: int | None = None
    reason: str = ""


def folder_of(settings: Settings) -> Path:
    """Return where segments lie unless somebody says otherwise."""
    return settings.data_dir / "audit"


def write(
    settings: Settings, folder: Path, instance: str, rows: Iterator[Mapping[str, Any]], *, after: tuple[int, str], by: str,
    row_hash: RowHash,
) -> Segment:
    """Write rows, oldest first, into a new file that only we can read, and return it when it is safely on disk.

    The first row continues ``after``, the number and the hash of the row before it. Raises Conflict when a row does not
    continue the chain, when there is no row, or when a file with that name holds something else; nothing is left then.
    The same rows written again give the file that stands.
    """
    private_folder(folder)
    temporary = folder / f".segment.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            digest = hashlib.sha256()
            count = 0
            last, head = after
            for row in rows:
                if row["seq"] != last + 1 or row["prev_hash"] != head or row_hash(row) != row["hash"]:
                    raise Conflict(
                        f"Row {row['seq']} of the audit log does not fit the chain, so nothing was pruned.",
                        next_step="Run `mcpweb audit verify`.",
                    )
                last, head, count = row["seq"], row["hash"], count + 1
                line = _line(row)
                digest.update(line)
                file.write(line)
            if not count:
                raise Conflict("No row is old enough to be pruned.")
            first, prev_hash = after[0] + 1, after[1]
            end = signing.signed(settings, {
                "what": WHAT, "instance": instance, "first": first, "last": last, "rows": count, "prev_hash": prev_hash,
                "head": head, "rows_sha256": digest.hexdigest(), "at": clock.now(), "by": by,
            })
            line = _line(end)
            digest.update(line)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        path = folder / f"audit-{first:09d}-{last:09d}.jsonl"
        return _placed(temporary, Segment(path, first, last, prev_hash, head, digest.hexdigest()), row_hash)
    finally:
        temporary.unlink(missing_ok=True)


def check(path: Path, *, row_hash: RowHash) -> SegmentCheck:
    """Verify a segment by itself: each row, the chain from row to row, the sum and the signature of the last line.

    Whose signature it is the caller judges by ``public_key``. Raises NotFound when the file cannot be read.
    """
    digest = hashlib.sha256()
    rows, first, seq = 0, 0, 0
    start = head = ""
    end: dict[str, Any] | None = None

    def bad(number: int | None, reason: str) -> SegmentCheck:
        return SegmentCheck(False, rows, first, seq, start, head, first_bad=number, reason=reason)

    try:
        with open(path, "rb") as file:
            while line := file.readline(MOST_LINE):
                if end is not None:
                    return bad(None, "something follows the signed last line")
                record = _read(line)
                if record is None:
                    return bad(seq + 1 if rows else None, f"line {rows + 1} is no row")
                if record.get("what") == WHAT:
                    end = record
                    continue
                fault = _row_fault(record, rows, seq, head, row_hash)
                if fault:
                    return bad(*fault)
                if not rows:
                    first, start = record["seq"], record["prev_hash"]
                rows, seq, head = rows + 1, record["seq"], record["hash"]
                digest.update(line)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.") from None
    if end is None:
        return bad(seq + 1 if rows else None, "the signed last line is missing")
    if not signing.fits(end, str(end.get("public_key", ""))):
        return bad(None, "the last line does not fit its signature")
    told = (end.get("first"), end.get("last"), end.get("rows"), end.get("prev_hash"), end.get("head"))
    if told != (first, seq, rows, start, head):
        wrong = seq + 1 if isinstance(end.get("last"), int) and end["last"] > seq else first
        return bad(wrong, f"the last line signs rows {end.get('first')} to {end.get('last')}, and {first} to {seq} are there")
    if end.get("rows_sha256") != digest.hexdigest():
        return bad(None, "the rows are not written as they were when they were signed")
    return SegmentCheck(True, rows, first, seq, start, head, str(end["public_key"]))


def sha256_of(path: Path) -> str | None:
    """Return the sum of a file, None when it is not there."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _placed(temporary: Path, made: Segment, row_hash: RowHash) -> Segment:
    """Give a new file its name; one that is there is kept, and is good enough only when it holds the same rows."""
    try:
        os.link(temporary, made.path)
    except FileExistsError:
        there = check(made.path, row_hash=row_hash)
        if not there.ok or (there.first, there.last, there.head) != (made.first, made.last, made.head):
            raise Conflict(f"{made.path} is there already and holds something else.", next_step="Move it away.") from None
        return Segment(
            made.path, made.first, made.last, made.prev_hash, made.head, sha256_of(made.path) or made.sha256
        )
    folder = os.open(made.path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return made


def _row_fault(row: Mapping[str, Any], rows: int, seq: int, head: str, row_hash: RowHash) -> tuple[int | None, str] | None:
    number = row.get("seq")
    if not isinstance(number, int):
        return (seq + 1 if rows else None), f"line {rows + 1} has no row number"
    if rows and number != seq + 1:
        return seq + 1, f"row {seq + 1} is missing; the next one is {number}"
    if rows and row.get("prev_hash") != head:
        return number, "it does not continue the row before it"
    try:
        fits = row_hash(row) == row.get("hash")
    except (KeyError, TypeError, ValueError):
        fits = False
    return None if fits else (number, "its content does not match its hash")


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
