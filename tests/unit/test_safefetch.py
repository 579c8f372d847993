"""An address somebody else chose reaches nothing on this machine or its networks, and holds nobody up."""
from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mcpweb.safefetch import FetchRefused, fetch, is_public

HERE = ("127.0.0.1",)


@pytest.mark.parametrize("text", [
    "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:53aa:64c::1",
    "2001:db8::1",
])
def test_what_is_not_the_open_internet_is_told_from_it(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"])
def test_the_open_internet_is_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("url", [
    "https://127.0.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://[::1]/",
    "https://[::ffff:127.0.0.1]/", "https://localhost/", "https://169.254.169.254/latest/meta-data/", "https://10.0.0.1:8443/",
    "http://8.8.8.8/", "ftp://8.8.8.8/", "file:///etc/passwd", "https://user:password@8.8.8.8/", "https:///x", "//8.8.8.8/",
    "https://8.8.8.8:port/", "https://8.8.8.8\\@127.0.0.1/", "https://a b/", "gopher://8.8.8.8/", "", "x",
])
def test_every_way_to_write_it_is_refused_before_anything_is_sent(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(*given: Any, **named: Any) -> Any:
        raise AssertionError(f"connected to {given}")

    monkeypatch.setattr(socket, "create_connection", connected)
    with pytest.raises(FetchRefused):
        fetch(url)


def test_a_name_with_one_private_address_is_not_asked_and_the_answer_is_not_looked_up_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers differently each time (rebinding) is resolved once; the connection goes to that very address."""
    answers = [["93.184.215.14", "127.0.0.1"], ["93.184.215.14"], ["127.0.0.1"]]
    asked: list[Any] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in answers.pop(0)]

    def connect(place: Any, timeout: float) -> Any:
        asked.append(place)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(FetchRefused, match="open Internet"):
        fetch("https://provider.example/")
    assert asked == []
    with pytest.raises(FetchRefused, match="did not answer"):
        fetch("https://provider.example/")
    assert asked == [("93.184.215.14", 443)] and len(answers) == 1


class Odd(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/long":
            self._send(200, b"x" * 2000)
        elif self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                return
        elif self.path == "/mute":
            time.sleep(1.5)
        elif self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", {"self": "/to/self", "good": "/good", "inside": "http://127.0.0.2/x", "other": "ftp://127.0.0.1/"}[self.path[4:]])
            self.end_headers()
        else:
            self._send(200, self.headers["Host"].encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(200, body) if self.path == "/good" else self._redirect()

    def _redirect(self) -> None:
        self.send_response(307)
        self.send_header("Location", "/good")
        self.end_headers()

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return None


@pytest.fixture(scope="module")
def odd() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_trusted_name_on_this_machine_is_asked(odd: str) -> None:
    assert fetch(f"{odd}/good", trusted=HERE).body == odd.removeprefix("http://").encode()
    assert fetch(f"{odd}/to/good", trusted=HERE).status == 200
    assert fetch(f"{odd}/good", body=b"a=b", trusted=HERE).body == b"a=b"
    with pytest.raises(FetchRefused):
        fetch(f"{odd}/good")


@pytest.mark.parametrize(("path", "why"), [("self", "on and on"), ("inside", "only over https"), ("other", "only over https")])
def test_each_redirect_is_judged_anew(odd: str, path: str, why: str) -> None:
    with pytest.raises(FetchRefused, match=why):
        fetch(f"{odd}/to/{path}", trusted=HERE)


def test_what_is_posted_goes_to_one_address_only(odd: str) -> None:
    with pytest.raises(FetchRefused, match="redirect"):
        fetch(f"{odd}/elsewhere", body=b"code=secret", trusted=HERE)


def test_too_much_and_too_slow_are_cut(odd: str) -> None:
    with pytest.raises(FetchRefused, match="sent more"):
        fetch(f"{odd}/long", trusted=HERE, most_bytes=1000)
    for path in ("drip", "mute"):
        began = time.monotonic()
        with pytest.raises(FetchRefused, match="took too long"):
            fetch(f"{odd}/{path}", trusted=HERE, deadline_s=0.4)
        assert time.monotonic() - began < 1.4, "the wall clock counts, not the time between two bytes"


