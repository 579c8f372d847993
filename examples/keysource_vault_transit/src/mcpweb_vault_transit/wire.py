"""One request to Vault, bounded in size and, by the wall clock, in time; the token goes to the address that was set alone."""
from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from mcpweb.plugin import VaultLocked

_MOST = 1 << 20
_ABSENT = "Start it, or set MCPWEB_PLUGIN_VAULT_TRANSIT_ADDRESS; then `mcpweb keys unlock`."
_UNSET = "Set MCPWEB_PLUGIN_VAULT_TRANSIT_ADDRESS and …_TOKEN_FILE."


@dataclass(frozen=True)
class Answer:
    """A status, what was told, and what Vault said was wrong."""

    status: int
    data: dict[str, Any] = field(repr=False)
    fault: str = ""


class Wire:
    """Knows address and token; shows neither."""

    def __init__(self, address: str, token: str, namespace: str, ca: str, timeout: str) -> None:
        self._address, self._token, self._namespace, self._ca = address.rstrip("/"), token, namespace, ca
        self._timeout = min(30.0, float(timeout)) if timeout.replace(".", "", 1).isdigit() and float(timeout) > 0 else 5.0

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Return Vault's answer. Raises VaultLocked when there is none."""
        parts = urlsplit(self._address)
        host = parts.hostname or ""
        if not self._address or not self._token:
            raise _locked("The address of Vault or its token is not set.", _UNSET)
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
            raise _locked("Vault is asked over https only, or on this machine.", _UNSET)
        until = time.monotonic() + self._timeout
        watched: list[socket.socket] = []
        timer = threading.Timer(self._timeout, lambda: [_shut(one) for one in watched])  # whatever drips
        timer.daemon = True
        timer.start()
        try:
            port = parts.port or (443 if parts.scheme == "https" else 8200)
            watched.append(socket.create_connection((host, port), self._timeout))
            if parts.scheme == "https":
                context = ssl.create_default_context(cadata=self._ca or None)
                watched.append(context.wrap_socket(watched[-1], server_hostname=host))
            connection = http.client.HTTPConnection(host)
            connection.sock = watched[-1]
            headers = {
                "X-Vault-Token": self._token, "X-Vault-Request": "true", "Content-Type": "application/json",
                "Connection": "close",
                **({"X-Vault-Namespace": self._namespace} if self._namespace else {}),
            }
            connection.request(method, f"{parts.path}/v1/{quote(path)}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read(_MOST + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = time.monotonic() >= until
            what = "took too long" if late else f"did not answer ({type(error).__name__})"
            raise _locked(f"Vault {what}.", _ABSENT) from None
        finally:
            timer.cancel()
            for one in watched:
                one.close()
        if time.monotonic() >= until:
            raise _locked("Vault took too long.", _ABSENT)
        if len(text) > _MOST:
            raise _locked("What answers sends too much to be Vault.", "Set MCPWEB_PLUGIN_VAULT_TRANSIT_ADDRESS.")
        return _read(answer.status, text)


def _read(status: int, text: bytes) -> Answer:
    try:
        told = json.loads(text) if text.strip() else {}
        faults = told.get("errors") or []
        return Answer(status, told.get("data") or {}, "; ".join(str(one) for one in faults)[:300])
    except (ValueError, AttributeError, TypeError):
        if status in (200, 204):
            raise _locked("What answers is not Vault.", "Set MCPWEB_PLUGIN_VAULT_TRANSIT_ADDRESS.") from None
        return Answer(status, {})


def _locked(detail: str, step: str) -> VaultLocked:
    return VaultLocked(detail, code="KEY_MISSING", next_step=step)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
