"""Pulling: progress people can follow, a digest to rely on, a reason when it fails, an end when it is cancelled."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from mcpweb_plugins.runtime_docker.images import _Layers
from mcpweb_plugins.runtime_docker.runtime import DockerRuntime

from mcpweb.contracts import Sensitive
from mcpweb.errors import Cancelled, ImageMissing, PullFailed
from tests.docker.engine import api
from tests.docker.small_registry import SmallRegistry, digest


@pytest.fixture
def registry(docker_session: Any) -> Iterator[SmallRegistry]:
    registry = SmallRegistry()
    yield registry
    registry.close()
    for image in api().images():
        for name in [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]:
            if name.startswith(registry.host):
                with contextlib.suppress(Exception):
                    api().remove_image(image["Id"], force=True)


def quiet(fraction: float | None, sentence: str) -> None:
    """Listen to no progress."""


def test_a_pull_tells_how_far_it_is_and_which_digest_it_brought(
    registry: SmallRegistry, runtime: DockerRuntime
) -> None:
    registry.drip_s = 0.02
    told: list[tuple[float | None, str]] = []
    facts = runtime.pull(registry.reference, lambda fraction, sentence: told.append((fraction, sentence)))
    fractions = [fraction for fraction, _ in told if fraction is not None]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert any(0.05 < fraction < 0.95 for fraction in fractions)
    assert all(sentence for _, sentence in told)
    assert facts.digest == digest(registry.manifest)
    assert (facts.command, facts.user, facts.exposed_ports) == (("/hello",), "1000", (8000,))
    assert (facts.labels, facts.architecture, facts.os) == ({"a": "b"}, "amd64", "linux")


def test_a_pull_by_digest_brings_exactly_that_image(registry: SmallRegistry, runtime: DockerRuntime) -> None:
    pinned = f"{registry.host}/small@{digest(registry.manifest)}"
    assert runtime.pull(pinned, quiet).digest == digest(registry.manifest)
    assert runtime.image(pinned).digest == digest(registry.manifest)
    other = f"{registry.host}/small@sha256:{'0' * 64}"
    with pytest.raises(PullFailed):
        runtime.pull(other, quiet)


def test_pulling_what_is_there_already_is_quick_and_fine(registry: SmallRegistry, runtime: DockerRuntime) -> None:
    first = runtime.pull(registry.reference, quiet)
    assert runtime.pull(registry.reference, quiet).id == first.id


def test_a_tag_that_does_not_exist_is_named(registry: SmallRegistry, runtime: DockerRuntime) -> None:
    with pytest.raises(PullFailed, match="There is no image") as caught:
        runtime.pull(f"{registry.host}/small:2", quiet)
    assert "small:2" in caught.value.detail and "tag" in caught.value.next_step


def test_a_registry_that_wants_a_sign_in_is_told_apart(registry: SmallRegistry, runtime: DockerRuntime) -> None:
    registry.closed = True
    with pytest.raises(PullFailed, match="does not let us") as caught:
        runtime.pull(registry.reference, quiet)
    assert "docker login" in caught.value.next_step


def test_a_layer_that_is_not_what_was_promised_is_refused(registry: SmallRegistry, runtime: DockerRuntime) -> None:
    registry.spoiled = True
    with pytest.raises(PullFailed):
        runtime.pull(registry.reference, quiet)
    with pytest.raises(ImageMissing):
        runtime.image(registry.reference)


def test_a_cancelled_pull_ends_at_once_and_leaves_no_image(registry: SmallRegistry, runtime: DockerRuntime) -> None:
    registry.drip_s = 0.3  # about 15 s in all
    begun: list[float] = []

    def progress(fraction: float | None, sentence: str) -> None:
        if fraction is not None and fraction > 0.02:
            begun.append(time.monotonic())
            raise Cancelled("Somebody cancelled it.")

    with pytest.raises(Cancelled):
        runtime.pull(registry.reference, progress)
    assert time.monotonic() - begun[0] < 1.0
    assert registry.aborted.wait(5), "the engine goes on downloading"
    with pytest.raises(ImageMissing):
        runtime.image(registry.reference)


def test_a_pull_can_be_cancelled_while_nothing_comes(registry: SmallRegistry, runtime: DockerRuntime) -> None:
    registry.drip_s = 5.0
    began = time.monotonic()

    def progress(fraction: float | None, sentence: str) -> None:
        if time.monotonic() - began > 1.0:
            raise Cancelled("Somebody cancelled it.")

    with pytest.raises(Cancelled):
        runtime.pull(registry.reference, progress)
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize("reference", ["", "sha256:" + "0" * 64, "0" * 64, "a b", "A/B:", "x@sha256:12", "../x", "-x"])
def test_what_is_not_a_reference_is_refused_before_anybody_is_asked(runtime: DockerRuntime, reference: str) -> None:
    with pytest.raises(PullFailed):
        runtime.pull(reference, quiet)


def test_progress_never_runs_backwards_when_layers_join_late() -> None:
    layers = _Layers()
    seen = []
    for message in (
        {"id": "a", "status": "Downloading", "progressDetail": {"current": 90, "total": 100}},
        {"id": "b", "status": "Downloading", "progressDetail": {"current": 0, "total": 900}},
        {"id": "a", "status": "Extracting", "progressDetail": {"current": 50, "total": 100}},
        {"id": "a", "status": "Pull complete"},
        {"id": "b", "status": "Pull complete"},
    ):
        layers.take(message)
        seen.append(layers.fraction)
    assert seen == sorted(seen, key=lambda fraction: fraction or 0)


def test_a_private_registry_gives_its_image_to_the_right_sign_in_only_and_no_fault_tells_the_password(
    registry: SmallRegistry, runtime: DockerRuntime
) -> None:
    registry.login = "reader:correct horse 7"
    for wrong in (None, Sensitive("reader:battery-staple-9")):
        with pytest.raises(PullFailed, match="does not let us") as caught:
            runtime.pull(registry.reference, quiet, login=wrong)
        assert caught.value.code == "pull_denied" and "battery" not in caught.value.sentence
        with pytest.raises(ImageMissing):
            runtime.image(registry.reference)
    facts = runtime.pull(registry.reference, quiet, login=Sensitive(registry.login))
    assert facts.digest == digest(registry.manifest)


def test_a_pull_from_a_private_registry_that_drips_ends_when_it_is_cancelled_and_leaves_no_image(
    registry: SmallRegistry, runtime: DockerRuntime
) -> None:
    registry.login, registry.drip_s = "reader:correct horse 7", 0.2

    def progress(fraction: float | None, sentence: str) -> None:
        if fraction is not None and fraction > 0.02:
            raise Cancelled("It was cancelled.")

    before = time.monotonic()
    with pytest.raises(Cancelled):
        runtime.pull(registry.reference, progress, login=Sensitive(registry.login))
    assert time.monotonic() - before < 5 and registry.aborted.wait(5)
    with pytest.raises(ImageMissing):
        runtime.image(registry.reference)
