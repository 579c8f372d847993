"""A stand-in OpenID Connect provider on this machine that answers honestly, or as a test tells it."""
from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

Json = dict[str, Any]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class StandIn:
    """What it publishes, whom it vouches for, and what it was asked."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.other = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
        self.curve = ECKey.generate_key("P-256", {"kid": "curve", "use": "sig"})
        self.published = [self.key, self.curve]
        self.client_secret = "the client's secret"
        self.person: Json = {"sub": "248289761001", "preferred_username": "ada", "groups": ["ops"]}
        self.change: Callable[[Json], Json] = lambda claims: claims
        self.sign: Callable[[Json], str] = self.signed
        self.describe: Callable[[Json], Json] = lambda document: document
        self.codes: dict[str, Json] = {}
        self.asked: list[str] = []
        self.access_token = "an access token"
        self.issuer = ""

    def signed(self, claims: Json, *, header: Json | None = None, key: Any = None) -> str:
        key = key or self.key
        full = {"alg": "RS256", "kid": key.kid, "typ": "JWT", **(header or {})}
        full = {name: value for name, value in full.items() if value is not None}
        return jws.serialize_compact(full, json.dumps(claims).encode(), key, algorithms=[full["alg"]], registry=_Anything(full["alg"]))

    def document(self) -> Json:
        return self.describe({
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize", "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys", "userinfo_endpoint": f"{self.issuer}/userinfo",
            "response_types_supported": ["code"], "id_token_signing_alg_values_supported": ["RS256", "none", "HS256"],
        })

    def authorize(self, address: str, *, whole: bool = False) -> str:
        """Sign the person in as a browser would there; return the path and query (or all) of where the browser is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256" and asked["state"] and asked["nonce"]
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        back = urlsplit(asked["redirect_uri"])
        return f"{f'{back.scheme}://{back.netloc}' if whole else ''}{back.path}?code={code}&state={asked['state']}"

    def token(self, form: Json, authorization: str) -> tuple[int, Json]:
        """Answer the token endpoint; a code is good once and only with its verifier."""
        asked = self.codes.pop(form.get("code", ""), None)
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode() if authorization else ""
        proven = asked and b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest()) == asked["code_challenge"]
        if not asked or not proven or pair != "mcpweb:the%20client%27s%20secret" or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = self.change({
            "iss": self.issuer, "aud": "mcpweb", "iat": now, "exp": now + 300, "auth_time": now, "nonce": asked["nonce"],
            "at_hash": b64(hashlib.sha256(self.access_token.encode()).digest()[:16]), **self.person,
        })
        return 200, {"access_token": self.access_token, "token_type": "Bearer", "id_token": self.sign(claims)}


class _Anything(jws.JWSRegistry):
    """Signs with whatever header a test wants."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)

    def check_header(self, header: Any) -> None:
        return None


@contextmanager
def serving() -> Iterator[StandIn]:
    """Run a stand-in on a free port."""
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stand_in.asked.append(self.path.partition("?")[0])
            if self.path.startswith("/authorize?"):
                self.send_response(303)
                self.send_header("Location", stand_in.authorize(f"{stand_in.issuer}{self.path}", whole=True))
                self.end_headers()
                return
            known: dict[str, Callable[[], Any]] = {
                "/.well-known/openid-configuration": stand_in.document,
                "/keys": lambda: {"keys": [key.as_dict(private=False) for key in stand_in.published]},
                "/userinfo": lambda: {**stand_in.person, "groups": ["admins"]},
            }
            self._send(200, known[self.path]()) if self.path in known else self._send(404, {})

        def do_POST(self) -> None:
            stand_in.asked.append(self.path)
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(text).items()}
            self._send(*stand_in.token(form, self.headers.get("Authorization", "")))

        def _send(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
