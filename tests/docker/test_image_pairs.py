"""I01 and I02 on two images that differ in what is wrong with the one: root, setuid, secrets in variables, steps and old layers, age."""
from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker.engine import DockerSession, api
from tests.docker.pairs import Seen, bench

pytestmark = pytest.mark.docker
PEM = "-----BEGIN {} KEY-----\n" + "MIIEowIBAAKCAQEAv0pBqkW7n2Qd9tXh4LrZ8sYc3uFj6mGe\n" * 4 + "-----END {} KEY-----\n"
PRIVATE, PUBLIC = PEM.format("RSA PRIVATE", "RSA PRIVATE"), PEM.format("PUBLIC", "PUBLIC")
DPKG = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2.8\n\nPackage: bash\nVersion: 4.4\n"
TOKEN = "npm_" + "a8Kd92jfLq0Zx7Wm3Rt5Yv1Bn6Cp4Hs2Gu9E"
LEAKY = {
    "srv/app/deploy_key.pem": PRIVATE, "home/app/.npmrc": f"//packages.example/:_authToken={TOKEN}\n", "etc/os-release": "ID=debian\nVERSION_ID=\"9\"\n",
    "var/lib/dpkg/status": DPKG, "opt/site/requests-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: requests\nVersion: 2.0\n",
    "srv/node_modules/left-pad/package.json": '{"name": "left-pad", "version": "1.3.0"}',
}
CLEAN = {
    "srv/app/public.pem": PUBLIC, "home/app/.npmrc": "registry=https://packages.example/\n//packages.example/:_authToken=${NPM_TOKEN}\n",
    "etc/os-release": "ID=debian\nVERSION_ID=\"13\"\n", "var/lib/dpkg/status": DPKG,
    "srv/app/.env.example": "API_KEY=your-key-here\nDB_PASSWORD=changeme\n", "srv/app/settings.py": 'PASSWORD = os.environ["DB_PASSWORD"]\nTOKEN_URL = "https://x/y"\n',
    "opt/packages/lib-1.0.dist-info/METADATA": "Name: lib\nVersion: 1.0\n", "opt/packages/lib/tests_key.pem": PRIVATE,
    "usr/lib/python3/dist-packages/x/test.pem": PRIVATE,
}
SETUID = "import os, shutil; os.makedirs('/usr/local/bin', exist_ok=True)"
COPIED = "; shutil.copy('/etc/os-release', '{0}'); os.chmod('{0}', 0o4755)"
STEPS = {
    "leaky": [
        "USER root", "ENV DB_PASSWORD=kx93-Tulpe-7", "COPY files/ /",
        f'RUN ["python3", "-c", "{SETUID}; os.remove(\'/srv/app/deploy_key.pem\'){COPIED.format("/usr/local/bin/helper")}{COPIED.format("/usr/bin/su")}"]',
        "ENV DB_PASSWORD=",
    ],
    "clean": [
        "USER root", "ENV DB_PASSWORD_FILE=/run/secrets/db TOKEN_COUNT=5 API_KEY=changeme", "COPY files/ /",
        f'RUN ["python3", "-c", "{SETUID}{COPIED.format("/usr/bin/su")}"]', "USER 65534:65534",
    ],
}


def build(client: Any, base: str, steps: list[str], files: dict[str, str]) -> str:
    """Build an image with the engine's own builder, no network needed, and return its reference."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in {"Dockerfile": "\n".join([f"FROM {base}", *steps]), **{f"files/{name}": text for name, text in files.items()}}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    reference = f"mcpweb-test-image:{secrets.token_hex(4)}"
    lines = list(client.build(fileobj=io.BytesIO(out.getvalue()), custom_context=True, tag=reference, rm=True, forcerm=True, network_mode="none",
                              labels={"mcpweb.test": "image"}, decode=True))
    assert "error" not in lines[-1], lines[-1]
    return reference


@pytest.fixture(scope="module")
def seen(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    """Run the security test on both images."""
    client = api()
    with bench(tmp_path_factory.mktemp("images"), "security") as made:
        images = {name: build(client, made.image, steps, LEAKY if name == "leaky" else CLEAN) for name, steps in STEPS.items()}
        try:
            yield {name: made.run("sound", image=image, parameters={"checks": ["I"]}) for name, image in images.items()}
        finally:
            for image in images.values():
                client.remove_image(image, force=True)
            client.close()


def keys(seen: Seen, check: str = "I01") -> dict[str, str]:
    return {one["summary"]: one["severity"] for one in seen.of(check) if one["verdict"] == "fail"}


@pytest.mark.parametrize(("severity", "said"), [
    ("medium", "runs as root in its container"),
    ("medium", "/usr/local/bin/helper is a program that runs as root"),
    ("high", "a value named like a secret (DB_PASSWORD)"),
    ("high", "an npm token in /home/app/.npmrc"),
    ("high", "a private key in /srv/app/deploy_key.pem, in layer"),
    ("high", "taken away in layer"),
])
def test_what_is_wrong_with_an_image_is_found(seen: dict[str, Seen], severity: str, said: str) -> None:
    found = keys(seen["leaky"])
    assert severity in [one for summary, one in found.items() if said in summary], found


def test_no_secret_stands_in_what_is_told_of_it(seen: dict[str, Seen]) -> None:
    text = str([result.output_data for result in seen["leaky"].results])
    assert "Tulpe" not in text and TOKEN not in text and "MIIEow" not in text


def test_an_image_that_keeps_its_secrets_elsewhere_is_left_alone(seen: dict[str, Seen]) -> None:
    assert keys(seen["clean"]) == {} and seen["clean"].verdict("I01") == "pass"


def test_what_an_image_is_made_of_is_listed_and_its_age_is_told(seen: dict[str, Seen]) -> None:
    assert [*keys(seen["leaky"], "I02").values()] == ["medium"]
    assert keys(seen["clean"], "I02") == {}
    listed = next(one for one in seen["leaky"].of("I02") if one["verdict"] == "pass")["evidence"]["cyclonedx"]
    assert listed["bomFormat"] == "CycloneDX"
    assert {one["purl"] for one in listed["components"]} == {
        "pkg:deb/debian/zlib1g@1%3A1.2.8?arch=amd64", "pkg:deb/debian/bash@4.4?arch=all", "pkg:pypi/requests@2.0", "pkg:npm/left-pad@1.3.0",
    }
