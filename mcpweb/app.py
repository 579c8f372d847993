"""The web application over a core: blueprints, guards in their order, error pages."""
from __future__ import annotations

import os
import threading
from collections.abc import Callable

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

from mcpweb import origin, paths, supervisor
from mcpweb.core import Core, open_core
from mcpweb.errors import SchemaChanged
from mcpweb.fitness import Fitness
from mcpweb.rest import register_api
from mcpweb.web import BLUEPRINTS, accesslog, csrf, errors, headers, identity, limits, metrics, pluginpages, rendering
from mcpweb.web.rules import Rule
from mcpweb.web.traffic import Traffic


def create_app(core: Core | None = None) -> Flask:
    """Return the application; without a core it opens its own. Nothing is open when this returns."""
    core = core or open_core(role="web")
    app = Flask("mcpweb", template_folder=str(paths.TEMPLATES), static_folder=None)
    app.url_rule_class = Rule
    app.config["MAX_CONTENT_LENGTH"] = limits.BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = limits.BODY_BYTES
    app.extensions["mcpweb"] = core
    if core.settings.trusted_proxies:
        hops = core.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    traffic = app.extensions[metrics.EXTENSION] = Traffic()
    app.wsgi_app = traffic.around(app.wsgi_app)  # type: ignore[method-assign]
    rendering.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    register_api(app)
    pluginpages.mount(app, core)
    errors.install(app)
    for guard in (limits.guard, identity.guard, csrf.guard):
        app.before_request(guard)
    app.after_request(headers.add)
    app.after_request(accesslog.note)
    app.teardown_request(lambda _: origin.leave())
    app.before_request(_told_plugins(core))
    app.before_request(_fit(core))
    core.close()
    return app


def _told_plugins(core: Core) -> Callable[[], None]:
    """Return a guard that tells plugins once per process, after the fork, that the application stands."""
    told: set[int] = set()
    lock = threading.Lock()

    def guard() -> None:
        with lock:
            new = os.getpid() not in told
            told.add(os.getpid())
        if new:
            core.plugins.ready(core)

    return guard


def _fit(core: Core) -> Callable[[], None]:
    """Return a guard that answers 503 after an upgrade and lets the supervisor start the set again."""
    fitness = Fitness(core.db)

    def guard() -> None:
        if request.endpoint == "static":  # a page that says what is wrong keeps its looks
            return
        try:
            fitness.check()
        except SchemaChanged:
            supervisor.restart_web()
            raise

    return guard
