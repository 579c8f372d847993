"""The files of an image, layer by layer, from the archive the runtime makes of it: both layouts, as they come."""
from __future__ import annotations

import json
import posixpath
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from mcpweb.bench.tarstream import BLOCK, Budget, Entry, Source, Unreadable, entries, unpacked
from mcpweb.contracts import ImageFile, is_interesting

MOST_BYTES = 4 << 30  # of the archive, and again of what its layers decompress to
MOST_ENTRIES = 400_000
DATA_BYTES = 256 * 1024  # of one file
MOST_DATA = 128 << 20  # of all files together
_MANIFEST_BYTES = 4 << 20
_KINDS: dict[str, Any] = {
    "0": "file", "\0": "file", "7": "file", "S": "file", "1": "link", "2": "link", "3": "device", "4": "device", "5": "folder",
}
_BLOB = re.compile(r"blobs/[a-z0-9]+/[0-9a-f]{32,}")

__all__ = ["Unreadable", "image_files"]

Wanted = Callable[[ImageFile], bool]


def image_files(read: Callable[[int], bytes], wanted: Wanted | None = None, *, most_s: float = 60.0) -> Iterator[ImageFile]:
    """Yield what the layers of an image hold, oldest layer first; in each layer first what it removes.

    Raises Unreadable, after the last file that could be read, when the archive is larger than what is read of one, takes
    longer than ``most_s`` or breaks off.
    """
    budget = Budget(time.monotonic() + most_s, MOST_BYTES, MOST_ENTRIES)
    archive = _Archive(Source(read, budget), wanted or _of_interest)
    fault = archive.walk()
    yield from archive.files()
    if fault is not None:
        raise fault


def _of_interest(file: ImageFile) -> bool:
    return is_interesting(file.path)


class _Archive:
    """One archive: which layers it names in which order is often said only at its end."""

    def __init__(self, source: Source, wanted: Wanted) -> None:
        self._source = source
        self._wanted = wanted
        self._room = MOST_DATA
        self._layers: dict[str, list[ImageFile]] = {}
        self._same: dict[str, str] = {}  # a layer that is a link to another
        self._notes: dict[str, Any] = {}

    def walk(self) -> Unreadable | None:
        """Read to the end; return what stopped it."""
        try:
            for entry in entries(self._source):
                name = entry.name.removeprefix("./")
                if entry.type in "12" and name.endswith("layer.tar"):
                    self._same[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.target))
                elif name in ("manifest.json", "index.json"):
                    self._notes[name] = _json(entry)
                elif name.endswith("/layer.tar") or _BLOB.fullmatch(name):
                    self._member(name, entry)
        except Unreadable as fault:
            return fault
        if not self._notes:
            return Unreadable("The archive is not one of an image.")
        if any(self._same.get(name, name) not in self._layers for name in self._order()):
            return Unreadable("The archive lacks a layer of the image.")
        return None

    def _member(self, name: str, entry: Entry) -> None:
        """Take one layer, or a document that tells of layers."""
        start = entry.body.peek(BLOCK)
        if start[:1] == b"{" and start[257:262] != b"ustar":
            if entry.size <= _MANIFEST_BYTES:
                self._notes[name] = _json(entry)
            return
        files = self._layers[name] = []
        budget = Budget(self._source.budget.until, MOST_BYTES, self._source.budget.entries)
        tar = unpacked(entry.body, budget)
        for inner in entries(tar):
            file = self._file(inner)
            if file is not None:
                files.append(file)
        while tar.read(1 << 18):  # what follows the end of a tar belongs to the layer still
            pass
        self._source.budget.entries = budget.entries

    def _file(self, entry: Entry) -> ImageFile | None:
        path = posixpath.normpath(entry.name.lstrip("/") or ".").strip("/")
        folder, base = posixpath.split(path)
        if base == ".wh..wh..opq":
            return ImageFile(0, folder, "removed")
        if base.startswith(".wh..wh."):
            return None
        if base.startswith(".wh."):
            return ImageFile(0, posixpath.join(folder, base[4:]), "removed")
        if path == ".":
            return None
        kind = _KINDS.get(entry.type, "other")
        target = entry.target if kind == "link" else ""
        file = ImageFile(0, path, kind, entry.mode, entry.uid, entry.gid, entry.size, b"", target)
        if kind != "file" or not entry.size or self._room <= 0 or not self._wanted(file):
            return file
        data = entry.body.take(min(entry.size, DATA_BYTES, self._room))
        self._room -= len(data)
        return ImageFile(0, path, kind, entry.mode, entry.uid, entry.gid, entry.size, data, target)

    def files(self) -> Iterator[ImageFile]:
        for number, name in enumerate(self._order()):
            files = self._layers.get(self._same.get(name, name), [])
            for removed in (True, False):
                for file in files:
                    if (file.kind == "removed") is removed:
                        yield ImageFile(
                            number, file.path, file.kind, file.mode, file.uid, file.gid, file.size, file.data, file.target
                        )

    def _order(self) -> list[str]:
        """Return the names of the layers, oldest first; as they came when nothing tells more."""
        found: list[str] = []
        try:
            if "manifest.json" in self._notes:
                found = [str(name) for name in self._notes["manifest.json"][0]["Layers"]]
            elif "index.json" in self._notes:
                found = self._oci(self._notes["index.json"], 3)
        except (KeyError, TypeError, IndexError, AttributeError):
            found = []
        return found or list(self._layers)

    def _oci(self, index: Any, depth: int) -> list[str]:
        """Follow an index to the first manifest whose layers are here."""
        for one in index.get("manifests", ()) if depth else ():
            note = self._notes.get("blobs/" + str(one["digest"]).replace(":", "/"))
            if not isinstance(note, dict):
                continue
            layers = ["blobs/" + str(layer["digest"]).replace(":", "/") for layer in note.get("layers", ())]
            if any(name in self._layers for name in layers):
                return layers
            if inner := self._oci(note, depth - 1):
                return inner
        return []


def _json(entry: Entry) -> Any:
    if entry.size > _MANIFEST_BYTES:
        return None
    try:
        return json.loads(entry.body.take(entry.size))
    except (ValueError, RecursionError):
        return None
