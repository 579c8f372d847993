"""Fetch a document from an address that somebody else chose, and reach nothing on this machine or its networks by it.

https only; the name is resolved once and the connection goes to that address, which must be public; each redirect is judged
anew; size and time are bounded by the wall clock, whatever drips. Names an administrator trusts may be private, and those on this
machine may speak plain http.
"""
from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from mcpweb.errors import Unavailable

MOST_BYTES = 512 * 1024
DEADLINE_S = 10.0
REDIRECTS = 3
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# what looks public and carries another address within: NAT64, Teredo, 6to4
_CARRIERS = tuple(ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"))


@dataclass(frozen=True)
class Fetched:
    """An answer: its status and its body."""

    status: int
    body: bytes


class FetchRefused(Unavailable):
    """The address is not one to be asked, or did not answer as it should."""

    code, title = "fetch_failed", "An address could not be read"


def fetch(
    url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, trusted: Collection[str] = (),
    most_bytes: int = MOST_BYTES, deadline_s: float = DEADLINE_S,
) -> Fetched:
    """Return what an address answers; with a body it is posted, and then no redirect is followed. Raises FetchRefused."""
    ends = time.monotonic() + deadline_s
    for _ in range(REDIRECTS + 1):
        found = _once(url, body, headers or {}, trusted, most_bytes, ends)
        if isinstance(found, Fetched):
            return found
        if body is not None:
            raise FetchRefused(f"{_host(url)} answered with a redirect.")
        url = urljoin(url, found)
    raise FetchRefused(f"{_host(url)} leads on and on.")


def is_public(address: Address) -> bool:
    """Tell whether an address is a machine of the open Internet and no way into anything else."""
    inner = getattr(address, "ipv4_mapped", None)
    if inner is not None:
        return is_public(inner)
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or any(address in net for net in _CARRIERS)):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _once(
    url: str, body: bytes | None, headers: Mapping[str, str], trusted: Collection[str], most_bytes: int, ends: float
) -> Fetched | str:
    """Return the answer, or where it leads."""
    parts, port = _checked(url, trusted)
    host = parts.hostname or ""
    with _deadline(ends - time.monotonic()) as watched:
        try:
            place = str(_address(host, port, trusted)), port
            watched.append(socket.create_connection(place, max(0.1, ends - time.monotonic())))
            if parts.scheme == "https":
                context = ssl.create_default_context()
                secured = context.wrap_socket(watched[-1], server_hostname=host, do_handshake_on_connect=False)
                watched.append(secured)
                secured.do_handshake()
            connection = http.client.HTTPConnection(host, port)
            connection.sock = watched[-1]
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            own = {"Host": parts.netloc, "Connection": "close", "Accept": "application/json", "Accept-Encoding": "identity"}
            connection.request("GET" if body is None else "POST", path, body, {**own, **headers})
            answer = connection.getresponse()
            if answer.status in (301, 302, 303, 307, 308):
                return answer.headers.get("Location", "")
            read = answer.read(most_bytes + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = time.monotonic() >= ends
            raise FetchRefused(f"{host} {'took too long' if late else f'did not answer ({type(error).__name__})'}.") from None
    if time.monotonic() >= ends:
        raise FetchRefused(f"{host} took too long.")
    if len(read) > most_bytes:
        raise FetchRefused(f"{host} sent more than {most_bytes >> 10} KiB.")
    return Fetched(answer.status, read)


def _checked(url: str, trusted: Collection[str]) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise FetchRefused("An address cannot be read.") from None
    host = parts.hostname or ""
    if not host or parts.username is not None or any(c <= " " or c == "\\" for c in url):
        raise FetchRefused("An address cannot be read.")
    plain = parts.scheme == "http" and host in trusted and _here(host)
    if parts.scheme != "https" and not plain:
        raise FetchRefused(f"{host} is not asked over {parts.scheme or 'nothing'}, only over https.")
    return parts, port


def _address(host: str, port: int, trusted: Collection[str]) -> Address:
    """Return the one address that is asked. Raises FetchRefused when any of a name's addresses is not public."""
    try:
        found = {ipaddress.ip_address(str(row[4][0])) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, ValueError, UnicodeError):
        raise FetchRefused(f"{host} has no address.") from None
    if host not in trusted and not all(is_public(one) for one in found):
        raise FetchRefused(f"{host} is not on the open Internet.")
    return sorted(found, key=lambda one: (one.version, int(one)))[0]


def _here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(url: str) -> str:
    return urlsplit(url).hostname or "an address"


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[list[socket.socket]]:
    """Shut the sockets put into the list when time is up; close them in the end."""
    watched: list[socket.socket] = []

    def shut() -> None:
        for one in watched:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, seconds), shut)
    timer.daemon = True
    timer.start()
    try:
        yield watched
    finally:
        timer.cancel()
        for one in watched:
            one.close()
