"""The web application over a core: blueprints, guards in their order, error pages."""
from __future__ import annotations

from flask import Flask, g

from mcpweb import paths
from mcpweb.core import Core, open_core
from mcpweb.rest import register_api
from mcpweb.web import BLUEPRINTS, csrf, errors, headers, identity, limits, rendering


def create_app(core: Core | None = None) -> Flask:
    """Return the application; without a core it opens its own. Nothing is open when this returns."""
    core = core or open_core(role="web")
    app = Flask("mcpweb", template_folder=str(paths.TEMPLATES), static_folder=str(paths.STATIC))
    app.config["MAX_CONTENT_LENGTH"] = limits.BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = limits.BODY_BYTES
    app.extensions["mcpweb"] = core
    if core.settings.trusted_proxies:
        from werkzeug.middleware.proxy_fix import ProxyFix

        hops = core.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    rendering.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    register_api(app)
    errors.install(app)
    for guard in (limits.guard, identity.guard, csrf.guard):
        app.before_request(guard)
    app.after_request(headers.add)
    app.teardown_appcontext(lambda _: g.pop("actor", None))
    core.close()
    core.plugins.ready(core)
    return app
