"""Each check of behaviour catches the tools with its hole, and leaves their mended twins and the look-alikes alone."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.engine import DockerSession
from tests.docker.images import build_image
from tests.docker.pairs import HTTP, Asked, Bench, Seen, bench

pytestmark = pytest.mark.docker
NODE = Path(__file__).with_name("node_program.js").read_text()

ATTACKED: dict[str, Any] = {"active_probes": True, "tmpfs": {"/tmp": "64m", "/data": "16m"}}
OPEN: dict[str, Any] = {"active_probes": True}
WATCHED: dict[str, Any] = {"active_probes": False}
AUTHORISATION = {"authorisation": {
    "identities": {"ann": {"arguments": {"token": "ann-token-1"}}, "bob": {"arguments": {"token": "bob-token-2"}}},
    "objects": [{"owner": "ann", "tool": "get_note", "arguments": {"id": "1"}}, {"owner": "bob", "tool": "get_note", "arguments": {"id": "2"}}],
}}


@pytest.fixture(scope="module")
def security(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Servers under attack; beside the one that is asked for, one of those that take long and are asked for last."""
    tests = {item.originalname for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path}
    with bench(tmp_path_factory.mktemp("probes"), "security") as made:
        made.MEANWHILE = 1
        made.meanwhile(*(one for test, asked in those_that_take_long().items() if test in tests for one in asked))
        yield made


def attack(name: str, config: dict[str, Any] = ATTACKED, **more: Any) -> Asked:
    """Say how a server is attacked; a machine that is busy with other things gets more time than a quick run has."""
    return Asked(name, config, more.pop("parameters", {"probe_seconds": 45}), **more)


def attacked(security: Bench, name: str, config: dict[str, Any] = ATTACKED, **more: Any) -> Seen:
    """Return what is said of a server."""
    return security.of(attack(name, config, **more))


def fails(seen: Seen, check: str) -> dict[str, str]:
    """Return the failed tools of a check with what was said of each."""
    return {one["tool"]: f"{one['severity']}: {one['summary']}" for one in seen.of(check) if one["verdict"] == "fail"}


HOLES = [
    ("commands", "D01", {"ping": "after ;", "count_lines": "single quote", "tag": "$()", "warm_cache": "unseen", "archive": "unseen",
                         "scale": "/width", "word_count": "option"}),
    ("paths", "D02", {"read_note": "reads files", "read_page": "filter", "load_image": "encoded", "list_notes": "lists folders",
                      "save_note": "writes files", "open_document": "reads files", "template:note": "reads files",
                      "read_report": "begins like", "read_article": "ending"}),
    ("requests", "D03", {"fetch_page": "127.0.0.1:80", "preview_link": "127.", "import_feed": "redirect", "check_site": "10."}),
    ("requests", "D04", {"download": "through a URL", "read_invoice": "entity"}),
    ("languages", "D05", {"calculate": "Python expression", "greet": "template", "fill_form": "attributes", "restore": "pickled",
                          "label": "single quote", "keep_formula": "when work_out is used after", "order_total": "/order/total"}),
    ("languages", "D06", {"find_thing": "condition", "get_thing": "number", "exists": "condition", "remember": "quote"}),
]


@pytest.mark.parametrize(("name", "check", "expected"), HOLES, ids=lambda value: value if isinstance(value, str) else "")
def test_each_hole_is_found_in_its_tool(security: Bench, name: str, check: str, expected: dict[str, str]) -> None:
    found = fails(attacked(security, f"probes-{name}-holes"), check)
    assert set(found) >= set(expected), f"missed: {sorted(set(expected) - set(found))}"
    for tool, words in expected.items():
        assert words in found[tool], found[tool]


@pytest.mark.parametrize("name", ["commands", "paths", "requests", "languages"])
def test_no_mended_twin_and_no_look_alike_is_blamed(security: Bench, name: str) -> None:
    seen = attacked(security, f"probes-{name}-mended")
    blamed = {check: said for check, said in seen.failed().items() if check.startswith("D")}
    assert blamed == {}
    assert {check: seen.verdict(check) for check in ("D01", "D02", "D03", "D04", "D05", "D06")} == \
        dict.fromkeys(("D01", "D02", "D03", "D04", "D05", "D06"), "pass"), seen.report.wrong()


def test_a_tool_that_says_what_it_is_made_for_is_told_but_is_no_hidden_flaw(security: Bench) -> None:
    seen = attacked(security, "probes-by-design")
    found = {**fails(seen, "D01"), "read": fails(seen, "D02").get("read_file", "")}
    assert set(found) == {"run_command", "read"}
    assert all(said.startswith("medium") and "as it says of itself" in said for said in found.values())


def test_a_finding_holds_all_that_is_needed_to_see_it_again(security: Bench) -> None:
    one = next(one for one in attacked(security, "probes-commands-holes").of("D01", "ping") if one["verdict"] == "fail")
    sent, computed = one["evidence"]["sent"], one["evidence"]["computed"]
    assert one["input"]["method"] == "tools/call" and one["input"]["params"]["arguments"]["host"] == sent
    assert computed in one["evidence"]["answer"] and computed not in sent
    assert one["evidence"]["first"]["sent"] != sent, "it was seen twice, with other numbers"


def test_a_server_on_node_is_read_as_well_as_one_on_python(security: Bench) -> None:
    holes = security.of(on_node("holes"))
    found = {(check, tool) for check in ("D01", "D02", "D03", "D05") for tool in fails(holes, check)}
    assert found == {("D01", "lookup"), ("D02", "read_note"), ("D03", "fetch_page"), ("D05", "total"), ("D05", "welcome")}
    mended = security.of(on_node("mended"))
    assert {check: said for check, said in mended.failed().items() if check.startswith("D")} == {}


