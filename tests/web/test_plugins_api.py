"""Plugins over the API and the page: listed to everybody, switched off and allowed again by an admin."""
from __future__ import annotations

from typing import Any

import pytest

from mcpweb.contracts import Actor, Role
from mcpweb.core import Core
from mcpweb.services import accounts
from mcpweb.testing.fixtures import HOST, Htmx, NewVisitor, Visitor


def ask(core: Core, visitor: Visitor, method: str, path: str) -> Any:
    assert visitor.user is not None
    token = accounts.create_token(core, Actor.cli("x"), user=visitor.user.id, name=f"t{path[-30:]}{method}", role=None, days=1)
    return visitor.app.test_client().open(
        f"/api/v1/{path}", method=method, headers={"Authorization": f"Bearer {token}"}, base_url=f"http://{HOST}"
    )


def test_an_admin_switches_a_plugin_off_and_allows_it_again(core: Core, visitor: Visitor) -> None:
    off = ask(core, visitor, "POST", "plugins/events_log/disable")
    assert off.status_code == 200 and (off.json["state"], off.json["needs_restart"]) == ("off", False) and "Switched off" in off.json["error"]
    on = ask(core, visitor, "POST", "plugins/events_log/enable")
    assert (on.json["state"], on.json["needs_restart"], on.json["error"]) == ("off", True, "")
    listed = {one["name"]: one for one in ask(core, visitor, "GET", "plugins").json["items"]}
    assert listed["events_log"]["needs_restart"] and listed["testtype_security"]["state"] == "loaded"
    for name, status in (("identity_accounts", 409), ("keysource_file", 409), ("nobody", 404)):
        answer = ask(core, visitor, "POST", f"plugins/{name}/disable")
        assert answer.status_code == status and answer.json["detail"]


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_others_look_and_have_no_button(core: Core, new_visitor: NewVisitor, role: Role) -> None:
    visitor = new_visitor().sign_in(role)
    assert ask(core, visitor, "GET", "plugins/events_log").status_code == 200
    for verb in ("enable", "disable"):
        assert ask(core, visitor, "POST", f"plugins/events_log/{verb}").status_code == 403
    page = visitor.get("/plugins").text
    assert "events_log" in page and "/disable" not in page


def test_the_page_switches_in_place(core: Core, hx: Htmx) -> None:
    answer = hx.post("/plugins/events_log/disable", page="/plugins")
    assert answer.status_code == 204 and answer.headers["HX-Trigger"] == "plugin-changed"
    assert "/plugins/events_log/enable" in hx.get("/plugins").text and "/plugins/identity_accounts/" not in hx.get("/plugins").text
