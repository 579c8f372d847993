"""The files of an image are read from its archive as it comes, in both layouts, and no archive costs more than is granted."""
from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import time
from typing import Any

import pytest

from mcpweb.bench import imagefiles
from mcpweb.bench.imagefiles import Unreadable, image_files
from mcpweb.contracts import ImageFile, is_interesting


def tar(*members: tuple[str, Any], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return an archive of (name, data or changes of the header)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for name, given in members:
            info = tarfile.TarInfo(name)
            changes = given if isinstance(given, dict) else {"data": given}
            data = changes.pop("data", b"")
            for field, value in changes.items():
                setattr(info, field, value)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def saved(*layers: bytes, order: list[int] | None = None) -> bytes:
    """Return what ``docker save`` writes: layers first, in no order, and the manifest last."""
    names = [f"{number:064x}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": [names[at] for at in order or range(len(layers))]}]
    files = [(name, layer) for name, layer in zip(names, layers, strict=True)]
    return tar(*files, ("c.json", b"{}"), ("manifest.json", json.dumps(manifest).encode()))


def oci(*layers: bytes) -> bytes:
    """Return an OCI layout: everything is a blob, the index comes first, an index of indexes in between."""
    def blob(data: bytes) -> tuple[str, bytes]:
        return f"blobs/sha256/{hashlib.sha256(data).hexdigest()}", data

    def named(data: bytes) -> dict[str, Any]:
        return {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}

    manifest = json.dumps({"layers": [named(layer) for layer in layers]}).encode()
    inner = json.dumps({"manifests": [{"digest": "sha256:" + "0" * 64}, named(manifest)]}).encode()
    index = json.dumps({"manifests": [named(inner)]}).encode()
    return tar(("oci-layout", b"{}"), ("index.json", index), *[blob(one) for one in (*reversed(layers), manifest, inner)])


def read(archive: bytes, **more: Any) -> list[ImageFile]:
    return list(image_files(io.BytesIO(archive).read, **more))


BASE = tar(
    ("etc/", {"type": tarfile.DIRTYPE, "mode": 0o755}), ("etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
    ("bin/su", {"data": b"\x7fELF", "mode": 0o4755, "uid": 0, "gid": 42}), ("app/old/a", b"1"), ("app/old/b", b"2"),
    ("bin/sh", {"type": tarfile.SYMTYPE, "linkname": "busybox"}), ("bin/ash", {"type": tarfile.LNKTYPE, "linkname": "bin/su"}),
    ("dev/null", {"type": tarfile.CHRTYPE}),
)
ABOVE = tar(("./app/.env", b"TOKEN=abc"), ("app/.wh.gone", b""), ("app/old/.wh..wh..opq", b""), ("app/old/c", b"3"), (".wh..wh.plnk", b""))


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("layout", [saved, oci])
def test_both_layouts_tell_the_files_of_each_layer_oldest_first(layout: Any, pack: Any) -> None:
    files = read(layout(pack(BASE), pack(ABOVE)))
    told = {(file.layer, file.path): file for file in files}
    assert told[0, "bin/su"] == ImageFile(0, "bin/su", "file", 0o4755, 0, 42, 4)
    assert told[0, "etc/passwd"].data.startswith(b"root:") and told[0, "etc"].kind == "folder"
    assert (told[0, "bin/sh"].kind, told[0, "bin/sh"].target, told[0, "bin/ash"].target) == ("link", "busybox", "bin/su")
    assert told[0, "dev/null"].kind == "device" and told[1, "app/.env"].data == b"TOKEN=abc"
    above = [(file.path, file.kind) for file in files if file.layer == 1]
    assert above == [("app/gone", "removed"), ("app/old", "removed"), ("app/.env", "file"), ("app/old/c", "file")]
    assert [file.layer for file in files] == sorted(file.layer for file in files)


def test_the_manifest_decides_the_order_of_layers_and_a_layer_may_be_used_twice() -> None:
    one, two = tar(("one", b"1")), tar(("two", b"2"))
    assert [(file.layer, file.path) for file in read(saved(one, two, order=[1, 0, 1]))] == [(0, "two"), (1, "one"), (2, "two")]
    names = ["a/layer.tar", "b/layer.tar"]
    manifest = json.dumps([{"Layers": names}]).encode()
    linked = tar((names[0], one), (names[1], {"type": tarfile.SYMTYPE, "linkname": "../a/layer.tar"}), ("manifest.json", manifest))
    assert [(file.layer, file.path) for file in read(linked)] == [(0, "one"), (1, "one")]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT], ids=["pax", "gnu", "ustar"])
def test_long_and_odd_names_are_read_in_every_dialect(form: int) -> None:
    names = ["d" * 90 + "/" + "n" * 90, "ünï/ço.txt", "a b"] + (["x/" * 120 + "end"] if form != tarfile.USTAR_FORMAT else [])
    layer = tar(*[(name, b"data") for name in names], form=form)
    assert [file.path for file in read(saved(layer))] == names


