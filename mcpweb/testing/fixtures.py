"""Fixtures for our tests and for plugin authors: ``pytest_plugins = ["mcpweb.testing"]`` brings these and those of ``authors``.

Everything is real but the engine: a migrated SQLite file, the plugins, Flask, templates. The runtime is ``FakeRuntime``.
"""
from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from mcpweb import clock, passwords, pluginprobe, settings
from mcpweb.app import create_app
from mcpweb.contracts import Actor, ConfigData, Role
from mcpweb.core import Core, open_core
from mcpweb.dao import accounts as account_rows
from mcpweb.dao import servers as server_rows
from mcpweb.dao import tools as tool_rows
from mcpweb.dao.accounts import Session, User
from mcpweb.dao.servers import Server
from mcpweb.db import Database
from mcpweb.ids import new_id
from mcpweb.pluginhost import GROUP
from mcpweb.services import accounts, servers
from mcpweb.settings import Settings
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.spoken import Spoken
from mcpweb.worker import Worker

pytest.register_assert_rewrite(
    "mcpweb.testing.contracts", "mcpweb.testing.testtypecontract", "mcpweb.testing.deliverycontract",
    "mcpweb.testing.vaultcontracts",
)

HOST = "127.0.0.1:8080"
MakeServer = Callable[..., Server]
_VOID = ("area", "base", "br", "col", "hr", "img", "input", "link", "meta", "path", "rect", "circle", "use", "wbr")


def settings_for(folder: Path, **values: str) -> Settings:
    """Return settings of an installation that lives in this folder and nowhere else."""
    return settings.load({"MCPWEB_DATA_DIR": str(folder / "data"), **{f"MCPWEB_{k.upper()}": v for k, v in values.items()}})


def settings_of(database: Path) -> Settings:
    """Return the settings of the installation a database file belongs to."""
    return settings.load({"MCPWEB_DATA_DIR": str(database.parent)})


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with every migration applied, to be copied."""
    made = open_core(settings_for(tmp_path_factory.mktemp("migrated")), role="cli")
    with made.db.writing() as conn:
        conn.execute("DELETE FROM setup_tokens")
    with made.db.reading() as conn:
        conn.execute("SELECT 1")
    made.close()
    return made.settings.db_path


@pytest.fixture
def runtime() -> Iterator[FakeRuntime]:
    """A runtime of threads; ``runtime.calls`` lists what was asked of it."""
    fake = FakeRuntime()
    yield fake
    fake.close()


@pytest.fixture(scope="session")
def under_test() -> dict[str, Path]:
    """Plugins that ``core`` loads beside the built-in ones, by name; an author's project says which."""
    return {}


