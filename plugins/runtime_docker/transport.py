"""The Docker SDK's client with sockets we can cut. The only module that imports the SDK at its top; import it late.

Each request has a connection of its own, so no stale one is ever reused after the engine was restarted, and the
call that made it can end it from outside: that is what makes a deadline hold against an engine that drips.
"""
from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import docker.api.client
import docker.constants
import docker.transport
import requests.adapters
import urllib3
import urllib3.connection
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .engine import Call

OLDEST = "1.41"
NEWEST = docker.constants.DEFAULT_DOCKER_API_VERSION

_current = threading.local()


def run_as(call: Call) -> None:
    """Make this thread's connections belong to ``call``."""
    _current.call = call


def time_left() -> float:
    """Return the seconds left for the call this thread works for."""
    call: Call = _current.call
    return call.left()


def _track(sock: Any) -> None:
    call: Call | None = getattr(_current, "call", None)
    if call is not None and sock is not None:
        call.track(sock)


class _UnixConnection(UnixHTTPConnection):
    def connect(self) -> None:
        super().connect()
        _track(self.sock)


class _UnixPool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        return _UnixConnection(self.base_url, self.socket_path, self.timeout)  # type: ignore[arg-type]


class _UnixAdapter(docker.transport.UnixHTTPAdapter):
    def get_connection(self, url: Any, proxies: Any = None) -> _UnixPool:
        return _UnixPool(url, self.socket_path, self.timeout, maxsize=1)


class _TcpConnection(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _track(self.sock)


class _TcpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _TcpConnection


class _TcpAdapter(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _TcpPool}


class Client(docker.api.client.APIClient):
    """The SDK's low-level client; every request obeys the deadline of the call it belongs to.

    Redirects are not followed and proxies of the environment are not used: an engine is where its address says.
    """

    def __init__(self, address: str, version: str) -> None:
        unix = address.startswith("unix://")
        super().__init__(base_url=address if unix else address.replace("tcp://", "http://", 1), version=version)
        self.trust_env = False
        self.headers["Connection"] = "close"
        if unix:
            self._custom_adapter = _UnixAdapter(address.replace("unix://", "http+unix://", 1))
            self.mount("http+docker://", self._custom_adapter)
        else:
            self.mount("http://", _TcpAdapter())

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        call: Call | None = getattr(_current, "call", None)
        if call is not None:
            left = call.left()
            kwargs["timeout"] = (left, None if kwargs.get("stream") else left)
        kwargs["allow_redirects"] = False
        return super().send(request, **kwargs)

    def send_empty(self, method: str, path: str, **params: Any) -> None:
        """Send a request whose only good answer is an empty one. Raises ValueError for any other good one."""
        api: Any = self  # the SDK's types leave out what starts with an underscore
        response = api.request(method, api._url(path), params=params)
        api._raise_for_status(response)
        if response.status_code != 204:
            raise ValueError(f"{method} was answered with status {response.status_code}")

    def head_header(self, place: str, name: str, **params: Any) -> str:
        """Ask for the head of a path of the Engine API and return one of its fields. Raises ValueError without it."""
        api: Any = self
        response = api.request("HEAD", api._url(place), params=params)
        api._raise_for_status(response)
        if name not in response.headers:
            raise ValueError(f"HEAD was answered without {name}")
        return str(response.headers[name])

    def send_json(self, method: str, path: str, body: Mapping[str, Any], **params: Any) -> Any:
        """Send a JSON body as it is to a path of the Engine API and return the decoded answer."""
        api: Any = self
        return api._result(api.request(method, api._url(path), json=body, params=params), json=True)


def dial(address: str, timeout: float) -> socket.socket:
    """Connect to the engine and let the current call own the socket."""
    if address.startswith("unix://"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(address.removeprefix("unix://"))
        except BaseException:
            sock.close()
            raise
    else:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        sock = socket.create_connection((host.strip("[]"), int(port)), timeout)
    _track(sock)
    return sock
