"""The tabs of a server that gather from elsewhere: its secrets and its activity."""
from __future__ import annotations

from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.services import configurations, secrets, servers
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor


def test_the_secrets_of_its_active_configuration_are_bound_and_unbound_there(
    core: Core, actor: Actor, visitor: Visitor, hx: Htmx, make_server: MakeServer
) -> None:
    server = make_server("notes")
    page = f"/servers/{server.id}/secrets"
    assert "No secret is bound." in visitor.get(page).text
    key = secrets.add(core, actor, name="api-key", value=Sensitive("a long enough value"))
    active = configurations.listing(core, actor, server_id=server.id).rows[0]
    form = {"secret": key.id, "variable": "API_KEY", "need": "required", "delivery": "stdin"}
    assert visitor.post(f"/servers/{server.id}/configurations/{active.id}/bindings", form, page=page).status_code == 303
    for text in (visitor.get(page).text, hx.get(page).text):
        assert "API_KEY" in text and "api-key" in text and "a long enough value" not in text
    binding = visitor.get(page).text.split('action="/bindings/')[1].split("/")[0]
    visitor.post(f"/bindings/{binding}/remove", page=page)
    assert "No secret is bound." in visitor.get(page).text


def test_its_activity_shows_jobs_to_all_and_audit_rows_to_admins(
    core: Core, actor: Actor, visitor: Visitor, new_visitor: NewVisitor, make_server: MakeServer
) -> None:
    server, other = make_server("notes"), make_server("other")
    servers.request(core, actor, server.id, "stop")
    servers.request(core, actor, other.id, "pull")
    page = f"/servers/{server.id}/activity"
    text = visitor.get(page).text
    assert "server.stop" in text and "server.add" in text and "server.pull" not in text
    seen = new_visitor().sign_in("viewer").get(page).text
    assert "Stop" in seen[seen.index("<main"):] and "server.stop" not in seen