def test_nothing_is_attacked_where_the_configuration_does_not_allow_it(security: Bench) -> None:
    seen = attacked(security, "probes-commands-holes", WATCHED)
    assert fails(seen, "D01") == {}
    for check in ("D01", "D02", "D03", "D04", "D05", "D06", "D11", "D13"):
        assert seen.verdict(check) == "not_applicable", check


PLAIN = {
    "D07": {"diagnose": "the environment", "sign_in": "An error", "settings": "db_password", "*": "standard error"},
    "D08": {"*": "leaves the server"},
    "D09": {"*": "when it starts", "add": "port 4444", "weather": "data in names", "report": "metrics.test"},
    "D10": {"quote_of_the_day": "from call", "define": "hides"},
    "D12": {"*": ""},
}


@pytest.mark.parametrize("check", PLAIN)
def test_what_nobody_asked_for_is_seen_in_plain_use(security: Bench, check: str) -> None:
    found = fails(attacked(security, "probes-plain-holes", WATCHED), check)
    assert set(found) == set(PLAIN[check])
    for tool, words in PLAIN[check].items():
        assert words in found[tool], found[tool]


@pytest.mark.parametrize("name", ["probes-plain-mended", "sound"])
def test_plain_use_of_a_sound_server_raises_nothing(security: Bench, name: str) -> None:
    seen = attacked(security, name, WATCHED)
    assert {check: said for check, said in seen.failed().items() if check.startswith("D")} == {}
    assert all(seen.verdict(check) == "pass" for check in PLAIN), seen.report.wrong()


def over_http(security: Bench, name: str, config: dict[str, Any]) -> Seen:
    """Return what is said of a server that speaks HTTP and stands behind the sinkhole, of whom it asks and what it sends."""
    return security.of(attack_over_http(name, config))


def attack_over_http(name: str, config: dict[str, Any]) -> Asked:
    return attack(f"probes-{name} --http 8000", {**config, **HTTP}, parameters={"probe_seconds": 45, "checks": ["D03", "D08", "D09"]})


def test_a_server_that_speaks_http_is_watched_and_attacked_behind_the_sinkhole_too(security: Bench) -> None:
    asking, sending = over_http(security, "requests-holes", OPEN), over_http(security, "sending-holes", WATCHED)
    assert {"fetch_page", "preview_link", "import_feed"} <= set(fails(asking, "D03")), asking.said("D03")
    for check in ("D08", "D09"):
        assert set(fails(sending, check)) == set(PLAIN[check]), sending.said(check)


def test_mended_twins_that_speak_http_are_left_alone(security: Bench) -> None:
    asking, sending = over_http(security, "requests-mended", OPEN), over_http(security, "sending-mended", WATCHED)
    assert [asking.verdict(check) for check in ("D03", "D08", "D09")] == ["pass"] * 3, asking.report.wrong()
    assert [sending.verdict(check) for check in ("D08", "D09")] == ["pass"] * 2, sending.report.wrong()


def test_what_a_secret_was_sent_in_pieces_by_is_put_together(security: Bench) -> None:
    kinds = {one["evidence"]["kind"] for one in attacked(security, "probes-plain-holes", WATCHED).of("D08") if one["verdict"] == "fail"}
    assert kinds == {"dns", "http"}


def test_a_file_and_a_process_left_behind_are_both_told(security: Bench) -> None:
    keys = {one["key"] for one in attacked(security, "probes-plain-holes", WATCHED).of("D12") if one["verdict"] == "fail"}
    assert keys == {"write:/data/.autostart", "process:sleep"}


def test_one_call_that_uses_up_the_server_is_caught_and_waiting_is_not(security: Bench) -> None:
    found = fails(security.of(burden("holes")), "D11")
    assert "more memory than its limit" in found["unpack"] and "processor busy" in found["find"] and "repeat" in found
    mended = security.of(burden("mended"))
    assert mended.verdict("D11") == "pass", mended.said("D11")


def test_what_belongs_to_one_identity_is_not_to_be_had_by_the_other(security: Bench) -> None:
    found = attacked(security, "probes-owners-holes", OPEN, parameters=AUTHORISATION)
    assert "bob gets what belongs to ann" in found.said("D13")
    assert attacked(security, "probes-owners-mended", OPEN, parameters=AUTHORISATION).verdict("D13") == "pass"
    assert attacked(security, "probes-owners-mended", OPEN).verdict("D13") == "not_applicable"


def burden(name: str) -> Asked:
    return attack(f"probes-burden-{name}", OPEN, profile="full", parameters={"probe_seconds": 90})


def on_node(name: str) -> Asked:
    return attack(name, {**OPEN, "entrypoint": ("node", "-e", NODE, "--")}, image=build_image("everything"))


def those_that_take_long() -> dict[str, list[Asked]]:
    """Return what tests at the end of this file ask for. What uses up the machine is not among it: it is begun when it is asked for."""
    return {
        "test_a_server_on_node_is_read_as_well_as_one_on_python": [on_node("holes"), on_node("mended")],
        "test_a_server_that_speaks_http_is_watched_and_attacked_behind_the_sinkhole_too": [
            attack_over_http("requests-holes", OPEN), attack_over_http("sending-holes", WATCHED),
        ],
        "test_mended_twins_that_speak_http_are_left_alone": [attack_over_http("requests-mended", OPEN), attack_over_http("sending-mended", WATCHED)],
        "test_what_belongs_to_one_identity_is_not_to_be_had_by_the_other": [
            attack("probes-owners-holes", OPEN, parameters=AUTHORISATION), attack("probes-owners-mended", OPEN, parameters=AUTHORISATION),
            attack("probes-owners-mended", OPEN),
        ],
    }
