"""Pages of plugins under ``/p/<plugin>/``, and the other ways to sign in that they offer."""
from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from flask import Flask, current_app, request
from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PrefixLoader

from mcpweb.contracts import Link
from mcpweb.core import Core
from mcpweb.errors import NotFound
from mcpweb.web.permissions import PUBLIC, permission

PREFIX = "/p/"


def mount(app: Flask, core: Core) -> None:
    """Mount the blueprints of all plugins and let their templates be found; one that does not fit is left out and recorded."""
    for name, blueprints in core.plugins.collect("mcpweb_add_blueprints", settings=core.settings):
        for blueprint in blueprints:
            try:
                app.register_blueprint(blueprint, url_prefix=f"{PREFIX}{name}", name=f"p_{name}_{blueprint.name}")
            except Exception as error:
                core.plugins.fail(name, "mcpweb_add_blueprints", error)
    for endpoint, view in app.view_functions.items():
        if endpoint.startswith("p_") and endpoint.endswith(".static"):
            app.view_functions[endpoint] = permission(PUBLIC)(lambda *given, _view=view, **named: _view(*given, **named))
    folders: dict[str, BaseLoader] = {
        record.name: FileSystemLoader(folder)
        for record in core.plugins.records.values()
        if record.module is not None and (folder := Path(record.module.__file__ or "").parent / "templates").is_dir()
    }
    if folders and app.jinja_loader is not None:
        app.jinja_loader = ChoiceLoader([app.jinja_loader, PrefixLoader(folders)])
    app.before_request(_only_while_loaded)


def _only_while_loaded() -> None:
    """Raise NotFound for the pages of a plugin that was taken out meanwhile."""
    if request.path.startswith(PREFIX):
        record = current_app.extensions["mcpweb"].plugins.records.get(request.path.split("/")[2])
        if record is None or record.state != "loaded":
            raise NotFound("This plugin is not loaded.")


def sign_in_links(core: Core, then: str, *, confirm: bool = False) -> list[Link]:
    """Return the other ways to sign in, each leading on to a page of ours."""
    asked = urlencode({"next": then, **({"confirm": "1"} if confirm else {})})
    return [
        Link(link.title, f"{link.url}?{asked}")
        for name, links in core.plugins.collect("mcpweb_add_sign_in_links", settings=core.settings)
        for link in links if link.url.startswith(f"{PREFIX}{name}/")
    ]