@pytest.fixture(scope="session")
def plugins_folder(under_test: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A folder with copies of ``under_test``, None when they are none or installed in this environment."""
    wanted = {name: path for name, path in under_test.items() if not metadata.entry_points(group=GROUP, name=name)}
    if not wanted:
        return None
    folder = tmp_path_factory.mktemp("plugins")
    for name, path in wanted.items():
        shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / name).chmod(0o700)
    return folder


@pytest.fixture
def plugin_settings() -> dict[str, str]:
    """Settings of the plugins under test: ``{"plugin_mine_folder": "…"}`` is MCPWEB_PLUGIN_MINE_FOLDER."""
    return {}


@pytest.fixture
def core(
    tmp_path: Path, migrated_file: Path, runtime: FakeRuntime, under_test: dict[str, Path], plugins_folder: Path | None,
    plugin_settings: dict[str, str],
) -> Iterator[Core]:
    """The application without HTTP, on a database of its own."""
    wanted = settings_for(tmp_path, **({"plugins_dir": str(plugins_folder)} if plugins_folder else {}), **plugin_settings)
    wanted.data_dir.mkdir(mode=0o700)
    if plugins_folder is not None:  # what is under test is loaded here at once, and its faults are seen here
        digests = [pluginprobe.digest("folder", str(plugins_folder / name)) for name in under_test]
        (wanted.data_dir / "plugins.seen.json").write_text(json.dumps(dict.fromkeys(digests, "")))
    shutil.copy(migrated_file, wanted.db_path)
    wanted.key_dir.mkdir(mode=0o700)
    shutil.copy(settings_of(migrated_file).key_file, wanted.key_file)
    made = open_core(wanted, role="web")
    for name in under_test:
        record = made.plugins.records.get(name)
        assert record is not None and record.state == "loaded", record.error if record else f"{name} is not there"
    made.use_runtime(runtime)
    yield made
    made.close()


@pytest.fixture
def db(core: Core) -> Database:
    """The database of ``core``."""
    return core.db


@pytest.fixture
def actor() -> Actor:
    """Somebody who may everything."""
    return Actor(name="cli:tester", role="admin", label="tester", via="cli")


@pytest.fixture(scope="session")
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Templates that one test compiled, for the others."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def app(core: Core, compiled_templates: FileSystemBytecodeCache) -> Iterator[Flask]:
    """The web application over ``core``; what its API answers is held against its document."""
    made = create_app(core)
    made.jinja_env.bytecode_cache = compiled_templates
    spoken = Spoken(made)
    yield made
    assert not spoken.faults, "\n".join(spoken.faults[:10])


@pytest.fixture
def worker(core: Core) -> Iterator[Worker]:
    """A worker that does jobs on threads of this process."""
    made = Worker(core, brief=True)
    assert made.elect()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def make_server(core: Core, actor: Actor) -> MakeServer:
    """Add a server: ``make_server("demo", status="running", tools=[…])``."""

    def make(
        name: str = "", *, status: str = "stopped", image: str = "tiny:1", detail: str = "",
        tools: list[dict[str, Any]] | None = None, config: ConfigData | None = None, description: str = "",
    ) -> Server:
        name = name or f"server-{secrets.token_hex(4)}"
        server = servers.add(core, actor, name=name, image=image, config=config, description=description)
        with core.db.writing() as conn:
            server_rows.set_seen(conn, server.id, status=status, detail=detail, container_id=None, at=clock.now())
            tool_rows.replace(conn, server.id, tools or [])
            return server_rows.get(conn, server.id)

    return make


class Visitor:
    """A client that keeps cookies and fills in the token, as a person's browser does."""

    def __init__(self, app: Flask, core: Core, runtime: FakeRuntime) -> None:
        self.app, self.core, self._runtime = app, core, runtime
        self.client = app.test_client()
        self.role: Role | None = None
        self.user: User | None = None

    def sign_in(self, role: Role = "admin", name: str = "") -> Visitor:
        """Open a session for a new user of this role, past the (slow) password."""
        now = clock.now()
        self.role = role
        self.user = User(
            id=new_id("usr"), name=name or f"{role}-{secrets.token_hex(3)}", password_hash=passwords.NOBODYS, role=role,
            created_at=now, updated_at=now, disabled_at=None, language="", theme="", created_by="system:test",
        )
        secret = secrets.token_urlsafe(32)
        session = Session(
            id_hash=accounts.digest(secret), user_id=self.user.id, csrf_key=secrets.token_bytes(32), created_at=now,
            seen_at=now, expires_at=clock.later(3600), ip="127.0.0.1", user_agent="test", stepped_up_at=now,
        )
        with self.core.db.writing() as conn:
            account_rows.insert_user(conn, self.user)
            account_rows.insert_session(conn, session)
        self.client.set_cookie("mcpweb", secret, domain="127.0.0.1")
        return self

    def get(self, path: str, **headers: str) -> TestResponse:
        """Read a page. Reading touches SQLite and files, never the engine."""
        before = len(self._runtime.calls)
        answer = self.client.get(path, base_url=f"http://{HOST}", headers=headers)
        assert len(self._runtime.calls) == before, f"GET {path} asked the engine: {self._runtime.calls[before:]}"
        return answer

    def post(self, path: str, data: dict[str, Any] | None = None, *, page: str = "/", **headers: str) -> TestResponse:
        """Send a form with the token of one of our pages."""
        fields = {"csrf_token": self.token(page), **(data or {})}
        return self.client.post(path, data=fields, base_url=f"http://{HOST}", headers=headers)

    def token(self, page: str = "/") -> str:
        """Return the token that forms of this page carry."""
        found = re.search(r'name="csrf_token" value="([0-9a-f]+)"', self.get(page).text)
        assert found, f"{page} has no form"
        return found[1]


class Htmx:
    """The same browser asking for fragments; each answer is held to be one."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self._headers = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Source": "section#x"}

    def get(self, path: str) -> TestResponse:
        return self._checked(self.visitor.get(path, **self._headers))

    def post(self, path: str, data: dict[str, Any] | None = None, *, page: str = "/") -> TestResponse:
        return self._checked(self.visitor.post(path, data, page=page, **self._headers))

    def _checked(self, answer: TestResponse) -> TestResponse:
        if answer.mimetype == "text/html" and answer.text:
            assert "<html" not in answer.text, "a fragment, not a page"
            check_markup(self.visitor.app, answer.text)
        return answer


NewVisitor = Callable[[], Visitor]


@pytest.fixture
def new_visitor(app: Flask, core: Core, runtime: FakeRuntime) -> NewVisitor:
    """Make browsers, nobody signed in."""
    return lambda: Visitor(app, core, runtime)


@pytest.fixture
def visitor(new_visitor: NewVisitor) -> Visitor:
    """A browser in which an admin is signed in."""
    return new_visitor().sign_in()


@pytest.fixture
def hx(visitor: Visitor) -> Htmx:
    """The admin's browser, asking for fragments."""
    return Htmx(visitor)


class Markup(HTMLParser):
    """Elements of a page, in order: (tag, attributes)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing that is open"


def check_markup(app: Flask, text: str) -> Markup:
    """Hold markup to be well formed: tags closed in order, ids unique, every ``hx-*`` URL a route with a nonce."""
    markup = Markup(text)
    assert not markup.open, f"not closed: {markup.open}"
    ids = [attributes["id"] for _, attributes in markup.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), f"ids twice: {sorted({i for i in ids if ids.count(i) > 1})}"
    urls = app.url_map.bind(HOST)
    for tag, attributes in markup.elements:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes), f"inline in <{tag}>"
        for verb in ("get", "post"):
            target = attributes.get(f"hx-{verb}")
            if target is not None:
                assert attributes.get("hx-nonce"), f"<{tag} hx-{verb}={target}> has no nonce"
                _route(urls, target, verb)
        if tag == "form" and attributes.get("action"):
            _route(urls, attributes["action"], attributes.get("method", "get"))
        if tag == "a" and attributes.get("href", "").startswith("/"):
            _route(urls, attributes["href"], "get")
    return markup


def _route(urls: Any, target: str, method: str) -> None:
    try:
        urls.match(target.partition("?")[0].partition("#")[0], method=method.upper())
    except HTTPException as error:
        raise AssertionError(f"{method} {target} is no route: {error}") from None
