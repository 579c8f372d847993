"""An image registry on 127.0.0.1 with one image, as slow, closed or broken as a test wants it."""
from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class SmallRegistry:
    """Serves ``127.0.0.1:<port>/small:1``. ``drip_s`` pauses between pieces of the layer, ``closed`` asks for a
    sign-in that there is not, ``login`` for this ``user:password``, ``spoiled`` sends another layer than promised."""

    def __init__(self) -> None:
        self.drip_s = 0.0
        self.closed = False
        self.login = ""
        self.spoiled = False
        self.aborted = threading.Event()
        layer = _layer()
        config = _config(layer)
        self.manifest = _manifest(config, gzip.compress(layer, mtime=0))
        self.blobs = {digest(config): config, digest(gzip.compress(layer, mtime=0)): gzip.compress(layer, mtime=0)}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def reference(self) -> str:
        return f"{self.host}/small:1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, size in (("hello", 10), ("noise", 3 * 2**20)):
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(os.urandom(size)))  # other content each time, so the engine has none of it
    return out.getvalue()


def _config(layer: bytes) -> bytes:
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/hello"], "User": "1000", "ExposedPorts": {"8000/tcp": {}}, "Labels": {"a": "b"}},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    ).encode()


def _manifest(config: bytes, layer: bytes) -> bytes:
    def entry(kind: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": f"application/vnd.docker.{kind}", "size": len(data), "digest": digest(data)}

    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": entry("container.image.v1+json", config),
            "layers": [entry("image.rootfs.diff.tar.gzip", layer)],
        }
    ).encode()


def _handler(registry: SmallRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = self.path.split("/")
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            if registry.closed or (registry.login and given != base64.b64encode(registry.login.encode()).decode()):
                self._send(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {"WWW-Authenticate": 'Basic realm="small"'})
            elif self.path == "/v2/":
                self._send(200, b"{}")
            elif parts[1:4] == ["v2", "small", "manifests"] and parts[4] in ("1", digest(registry.manifest)):
                headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": digest(registry.manifest)}
                self._send(200, registry.manifest, headers)
            elif parts[1:4] == ["v2", "small", "blobs"] and parts[4] in registry.blobs:
                self._blob(registry.blobs[parts[4]])
            else:
                self._send(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')

        do_HEAD = do_GET

        def _blob(self, data: bytes) -> None:
            if registry.spoiled and len(data) > 100_000:
                data = data[:-1] + bytes([data[-1] ^ 1])
            self._head(200, len(data), {"Content-Type": "application/octet-stream"})
            try:
                for start in range(0, len(data), 65536):
                    self.wfile.write(data[start : start + 65536])
                    self.wfile.flush()
                    if len(data) > 100_000:
                        time.sleep(registry.drip_s)
            except OSError:
                registry.aborted.set()

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self._head(status, len(body), headers or {"Content-Type": "application/json"})
            if self.command == "GET":
                self.wfile.write(body)

        def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            for name, value in {**headers, "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
