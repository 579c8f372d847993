"""Images put together in Python: the same input is the same image on every machine."""
from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from mcpweb.images import base, imagebuild
from mcpweb.images.imagebuild import File


class Shelf:
    """An engine that keeps what it is given to load."""

    def __init__(self, folder: Path, *, registry: Path | None = None) -> None:
        self.folder, self.registry = folder, registry
        self.loaded: dict[str, Path] = {}

    def has_image(self, reference: str) -> bool:
        return reference in self.loaded

    def load(self, archive: Path) -> None:
        kept = self.folder / f"loaded-{len(self.loaded)}.tar"
        shutil.copy(archive, kept)
        (tag,) = self.manifest(kept)["RepoTags"]
        self.loaded[tag] = kept

    def save(self, reference: str, archive: Path) -> None:
        shutil.copy(self.loaded[reference], archive)

    def pull(self, reference: str, timeout_s: float) -> bool:
        if self.registry is not None:
            self.loaded[reference] = self.registry
        return self.registry is not None

    @staticmethod
    def manifest(archive: Path) -> dict[str, Any]:
        return json.loads(member(archive, "manifest.json"))[0]


def member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        found = tar.extractfile(name)
        assert found is not None
        return found.read()


@pytest.fixture
def root(tmp_path: Path) -> base.Rootfs:
    layer = tmp_path / "base.tar"
    layer.write_bytes(imagebuild.layer({"usr/bin/python3": File(b"#!", 0o755)}))
    return base.Rootfs((layer,), "amd64", environment={"LANG": "C.UTF-8"})


def build(engine: Shelf, root: base.Rootfs, reference: str, **changes: Any) -> str:
    """Build and return the name of the config, which is the image id."""
    given: dict[str, Any] = {
        "files": {"srv/b": File(b"two"), "srv/a": File(b"one", 0o755)}, "folders": {"data": 0o1777},
        "entrypoint": ("python3", "/srv/a"), "environment": {"LEVEL": "1"}, "labels": {"who": "we"}, "ports": (8000,),
    }
    imagebuild.load_on_top(engine, root, reference, **given | changes)
    return engine.manifest(engine.loaded[reference])["Config"]


def test_equal_input_gives_an_equal_image_id(tmp_path: Path, root: base.Rootfs) -> None:
    first = build(Shelf(tmp_path), root, "x:1")
    turned = {"srv/a": File(b"one", 0o755), "srv/b": File(b"two")}
    assert build(Shelf(tmp_path), root, "x:2", files=turned) == first


@pytest.mark.parametrize("changes", [
    {"files": {"srv/a": File(b"other")}}, {"files": {"srv/b": File(b"two"), "srv/a": File(b"one", 0o644)}},
    {"folders": {"data": 0o755}}, {"entrypoint": ("python3", "/srv/b")}, {"environment": {"LEVEL": "2"}}, {"labels": {}},
    {"user": "root"}, {"ports": ()}, {"command": ("x",)}, {"workdir": "/srv"},
])
def test_whatever_changes_changes_the_image_id(tmp_path: Path, root: base.Rootfs, changes: dict[str, Any]) -> None:
    assert build(Shelf(tmp_path), root, "x:1", **changes) != build(Shelf(tmp_path), root, "x:2")


def test_a_layer_knows_no_clock_and_no_person(root: base.Rootfs) -> None:
    made = imagebuild.layer({"srv/deep/a": File(b"one", 0o755)}, {"data": 0o1777, "srv": 0o700})
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        members = {member.name: member for member in tar}
    assert list(members) == ["data", "srv", "srv/deep", "srv/deep/a"]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members.values()} == {(0, 0, 0, "", "")}
    assert [oct(m.mode) for m in members.values()] == ["0o1777", "0o700", "0o755", "0o755"]


def test_the_config_says_what_was_asked_for_and_every_layer_by_its_hash(tmp_path: Path, root: base.Rootfs) -> None:
    engine = Shelf(tmp_path)
    name = build(engine, root, "x:1")
    config = json.loads(member(engine.loaded["x:1"], name))
    assert config["architecture"] == "amd64" and len(config["rootfs"]["diff_ids"]) == len(config["history"]) == 2
    said = config["config"]
    assert said["User"] == "65534:65534" and said["Entrypoint"] == ["python3", "/srv/a"] and said["Labels"] == {"who": "we"}
    assert said["ExposedPorts"] == {"8000/tcp": {}}
    assert said["Env"] == [f"PATH={root.path}", "LANG=C.UTF-8", "LEVEL=1"]


def test_an_official_image_that_is_there_is_the_base_and_keeps_its_variables(tmp_path: Path, root: base.Rootfs) -> None:
    engine = Shelf(tmp_path)
    build(engine, root, base.OFFICIAL, environment={"PYTHON_VERSION": "3.13.1", "PATH": "/opt/bin"})
    found = base.python_base(engine, lambda sentence: None)
    assert len(found.layers) == 2 and found.path == "/opt/bin" and found.architecture == "amd64"
    assert found.environment["PYTHON_VERSION"] == "3.13.1"
    assert found.layers[0].read_bytes() == root.layers[0].read_bytes()


def test_layers_saved_compressed_are_unpacked_so_that_their_hash_is_right(tmp_path: Path, root: base.Rootfs) -> None:
    packed = tmp_path / "packed.tar"
    packed.write_bytes(gzip.compress(root.layers[0].read_bytes()))
    engine = Shelf(tmp_path)
    build(engine, base.Rootfs((packed,), "amd64"), base.OFFICIAL)
    found = base.python_base(engine, lambda sentence: None)
    assert found.layers[0].read_bytes() == root.layers[0].read_bytes()


def test_without_a_registry_and_without_debian_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(base.DemoUnavailable) as raised:
        base.python_base(Shelf(tmp_path), lambda sentence: None)
    assert base.OFFICIAL in raised.value.detail and "mmdebstrap" in raised.value.next_step


def test_without_debian_the_official_image_is_pulled(
    tmp_path: Path, root: base.Rootfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Shelf(tmp_path)
    build(elsewhere, root, base.OFFICIAL)
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    found = base.python_base(Shelf(tmp_path, registry=elsewhere.loaded[base.OFFICIAL]), said.append)
    assert len(found.layers) == 2 and "Pulling" in said[0]
