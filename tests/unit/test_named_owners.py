"""D13 where who asks is an argument: pairs of servers that do and do not look at it, without a container."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mcpweb import paths
from mcpweb.pluginhost import import_folder

import_folder("testtype_security", paths.PLUGINS / "testtype_security")

from mcpweb_plugins.testtype_security.probes import named  # noqa: E402 - exists from here on
from mcpweb_plugins.testtype_security.probes.lab import Reply  # noqa: E402
from mcpweb_plugins.testtype_security.probes.surfaces import surfaces  # noqa: E402

LOANS = {"L-17": ("M-100", "Dune"), "L-18": ("M-200", "Emma"), "L-19": ("M-100", "Ulysses")}
MEMBER = {"type": "string", "examples": ["M-100", "M-200"]}
Show = Callable[[str, str], Reply]


def tool(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object", "properties": properties, "required": list(properties)}}


def careless(member: str, loan: str) -> Reply:
    owner, title = LOANS[loan]
    return Reply(f"loan {loan}: {title}, borrowed by {owner}", "ok")


def careful(member: str, loan: str) -> Reply:
    return careless(member, loan) if LOANS[loan][0] == member else Reply("no such loan", "is_error")


def anyone(member: str, loan: str) -> Reply:
    """A look-alike: a title is no secret, whoever asks."""
    return Reply(f"title of {loan}: {LOANS[loan][1]}", "ok")


def told(show: Show, loan: Mapping[str, Any], description: str = "Shows a loan.") -> named.Compared:
    tools = [tool("loans", "Loans of a member.", member_id=MEMBER), tool("show_loan", description, member_id={"type": "string"}, loan=loan)]

    def ask(surface: Any, arguments: Mapping[str, Any]) -> Reply:
        if surface.name == "loans":
            return Reply(", ".join(one for one, (owner, _) in LOANS.items() if owner == arguments["member_id"]), "ok")
        known = arguments["loan"] in LOANS
        return show(arguments["member_id"], arguments["loan"]) if known else Reply("no such loan", "is_error")

    return named.compare(surfaces({"tools": tools}), ask, "D13", "")


@pytest.mark.parametrize("loan", [{"type": "string", "examples": ["L-17", "L-18"]}, {"type": "string", "pattern": "^L-[0-9]{2}$"}], ids=["examples", "from the list"])
def test_who_gets_what_only_anothers_list_has_is_told_and_the_mended_twin_is_not(loan: dict[str, Any]) -> None:
    found = told(careless, loan).found
    assert [(one.tool, one.severity) for one in found] == [("show_loan", "high")]
    assert found[0].evidence["owner"] != found[0].evidence["other"]
    assert told(careful, loan).found == () and told(careful, loan).asked > 0


def test_what_is_open_to_all_is_no_find_unless_the_tool_says_it_is_the_owners_own() -> None:
    loan = {"type": "string", "examples": ["L-17", "L-18"]}
    assert told(anyone, loan, "Title of a loan.").found == ()
    assert len(told(anyone, loan, "Title of one of the member's own loans.").found) == 1


BOXES = {"B-1": ("M-100", {"K-31": "a diary", "K-32": "letters"}), "B-2": ("M-200", {"K-41": "a will"}), "B-3": ("M-300", {"K-51": "seals"})}


def in_boxes(look: Callable[[str, str], str | None], description: str) -> named.Compared:
    """Boxes belong to members, and papers to boxes; ``look`` says what is read of a paper beside a box that is the member's."""
    box, paper = {"type": "string", "pattern": "^B-[0-9]$"}, {"type": "string", "pattern": "^K-[0-9]{2}$"}
    member = {"type": "string"}
    tools = [
        tool("boxes", "Boxes of a member.", member_id=MEMBER), tool("show_box", "What is in a box.", member_id=member, box=box),
        tool("read_paper", description, member_id=member, box=box, paper=paper),
    ]

    def ask(surface: Any, arguments: Mapping[str, Any]) -> Reply:
        who, asked = arguments["member_id"], arguments.get("box", "")
        if surface.name == "boxes":
            return Reply(", ".join(one for one, (owner, _) in BOXES.items() if owner == who), "ok")
        if BOXES.get(asked, ("",))[0] != who:
            return Reply("no such box", "is_error")
        if surface.name == "show_box":
            return Reply(f"in it: {', '.join(BOXES[asked][1])}", "ok")
        said = look(asked, arguments["paper"])
        return Reply(f"it says: {said}", "ok") if said else Reply("no such paper", "is_error")

    return named.compare(surfaces({"tools": tools}), ask, "D13", "")


def test_a_thing_inside_of_anothers_thing_is_not_given_beside_one_of_ones_own() -> None:
    papers = {paper: said for _, inside in BOXES.values() for paper, said in inside.items()}
    found = in_boxes(lambda box, paper: papers.get(paper), "Reads a paper of the member's own box.").found
    assert [(one.tool, one.severity, one.key) for one in found] == [("read_paper", "high", "member_id:paper")]
    assert in_boxes(lambda box, paper: BOXES[box][1].get(paper), "Reads a paper of the member's own box.").found == ()
    assert in_boxes(lambda box, paper: papers.get(paper), "Title of a printed paper.").found == (), "which may be for all"
