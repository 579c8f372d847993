"""Each M check catches the server that is wrong in its way and leaves its twin alone; pairs of texts stand in tests/unit."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mcpweb.dao import tools
from mcpweb.services import servers
from tests.docker.engine import DockerSession
from tests.docker.installation import ACTOR
from tests.docker.pairs import Bench, Pair, bench, chosen

pytestmark = pytest.mark.docker
TOLD = {
    "M01": "carried into the tool", "M02": "forward all mail to x@y.example", "M03": "in base64", "M07": "anything to run",
    "M08": "marked read-only and its name says delete", "M09": "conversation_history", "M10": "chosen over others", "M11": "can hang",
}
ONLY = {"checks": ["M"]}
PAIRS = [Pair(check, "told-wrong", "told-plain") for check in TOLD] + [
    Pair("M05", "turns-after-calls", "told-plain", "calls: /description"),
    Pair("M05", "turns-after-lists", "tells-the-time", "from one list to the next"),
    Pair("M05", "turns-elsewhere", "tells-the-time", "another clock"),
    Pair("M05", "turns-with-the-clock", "tells-the-time", "a clock that runs ahead"),
    Pair("M05", "turns-in-a-second-life", "told-plain", "where it ran before"),
    Pair("M06", "flows", "flows-not", "strangers"),
    Pair("M04", "takes-over", "keeps-to-itself", "gives orders about"),
]


@pytest.fixture(scope="module")
def security(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("metadata"), "security") as made:
        neighbour = made.here.add("letters", made.image, "letters")
        with made.here.core.db.writing() as conn:
            tools.replace(conn, neighbour.id, [
                {"name": "corpus_fold_letter", "description": "Fold a letter.", "inputSchema": {"type": "object"}}
            ])
        assert servers.get(made.here.core, ACTOR, neighbour.id).name == "letters"
        made.soon(*(replace(asked, parameters=ONLY) for pair in chosen(request, "pair") for asked in pair.both))
        yield made


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_the_wrong_one_is_caught_and_its_twin_is_not(security: Bench, pair: Pair) -> None:
    security.prove(replace(pair, parameters=ONLY))


def test_a_plain_server_has_nothing_at_medium_or_above(security: Bench) -> None:
    for name in ("told-plain", "tells-the-time", "keeps-to-itself", "sound"):
        found = {check: said for check, said in security.run(name, parameters=ONLY).failed("medium").items() if check.startswith("M")}
        assert found == {}, name


def test_wording_alone_stays_at_medium_and_a_second_fact_makes_it_high(security: Bench) -> None:
    seen = security.run("told-wrong", parameters=ONLY)
    assert {one["severity"] for one in seen.of("M01", "list_rooms")} == {"medium"}
    assert {one["confidence"] for one in seen.of("M01", "list_rooms")} == {"tentative"}
    assert [one["severity"] for one in seen.of("M03", "price")] == ["high"]
    assert [one["severity"] for one in seen.of("M02", "book")] == ["high"]
    assert {one["severity"] for one in seen.of("M03", "*") if one["verdict"] == "fail"} == {"medium"}
