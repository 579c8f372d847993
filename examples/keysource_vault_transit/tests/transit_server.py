"""The transit engine of Vault as its HTTP API describes it, small: keys with versions, real AES-GCM, tokens, namespaces, sealing."""
from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "hvs.a-token-of-the-stand-in"


class Refused(Exception):
    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(status)
        self.status, self.errors = status, errors


class Key:
    def __init__(self) -> None:
        self.versions: dict[int, tuple[int, bytes]] = {}
        self.least_decrypt, self.least_encrypt = 1, 0
        self.rotate()

    def rotate(self) -> None:
        self.versions[max(self.versions, default=0) + 1] = (time.time_ns() // 1_000, os.urandom(32))

    @property
    def latest(self) -> int:
        return max(self.versions)


class TransitServer:
    """``with TransitServer() as vault: vault.address``; ``sealed``, ``slow_s`` and ``deny`` change what it does."""

    def __init__(self, namespace: str = "") -> None:
        self.namespace, self.keys, self.asked = namespace, dict[str, Key](), list[str]()
        self.sealed, self.slow_s, self.drips, self.redirects = False, 0.0, False, False
        self.deny: tuple[str, ...] = ()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> TransitServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Any, body: dict[str, Any]) -> dict[str, Any] | None:
        self.asked.append(f"{method} {path}")
        if self.sealed:
            raise Refused(503, "Vault is sealed")
        if headers.get("X-Vault-Token") != TOKEN or any(word in path for word in self.deny):
            raise Refused(403, "1 error occurred:\n\t* permission denied\n\n")
        if headers.get("X-Vault-Namespace", "") != self.namespace or not path.startswith("/v1/transit/"):
            raise Refused(404, f'no handler for route "{path.removeprefix("/v1/")}". route entry not found.')
        what, name, *rest = path.removeprefix("/v1/transit/").split("/")
        if what == "keys":
            return self._of_key(method, name, rest, body)
        return self._coded(what, name, body)

    def _of_key(self, method: str, name: str, rest: list[str], body: dict[str, Any]) -> dict[str, Any] | None:
        if method == "POST" and not rest:
            self.keys.setdefault(name, Key())
            return None
        key = self.keys.get(name)
        if key is None:
            raise Refused(404) if method == "GET" else Refused(400, f"no existing key named {name} could be found")
        if rest == ["rotate"]:
            key.rotate()
        elif rest == ["config"]:
            key.least_decrypt = body.get("min_decryption_version", key.least_decrypt)
            key.least_encrypt = body.get("min_encryption_version", key.least_encrypt)
        elif rest == ["trim"]:
            least = body["min_available_version"]
            if least > min(key.least_decrypt, key.least_encrypt or key.least_decrypt):
                raise Refused(400, "minimum available version cannot be set greater than the minimum decryption or encryption version")
            key.versions = {number: one for number, one in key.versions.items() if number >= least}
        else:
            return {
                "name": name, "type": "aes256-gcm96", "latest_version": key.latest, "min_decryption_version": key.least_decrypt,
                "min_encryption_version": key.least_encrypt, "min_available_version": 0, "supports_encryption": True,
                "keys": {str(number): made for number, (made, _) in key.versions.items()},
            }
        return None

    def _coded(self, what: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        key = self.keys.get(name)
        if key is None:
            raise Refused(400, "encryption key not found")
        if what == "encrypt":
            return self._sealed(key, base64.b64decode(body["plaintext"], validate=True), body.get("key_version") or key.latest)
        plain = self._opened(key, str(body["ciphertext"]))
        if what == "rewrap":
            return self._sealed(key, plain, body.get("key_version") or key.latest)
        return {"plaintext": base64.b64encode(plain).decode()}

    def _sealed(self, key: Key, plain: bytes, version: int) -> dict[str, Any]:
        nonce = os.urandom(12)
        body = base64.b64encode(nonce + AESGCM(key.versions[version][1]).encrypt(nonce, plain, None)).decode()
        return {"ciphertext": f"vault:v{version}:{body}", "key_version": version}

    def _opened(self, key: Key, text: str) -> bytes:
        try:
            head, version, body = text.split(":", 2)
            if head != "vault" or not version.startswith("v"):
                raise ValueError
            raw, number = base64.b64decode(body, validate=True), int(version[1:])
        except ValueError:
            raise Refused(400, "invalid ciphertext: no prefix") from None
        if number < key.least_decrypt:
            raise Refused(400, "ciphertext or signature version is disallowed by policy (too old)")
        try:
            return AESGCM(key.versions[number][1]).decrypt(raw[:12], raw[12:], None)
        except (InvalidTag, KeyError, ValueError):
            raise Refused(400, "cipher: message authentication failed") from None


def _handler(vault: TransitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            time.sleep(vault.slow_s)
            if vault.redirects:
                self.send_response(307)
                self.send_header("Location", "http://127.0.0.1:9/v1/")
                self.end_headers()
                return
            length = int(self.headers.get("Content-Length") or 0)
            try:
                data = vault.answer(self.command, self.path, self.headers, json.loads(self.rfile.read(length) or b"{}"))
                status, told = (204, b"") if data is None else (200, json.dumps({"request_id": "x", "data": data}).encode())
            except Refused as refused:
                status, told = refused.status, json.dumps({"errors": list(refused.errors)}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):
                for at in range(0, len(told), 1 if vault.drips else len(told) or 1):
                    self.wfile.write(told[at:at + 1] if vault.drips else told)
                    time.sleep(0.1 if vault.drips else 0)

        do_GET = do_POST = _serve

        def log_message(self, *_: object) -> None:
            pass

    return Handler
