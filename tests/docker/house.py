"""A whole installation with its engine, its secrets, and a search through all the places of both."""
from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import http.client
import io
import json
import os
import re
import tarfile
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcpweb.contracts import Delivery, Sensitive
from mcpweb.core import Core
from mcpweb.db import driver
from mcpweb.services import bindings, configurations, secrets, servers
from mcpweb.testing.served import Served
from tests.docker.engine import api
from tests.docker.installation import ACTOR

PAGES_AT_MOST = 150


def spellings(value: str) -> list[bytes]:
    """Return what a search for a value looks for: itself, hex, and base64 at each of the three alignments."""
    raw = value.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for shift in range(3):
        padded = b"\0" * shift + raw + b"\0" * 3
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # the characters that depend on this value alone
            first = -(-shift * 8 // 6)
            found.add(encode(padded)[first : first + (len(raw) * 8 - (first * 6 - shift * 8)) // 6])
    return sorted(found)


@dataclass
class Search:
    """Where the canary was looked for, and where it was found."""

    spelled: list[bytes]
    looked: dict[str, int] = field(default_factory=dict)
    hits: list[str] = field(default_factory=list)

    def bytes(self, place: str, data: bytes) -> None:
        area = place.partition(":")[0]
        self.looked[area] = self.looked.get(area, 0) + 1
        if any(one in data for one in self.spelled):
            self.hits.append(place)

    def file(self, area: str, path: Path) -> None:
        rest = b""
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                self.bytes(f"{area}: {path}", rest + part)
                rest = part[-4096:]

    def tree(self, area: str, root: Path, *, newer_than: float = 0.0) -> None:
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder) / name
                with contextlib.suppress(OSError):
                    facts = path.lstat()
                    if path.is_file() and not path.is_symlink() and max(facts.st_mtime, facts.st_ctime) >= newer_than:
                        self.file(area, path)

    def tar(self, area: str, stream: Iterable[bytes], *, newer_than: float = 0.0) -> None:
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            for member in tar:
                if member.isfile() and member.mtime >= newer_than:
                    self.bytes(f"{area}: {member.name}", tar.extractfile(member).read())  # type: ignore[union-attr]


class House:
    """An installation with its engine, and all the places of both."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.began = time.time() - 1
        self.served = Served(folder, **environment)
        self.served.cli("users", "add", "ada", "--role", "admin", "--password-stdin", given="a long pass phrase\n")
        self.token = self.served.cli("tokens", "create", "--user", "ada", "--name", "all").strip()
        self.served.start()
        self.client = api()
        self.value = ""

    def close(self) -> None:
        self.remove_servers()
        code = self.served.stop()
        self.client.close()
        assert code == 0

    def remove_servers(self) -> None:
        """Remove every server there is, with its containers."""
        for server in self.served.json("servers", "list")["items"]:
            self.served.cli("servers", "remove", server["name"], code=None)

    def store(self, name: str, value: str, *bound: tuple[str, str, Delivery]) -> None:
        """Store a secret, or its new value, and bind it: (server, variable, way)."""
        with self.core() as core:
            known = secrets.listing(core, ACTOR, name=name, is_active=True).rows
            if known:
                secret = secrets.replace(core, ACTOR, known[0].id, Sensitive(value))
            else:
                secret = secrets.add(core, ACTOR, name=name, value=Sensitive(value))
            for server, variable, way in bound:
                configuration = configurations.by_name(core, ACTOR, servers.get(core, ACTOR, server).id, "default")
                bindings.bind(core, ACTOR, secret.id, configuration.id, variable=variable, scope="required", delivery=way)

    def core(self) -> AbstractContextManager[Core]:
        """Open the installation beside its processes."""
        return self.served.core()

    def call(self, server: str, tool: str, **arguments: str) -> dict[str, Any]:
        """Call a tool through the API and return the finished job."""
        status, body = self._ask("POST", f"/api/v1/servers/{server}/tools/{tool}/call", {"arguments": arguments})
        job: dict[str, Any] = json.loads(body)
        assert status in (200, 202), job
        while job["state"] in ("queued", "running"):
            time.sleep(0.05)
            job = json.loads(self._ask("GET", f"/api/v1/jobs/{job['id']}")[1])
        return job

    def digest(self, server: str, variable: str) -> dict[str, str]:
        job = self.served.json("servers", "call", server, "digest", json.dumps({"name": variable}))
        told: dict[str, str] = json.loads(job["result"]["result"]["content"][0]["text"])
        return told

    def container(self, server: str) -> str:
        return str(self.served.json("servers", "show", server)["container_id"])

    # Places

    def search(self, value: str, servers: Iterable[str]) -> Search:
        """Look for a value everywhere."""
        search = Search(spellings(value))
        self.look_around(search)
        for server in servers:
            self._container(search, self.container(server))
        root = Path(self.client.info()["DockerRootDir"])
        if os.access(root, os.R_OK | os.X_OK):
            search.tree("engine data", root, newer_than=self.began)
        return search

    def look_around(self, search: Search) -> None:
        """Look into everything that is ours: files, rows, pages and answers."""
        self._files(search)
        self._rows(search)
        self._pages(search)
        self._answers(search)

    def _files(self, search: Search) -> None:
        folder = self.served.folder
        backup = folder / f"backup-{time.monotonic_ns()}.db"
        self.served.cli("db", "backup", str(backup))
        for name in ("mcpweb.db", "mcpweb.db-wal"):
            assert (folder / "data" / name).exists()
        search.tree("data folder", folder / "data")
        search.tree("key folder", folder / "data.keys")
        search.tree("backup", folder)
        search.file("application log", folder / "serve.log")

    def _rows(self, search: Search) -> None:
        """Read every cell: what spans pages of the file cannot be found in the file."""
        conn = driver.connect(f"{(self.served.folder / 'data/mcpweb.db').as_uri()}?mode=ro", uri=True)
        try:
            for (table,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in conn.execute(f'SELECT * FROM "{table}"'):
                    cells = [cell if isinstance(cell, bytes) else str(cell).encode() for cell in tuple(row)]
                    search.bytes(f"rows: {table}", b"\n".join(cells))
        finally:
            conn.close()

    def _pages(self, search: Search) -> None:
        """Follow every link from the front page."""
        cookie = signed_in(self.served)
        waiting = [("href", path) for path in ("/", "/secrets", "/jobs", "/audit", "/test-runs")]
        seen: set[tuple[str, str]] = set()
        while waiting and len(seen) < PAGES_AT_MOST:
            kind, path = one = waiting.pop(0)
            if one in seen:
                continue
            seen.add(one)
            headers = {"Cookie": cookie} | ({"HX-Request": "true"} if kind == "hx-get" else {})
            status, body = self._get(html.unescape(path), headers)
            assert status < 500, one
            search.bytes(f"pages: {path}", body)
            found = re.findall(r'(href|hx-get)="(/[^"#]*)"', body.decode("utf-8", "replace"))
            waiting += [(kind, path) for kind, path in found if not path.startswith(("/static", "/sign-out"))]
        assert len(seen) > 20

    def _answers(self, search: Search) -> None:
        """Ask everything of the API that can be asked without an argument, and all of the objects in what it lists."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        paths = json.loads(self._get("/api/v1/openapi.json", {})[1])["paths"]
        plain = [path for path, item in paths.items() if "get" in item and "{" not in path]
        assert plain
        for path in plain:
            whole = path if path.startswith("/api/") else f"/api/v1{path}"
            status, body = self._get(f"{whole}?limit=200", bearer)
            search.bytes(f"API: {whole}", body)
            if status != 200 or not body.startswith(b"{"):
                continue
            for item in json.loads(body).get("items") or []:
                if isinstance(item, dict) and "id" in item:
                    for tail in ("", "/tools", "/logs", "/stats", "/revisions"):
                        search.bytes(f"API: {whole}/{item['id']}{tail}", self._get(f"{whole}/{item['id']}{tail}", bearer)[1])

    def _container(self, search: Search, container: str) -> None:
        facts = self.client.inspect_container(container)
        search.bytes("inspect: container", json.dumps(facts).encode())
        search.bytes("inspect: image", json.dumps(self.client.inspect_image(facts["Image"])).encode())
        with contextlib.suppress(Exception):  # the driver `none` keeps no log, and the engine says so
            search.bytes("engine log:", self.client.logs(container))
        for change in self.client.diff(container) or []:
            search.bytes("diff:", json.dumps(change).encode())
        search.tar("export", self.client.export(container))
        image = self.client.commit(container, repository="mcpweb-test-canary", tag=container[:12])["Id"]
        try:
            search.bytes("commit: inspect", json.dumps(self.client.inspect_image(image)).encode())
            search.bytes("commit: history", json.dumps(self.client.history(image)).encode())
        finally:
            self.client.remove_image(image, force=True)

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=20)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _get(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=20)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            if "event-stream" in (answer.getheader("Content-Type") or ""):
                return answer.status, b""
            return answer.status, answer.read()
        finally:
            connection.close()


def signed_in(served: Served) -> str:
    """Sign in as ada and return the cookie."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("GET", "/sign-in")
    answer = connection.getresponse()
    page = answer.read().decode()
    csrf = (answer.getheader("Set-Cookie") or "").split(";")[0]
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    body = f"csrf_token={token[1]}&username=ada&password=a+long+pass+phrase"
    connection.request("POST", "/sign-in", body, {"Content-Type": "application/x-www-form-urlencoded", "Cookie": csrf})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 303
    return "; ".join(v.split(";")[0] for name, v in answer.getheaders() if name == "Set-Cookie" and v.startswith("mcpweb="))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
