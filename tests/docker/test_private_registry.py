"""A pull as a job from a registry that wants a sign-in: the secret named after it opens it, cancelling ends it, the password stays hidden."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpweb.contracts import Sensitive
from mcpweb.services import jobs, registries, servers
from tests.docker.engine import api
from tests.docker.installation import ACTOR, Installation
from tests.docker.small_registry import SmallRegistry, digest

PASSWORD = "correct-horse-7-battery"


@pytest.fixture
def registry(docker_session: Any) -> Iterator[SmallRegistry]:
    registry = SmallRegistry()
    registry.login = f"reader:{PASSWORD}"
    yield registry
    registry.close()
    for image in api().images():
        for name in [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]:
            if name.startswith(registry.host):
                with contextlib.suppress(Exception):
                    api().remove_image(image["Id"], force=True)


def test_a_pull_signs_in_with_the_secret_of_its_registry_and_says_which_digest_it_brought(registry: SmallRegistry, tmp_path: Path) -> None:
    house = Installation(tmp_path)
    try:
        server = house.add("small", registry.reference)
        refused = house.ask(server, "pull")
        assert refused.state == "failed" and refused.error and refused.error["code"] == "pull_denied"
        registries.remember(house.core, ACTOR, server.image, "reader", Sensitive("another-password"))
        refused = house.ask(server, "pull")
        assert refused.error and refused.error["code"] == "pull_denied" and "another-password" not in str(refused)
        registries.remember(house.core, ACTOR, server.image, "reader", Sensitive(PASSWORD))
        done = house.ask(server, "pull")
        assert done.state == "succeeded" and done.result["digest"] == digest(registry.manifest)
    finally:
        house.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 2 and not [path for path in files if PASSWORD.encode() in path.read_bytes()]


def test_a_cancelled_pull_ends_soon_and_can_be_asked_for_again(registry: SmallRegistry, tmp_path: Path) -> None:
    house = Installation(tmp_path)
    try:
        server = house.add("small", registry.reference)
        registries.remember(house.core, ACTOR, server.image, "reader", Sensitive(PASSWORD))
        registry.drip_s = 0.3
        job = servers.request(house.core, ACTOR, server.id, "pull")
        jobs.wait(house.core, job.id, 2.0)
        jobs.cancel(house.core, ACTOR, job.id)
        before = time.monotonic()
        assert house.wait(job, 15).state == "cancelled" and time.monotonic() - before < 10
        assert registry.aborted.wait(10)
        registry.drip_s = 0.0
        assert house.ask(server, "pull").state == "succeeded"
    finally:
        house.close()
