"""The corpus stands on a sound server: in both eras and over both transports the connection test has nothing to say."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.engine import DockerSession
from tests.docker.pairs import HTTP, Bench, bench

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def connection(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("corpus"), "connection") as made:
        yield made


def test_the_sound_server_of_the_corpus_is_sound(connection: Bench) -> None:
    assert connection.run("sound").report.wrong() == {}
    assert connection.run("sound --http 8000", config=HTTP).report.wrong() == {}
