"""Every hook with its promise. ``mcpweb docs hooks`` prints this file as a reference.

The order in each docstring: what; when and how often; what wins; what each argument is for; what may be raised.
A hook function takes only the arguments it needs, by name.
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from mcpweb.contracts import Actor, Cipher, KeySource, Link, Runtime, Setting, TestContext, TestOutcome, TestType
from mcpweb.events import Event

if TYPE_CHECKING:
    from mcpweb.core import Core
    from mcpweb.settings import Settings

PROJECT = "mcpweb"
API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Specs:
    """The hooks, in the order a plugin author meets them."""

    @hookspec
    def mcpweb_app_ready(self, core: Core) -> None:
        """Hear that the application stands.

        Called once per process, after fork; a plugin registered later hears it too. Every implementation is called.
        ``core`` is the application; ``core.role`` says web, worker, cli or child.
        What is raised is recorded with the plugin and stops nothing.
        """

    @hookspec
    def mcpweb_add_settings(self) -> list[Setting]:  # type: ignore[empty-body]
        """Contribute settings, read from ``MCPWEB_PLUGIN_<PLUGIN>_<NAME>``.

        Called whenever settings are listed or explained. All lists are joined; the plugin reads its values from
        ``settings.plugin_values``.
        """

    @hookspec
    def mcpweb_add_runtimes(self, settings: Settings) -> list[Runtime]:  # type: ignore[empty-body]
        """Contribute runtimes: ways to run servers.

        Called once at start of the worker and of commands that need a runtime. The first runtime of a name wins;
        a second one of the same name is an error of its plugin.
        ``settings`` are the settings in force. Must not talk to the engine yet.
        """

    @hookspec
    def mcpweb_add_ciphers(self, settings: Settings) -> list[Cipher]:  # type: ignore[empty-body]
        """Contribute ciphers: ways to encrypt secrets.

        Called once per process, when a secret is first written or opened. A name that exists already is an error of
        the later plugin. A key keeps the cipher it was made with; new keys take AES-256-GCM unless told otherwise.
        ``settings`` are the settings in force.
        """

    @hookspec
    def mcpweb_add_key_sources(self, settings: Settings) -> list[KeySource]:  # type: ignore[empty-body]
        """Contribute key sources: places outside the database that wrap the keys, such as a team's KMS.

        Called once per process, when keys are first needed. A name that exists already is an error of the later
        plugin. ``MCPWEB_KEY_SOURCE`` names the one that new keys use.
        ``settings`` are the settings in force. Must not read key material yet.
        """

    @hookspec
    def mcpweb_add_test_types(self) -> list[TestType]:  # type: ignore[empty-body]
        """Contribute test types.

        Called once at start of each process and of each run child. A name that exists already is an error of
        the later plugin. ``TestContext`` in ``mcpweb/contracts/bench.py`` is all a test type gets; inherit
        ``TestTypeContract`` of ``mcpweb.testing.contracts`` to prove that it keeps its promises on any server.
        """

    @hookspec
    def mcpweb_add_migrations(self) -> Path:  # type: ignore[empty-body]
        """Contribute a folder of numbered SQL files for the plugin's own tables, all named ``p_<plugin>_…``.

        Called once by the process that holds the migration lock. Each plugin has its own series in the ledger.
        """

    @hookspec
    def mcpweb_add_blueprints(self, settings: Settings) -> list[Any]:  # type: ignore[empty-body]
        """Contribute pages: Flask blueprints, mounted at ``/p/<plugin>/``.

        Called once per application, when it is made. All are mounted. Each view names its permission with
        ``mcpweb.plugin.permission``, or it is not served; guards, headers and error pages are those of our own pages.
        Templates in the plugin's folder ``templates/`` are reached as ``<plugin>/…``.
        ``settings`` are the settings in force. Make new blueprints each time. Must not open anything yet.
        """

    @hookspec
    def mcpweb_add_sign_in_links(self, settings: Settings) -> list[Link]:  # type: ignore[empty-body]
        """Offer another way to sign in: a button on the sign-in page and where the password is asked for once more.

        Called each time one of these pages is shown. All lists are joined. The page where one wanted to go is added as
        ``next``, and ``confirm=1`` when somebody who is signed in has to show again who they are.
        ``settings`` are the settings in force. Only links below the plugin's own ``/p/<plugin>/`` are shown.
        """

    @hookspec(firstresult=True)
    def mcpweb_authenticate(self, request: Any, core: Core) -> Actor | None:
        """Say who sends this request.

        Called once per HTTP request to a route that is not public, before anything else of it is read. The first
        actor wins; None means "not mine". The built-in accounts come last.
        ``request`` is Flask's request, ``core`` the application. Raise Unauthenticated for "mine, and bad".
        """

    @hookspec
    def mcpweb_authorize(self, actor: Actor, action: str, resource: Mapping[str, Any]) -> bool | None:  # type: ignore[empty-body]
        """Allow, deny, or stay silent about one action.

        Called for each use case before its transaction. Any False wins, then any True; silence means no.
        ``actor`` is who asks, ``action`` the permission (``server.operate``), ``resource`` what it is about (ids).
        Fails closed: what is raised denies.
        """

    @hookspec(firstresult=True)
    def mcpweb_run_test(self, test_type: TestType, context: TestContext) -> TestOutcome | None:
        """Run one test type and return its verdicts.

        Called in the run's own process, once per run and test type, outside any transaction. Stops at the first
        result that is not None; the core's own implementation comes last and calls ``test_type.run``. Wrap it to
        time or to limit.
        ``test_type`` is what to run, ``context`` the server and the ways to reach it; do not keep it.
        Raise TestError with a sentence for people.
        """

    @hookspec
    def mcpweb_track_event(self, event: Event) -> None:
        """Hear that something happened.

        Called after the commit, in the process where it happened, once per event. Every implementation is called;
        what is raised is recorded with the plugin. The audit log does not depend on it.
        ``event`` is one of ``mcpweb.events``.
        """
