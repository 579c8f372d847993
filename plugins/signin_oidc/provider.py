"""What the provider publishes and answers, fetched from nowhere else and kept for a while."""
from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from mcpweb.plugin import Unavailable, fetch

from .config import Config
from .idtoken import Disbelieved, header_of, key_for

KEPT_S = 3600.0
AGAIN_S = 60.0


class Provider:
    """The provider of one configuration, in one process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    def document(self) -> dict[str, Any]:
        """Return the provider's own description. Raises Unavailable unless it describes the issuer that was asked for."""
        found = self._read(f"{self.config.issuer.rstrip('/')}/.well-known/openid-configuration", KEPT_S)
        if found.get("issuer") != self.config.issuer:
            raise Unavailable("The provider describes another issuer than the one that is set.")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not isinstance(found.get(name), str):
                raise Unavailable(f"The provider names no {name}.")
        parts = urlsplit(found["authorization_endpoint"])
        if parts.scheme != "https" and (parts.hostname or "") not in self.config.trusted:
            raise Unavailable("The provider's sign-in page is not on https.")
        return found

    def address(self, *, state: str, nonce: str, challenge: str, again: bool) -> str:
        """Return where somebody goes to sign in."""
        asked = {
            "response_type": "code", "client_id": self.config.client_id, "redirect_uri": self.config.redirect_uri,
            "scope": self.config.scopes, "state": state, "nonce": nonce, "code_challenge": challenge,
            "code_challenge_method": "S256", **({"prompt": "login", "max_age": "0"} if again else {}),
        }
        endpoint = str(self.document()["authorization_endpoint"])
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(asked)}"

    def tokens(self, code: str, verifier: str) -> dict[str, Any]:
        """Return what the provider gives for a code. Raises Disbelieved, Unavailable."""
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.config.redirect_uri,
            "code_verifier": verifier, "client_id": self.config.client_id,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self.config.client_secret:
            pair = f"{quote(self.config.client_id, safe='')}:{quote(self.config.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        status, body = fetch(
            str(self.document()["token_endpoint"]), body=urlencode(form).encode(), headers=headers, trusted=self.config.trusted
        )
        if status != 200:
            raise Disbelieved(f"token endpoint answered {status}")
        return _object(body)

    def key(self, token: object) -> Mapping[str, Any]:
        """Return the published key an ID token is signed with; unknown ones are looked for anew, once a minute."""
        header, place = header_of(token), str(self.document()["jwks_uri"])
        found = key_for(header, self._read(place, KEPT_S)) or key_for(header, self._read(place, AGAIN_S))
        if found is None:
            raise Disbelieved("signed with an unknown key")
        return found

    def _read(self, url: str, kept_s: float) -> dict[str, Any]:
        with self._lock:
            at, known = self._kept.get(url, (0.0, {}))
            if known and time.monotonic() - at < kept_s:
                return known
        status, body = fetch(url, trusted=self.config.trusted)
        if status != 200:
            raise Unavailable(f"The provider answered {status}.")
        found = _object(body)
        with self._lock:
            self._kept[url] = (time.monotonic(), found)
        return found


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unavailable("The provider's answer cannot be read.")
    return found