def test_a_path_has_no_way_to_look_like_another_place() -> None:
    layer = tar(("/etc/shadow", b"x"), ("../../up", b"x"), ("a/../b", b"x"), (".", {"type": tarfile.DIRTYPE}))
    assert [file.path for file in read(saved(layer))] == ["etc/shadow", "../../up", "b"]


def test_what_is_looked_into_can_be_decided_by_the_entry_and_is_cut() -> None:
    layer = tar(("bin/tool", {"data": b"y" * 300_000, "mode": 0o755}), ("etc/passwd", b"x"))
    files = {file.path: file for file in read(saved(layer), wanted=lambda file: bool(file.mode & 0o111) and not file.data)}
    assert len(files["bin/tool"].data) == 256 * 1024 and files["bin/tool"].size == 300_000 and files["etc/passwd"].data == b""


@pytest.mark.parametrize("path", [
    "var/lib/dpkg/status", "lib/apk/db/installed", "usr/lib/python3/dist-packages/x-1.0.dist-info/METADATA", "app/.env",
    "root/.aws/credentials", "home/u/.ssh/id_ed25519", "usr/lib/node_modules/@a/b/package.json", "srv/settings.yaml",
    "opt/tls/server.key", "etc/os-release", "app/main.py", "usr/local/lib/x/site-packages/y/client_secret.json",
])
def test_lists_of_packages_settings_and_keys_are_of_interest(path: str) -> None:
    assert is_interesting(path)


@pytest.mark.parametrize("path", [
    "usr/bin/python3", "usr/lib/python3/json/decoder.py", "app/node_modules/a/lib/index.js", "usr/share/zoneinfo/UTC", "etc/ssl/certs/a.txt",
])
def test_programs_and_libraries_are_not(path: str) -> None:
    assert not is_interesting(path)


# Archives that are not what they should be: what could be read is told, and that it was not all


def partly(archive: bytes, **more: Any) -> tuple[list[str], Unreadable]:
    told: list[str] = []
    with pytest.raises(Unreadable) as caught:
        told += (file.path for file in image_files(io.BytesIO(archive).read, **more))
    assert caught.value.detail
    return told, caught.value


@pytest.mark.parametrize("cut", [3, 700, 1600, 30_000])
def test_an_archive_that_breaks_off_is_told_after_what_was_there(cut: int) -> None:
    archive = saved(tar(("one", b"1" * 2000), ("two", b"2" * 40_000)))
    partly(archive[:cut] if cut < 30_000 else archive[:-12_000])


@pytest.mark.parametrize("archive", [
    b"", b"no tar at all" * 100, tar(("readme", b"no image")), saved(b"\x28\xb5\x2f\xfd" + b"z" * 900), saved(gzip.compress(BASE)[:-200]),
    saved(gzip.compress(BASE)[:40] + b"\0" * 600), saved(b"{" + b"x" * 600),
    tar(("manifest.json", json.dumps([{"Layers": ["a/layer.tar", "b/layer.tar"]}]).encode()), ("a/layer.tar", BASE)),
], ids=["nothing", "noise", "another tar", "zstd", "half a gzip", "broken gzip", "a layer that looks like a note", "a layer is missing"])
def test_what_cannot_be_read_is_never_taken_for_an_image_without_files(archive: bytes) -> None:
    partly(archive)


def test_a_layer_whose_first_file_looks_like_a_note_is_read() -> None:
    assert [file.path for file in read(oci(tar(('{"a":1}', b"x"), ("etc/passwd", b"x"))))] == ['{"a":1}', "etc/passwd"]


def test_bytes_entries_and_time_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = saved(gzip.compress(b"\0" * 1 + tar(("zeros", b"\0" * (64 << 20)))[1:]))
    assert len(bomb) < 1 << 20
    monkeypatch.setattr(imagefiles, "MOST_BYTES", 8 << 20)
    began = time.monotonic()
    assert partly(bomb)[1].code == "image_too_large"
    assert time.monotonic() - began < 2
    monkeypatch.setattr(imagefiles, "MOST_ENTRIES", 50)
    many = saved(tar(*[(f"f{number}", b"") for number in range(100)]))
    told, fault = partly(many)
    assert fault.code == "image_too_large" and 40 < len(told) < 50
    monkeypatch.setattr(imagefiles, "MOST_DATA", 10)
    assert sum(len(file.data) for file in read(saved(tar(("a.txt", b"123456"), ("b.txt", b"123456"))))) == 10
    assert partly(saved(BASE), most_s=-1)[1].code == "image_too_large"


def test_a_header_longer_than_any_path_is_refused() -> None:
    layer = tar(("x" * 3_000_000, b""), form=tarfile.GNU_FORMAT)
    assert "longer than any path" in partly(saved(layer))[1].detail


def test_stopping_early_does_no_harm() -> None:
    files = image_files(io.BytesIO(saved(BASE, ABOVE)).read)
    assert next(files).layer == 0
    files.close()  # type: ignore[attr-defined]
