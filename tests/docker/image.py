"""The container image, built from deploy/Dockerfile without a registry, and deploy/compose.yaml as the engine's options."""
from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pip
import yaml
from docker import errors

from mcpweb.images import base, imagebuild
from mcpweb.images.engine import RuntimeEngine
from tests.docker.engine import ADDRESS, DockerRuntime, api
from tests.docker.images import LABEL

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
AGE_S = 3600
TRUST = Path("/etc/ssl/certs/ca-certificates.crt")


def base_image() -> str:
    """Return a local base as python:3.13-slim is one: Debian, python3, pip, and the certificates this machine trusts."""
    engine = RuntimeEngine(DockerRuntime(ADDRESS))
    place = Path(str(pip.__file__)).parent
    files = {
        f"usr/lib/python3/dist-packages/pip/{path.relative_to(place)}": imagebuild.File(path.read_bytes())
        for path in sorted(place.rglob("*")) if path.is_file() and path.suffix != ".pyc"
    }
    environment = {}
    if TRUST.exists():
        files["etc/ssl/certs/ca-certificates.crt"] = imagebuild.File(TRUST.read_bytes())
        environment = {"SSL_CERT_FILE": str(TRUST), "PIP_CERT": str(TRUST)}
    digest = hashlib.sha256(b"".join(name.encode() + one.data for name, one in files.items()) + base.PACKAGES.encode()).hexdigest()[:8]
    reference = f"mcpweb-test-base:{digest}"
    if not engine.has_image(reference):
        imagebuild.load_on_top(
            engine, base.python_base(engine, lambda sentence: None), reference, files=files, entrypoint=(), environment=environment,
            labels={LABEL: "1"}, user="0:0", folders={"root": 0o700},
        )
    return reference


def wheel_of_checkout(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def build(wheel: Path) -> str:
    """Build deploy/Dockerfile on the local base and return the image; one of the same content is kept from run to run."""
    inputs = [DEPLOY / name for name in ("Dockerfile", "build.lock", "requirements.lock")]
    with zipfile.ZipFile(wheel) as file:  # the times in it are no content
        content = sorted((name, file.getinfo(name).CRC) for name in file.namelist())
    own = base_image()
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs) + repr(content).encode() + own.encode()).hexdigest()[:8]
    reference = f"mcpweb-test-manager:{digest}"
    with open(base.cache_folder() / "manager-image.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not RuntimeEngine(DockerRuntime(ADDRESS)).has_image(reference):
            _build(inputs, wheel, own, reference)
    return reference


def _build(inputs: list[Path], wheel: Path, own: str, reference: str) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for path, name in [*((path, path.name) for path in inputs), (wheel, f"dist/{wheel.name}")]:
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, 0o644
            with open(path, "rb") as file:
                tar.addfile(info, file)
    context.seek(0)
    client = api()
    said = []
    for step in client.build(
        fileobj=context, custom_context=True, tag=reference, buildargs={"BASE": own}, labels={LABEL: "1"}, rm=True, forcerm=True, decode=True,
        timeout=600,
    ):
        said.append(str(step.get("stream") or step.get("error") or ""))
        assert "error" not in step, "".join(said)[-3000:]
    for old in client.images(filters={"label": f"{LABEL}=1"}, name="mcpweb-test-manager"):
        if old["Created"] < time.time() - AGE_S:  # of another state of the checkout
            with contextlib.suppress(errors.APIError):  # somebody uses it
                client.remove_image(old["RepoTags"][0])
    client.close()


class Composed:
    """deploy/compose.yaml, run by the engine with the same options; what is not known here is an error, not left out."""

    def __init__(self, name: str, label: dict[str, str]) -> None:
        self.name, self.label = name, label
        self.file = yaml.safe_load((DEPLOY / "compose.yaml").read_text().replace("${DOCKER_GID:?the number of the group that owns /var/run/docker.sock}", self._gid()))
        self.client = api()
        self.made: list[str] = []
        for volume, words in self.file["volumes"].items():
            self.client.create_volume(f"{name}-{volume}", driver="local", driver_opts=words.get("driver_opts"), labels=label)

    @staticmethod
    def _gid() -> str:
        return str(os.stat(ADDRESS.removeprefix("unix://")).st_gid)

    def run(self, service: str, image: str, command: list[str] | None = None, **environment: str) -> str:
        words = dict(self.file["services"][service])
        for ignored in ("image", "restart", "depends_on"):
            words.pop(ignored, None)
        variables = dict(words.pop("environment", {})) | environment
        for file in words.pop("env_file", []):
            variables |= dict(line.split("=", 1) for line in (DEPLOY / file).read_text().splitlines() if line and not line.startswith("#"))
        binds = []
        for mount in words.pop("volumes"):
            source, _, rest = mount.partition(":")
            binds.append(f"{source}:{rest}" if source.startswith("/") else f"{self.name}-{source}:{rest}")
        grace = words.pop("stop_grace_period", "10s")
        host = self.client.create_host_config(
            binds=binds, network_mode=words.pop("network_mode"), init=words.pop("init", None), read_only=words.pop("read_only"),
            cap_drop=words.pop("cap_drop"), security_opt=words.pop("security_opt"), mem_limit=words.pop("mem_limit"),
            pids_limit=words.pop("pids_limit"), tmpfs=dict(one.split(":", 1) for one in words.pop("tmpfs", [])),
        )
        user = words.pop("user", None)
        assert not words, f"{service} says what this test does not do: {words}"
        made = self.client.create_container(
            image, command, entrypoint=[] if command else None, name=f"{self.name}-{service}", user=user, environment=variables,
            host_config=host, labels=self.label, stop_signal="SIGTERM",
        )["Id"]
        self.made.append(made)
        self.client.start(made)
        assert grace.endswith("s")
        return str(made)

    def run_in(self, container: str, *words: str, given: str = "") -> str:
        """Run a command in a container as its user, and return what it says. Raises AssertionError when it fails."""
        script = ["sh", "-c", 'printf %s "$GIVEN" | "$@"', "sh", *words] if given else list(words)
        made = self.client.exec_create(container, script, environment={"GIVEN": given} if given else None)["Id"]
        said = self.client.exec_start(made).decode()
        assert self.client.exec_inspect(made)["ExitCode"] == 0, f"{words}: {said}"
        return str(said)

    def log(self, container: str) -> str:
        return str(self.client.logs(container).decode())

    def close(self) -> None:
        for made in reversed(self.made):
            self.client.remove_container(made, force=True, v=True)
        for volume in self.file["volumes"]:
            self.client.remove_volume(f"{self.name}-{volume}", force=True)
        self.client.close()


def labels_of(image: str) -> dict[str, Any]:
    client = api()
    facts = client.inspect_image(image)
    client.close()
    return json.loads(json.dumps(facts))
