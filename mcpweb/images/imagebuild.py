"""Assemble an image in Python and load it: no builder, no registry, no network. Equal input, equal image id."""
from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcpweb.images.base import Engine, Rootfs


@dataclass(frozen=True)
class File:
    """One file of a layer."""

    data: bytes
    mode: int = 0o644


def layer(files: Mapping[str, File], folders: Mapping[str, int] | None = None) -> bytes:
    """Return a layer as tar: sorted, times zero, owned by root; folders are made as needed.

    ``folders`` are made with these modes, whether or not a file is in them.
    """
    modes = dict(folders or {})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        parents = {str(parent) for name in (*files, *modes) for parent in Path(name).parents if str(parent) != "."}
        for folder in sorted(parents | set(modes)):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, modes.get(folder, 0o755)
            tar.addfile(info)
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(files[name].data), files[name].mode
            tar.addfile(info, io.BytesIO(files[name].data))
    return out.getvalue()


def load_on_top(
    engine: Engine,
    root: Rootfs,
    reference: str,
    *,
    files: Mapping[str, File] | None = None,
    folders: Mapping[str, int] | None = None,
    extra: Sequence[Path] = (),
    entrypoint: Sequence[str],
    command: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    user: str = "65534:65534",
    workdir: str = "/",
    ports: Sequence[int] = (),
) -> None:
    """Load an image of the root's layers, further layer archives and one layer of files."""
    with tempfile.TemporaryDirectory(prefix="mcpweb-image-") as folder:
        layers = [*root.layers, *extra]
        if files or folders:
            own = Path(folder) / "own.tar"
            own.write_bytes(layer(files or {}, folders))
            layers.append(own)
        config = {
            "architecture": root.architecture, "os": "linux", "created": "1970-01-01T00:00:00Z",
            "config": {
                "Entrypoint": list(entrypoint), "Cmd": list(command), "User": user, "WorkingDir": workdir,
                "Env": [f"{k}={v}" for k, v in {"PATH": root.path, **root.environment, **(environment or {})}.items()],
                "Labels": dict(labels or {}), "ExposedPorts": {f"{port}/tcp": {} for port in ports},
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(path)}" for path in layers]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "mcpweb"} for _ in layers],
        }
        archive = Path(folder) / "image.tar"
        _write(archive, config, layers, reference)
        engine.load(archive)


def _write(archive: Path, config: object, layers: Sequence[Path], reference: str) -> None:
    text = json.dumps(config, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{
        "Config": config_name, "RepoTags": [reference], "Layers": [f"layer{at}/layer.tar" for at in range(len(layers))],
    }]
    with tarfile.open(archive, "w") as tar:
        for name, data in ((config_name, text), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for at, path in enumerate(layers):
            tar.add(path, arcname=f"layer{at}/layer.tar")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
