"""A failed run is told once, signed, a few times at most, and only where an address may lead."""
from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mcpweb_notifier_webhook.sender import MOST_WAITING, Sender

from mcpweb.plugin import TestRunFinished

SECRET = "a secret of the webhook"
FAILED = TestRunFinished("cli:tester", "run_bad", "srv_1", "fail")


class Receiver:
    """Takes what is posted; ``statuses`` are what it answers, in turn."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.hold.wait(10)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.heard.append(({name.lower(): text for name, text in self.headers.items()}, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def sender(receiver: Receiver) -> Sender:
    return Sender(receiver.url, SECRET, "https://mcp.example.org", ("127.0.0.1",), 3, pause_s=0.01)


class TestInTheApplication:
    @pytest.fixture
    def plugin_settings(self, receiver: Receiver) -> dict[str, str]:
        return {
            "plugin_notifier_webhook_url": receiver.url, "plugin_notifier_webhook_secret": SECRET,
            "plugin_notifier_webhook_trusted_hosts": "127.0.0.1",
        }

    def test_a_failed_run_is_told_signed_and_a_passed_one_is_not(self, core, receiver: Receiver) -> None:
        core.plugins.ready(core)
        core.announce(TestRunFinished("cli:tester", "run_good", "srv_1", "pass"))
        core.announce(FAILED)
        (sender,) = core.plugins.records["notifier_webhook"].module._senders.values()
        assert sender.flush()
        ((headers, body),) = receiver.heard
        told = json.loads(body)
        assert (told["event"], told["run_id"], told["server_id"]) == ("test_run.failed", "run_bad", "srv_1")
        assert told["url"] == f"{core.settings.public_url}/test-runs/run_bad" and told["at"].endswith("Z")
        at, mark = (part.partition("=")[2] for part in headers["x-mcpweb-signature"].split(","))
        assert hmac.compare_digest(mark, hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest())
        assert SECRET.encode() not in body and SECRET not in str(headers)


@pytest.mark.parametrize(("statuses", "times"), [
    ([], 1), ([500, 503], 3), ([500, 500, 500, 500], 3), ([429], 2), ([400], 1), ([404], 1), ([302, 302, 302], 3),
])
def test_it_is_tried_again_where_that_may_help_and_not_for_ever(receiver: Receiver, sender: Sender, statuses: list[int], times: int) -> None:
    receiver.statuses = statuses
    sender.tell({"run_id": "run_bad"})
    assert sender.flush() and len(receiver.heard) == times


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "https://localhost:{port}/", "file:///etc/passwd"])
def test_an_address_that_is_not_trusted_and_not_public_is_never_asked(receiver: Receiver, url: str, caplog: pytest.LogCaptureFixture) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    sender = Sender(url.format(port=port), SECRET, "", (), 2, pause_s=0.01)
    sender.tell({"run_id": "run_bad"})
    assert sender.flush() and receiver.heard == [] and "was not told" in caplog.text and SECRET not in caplog.text


def test_telling_never_waits_and_what_finds_no_room_is_dropped(receiver: Receiver, sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    receiver.hold.clear()
    for number in range(MOST_WAITING + 5):
        sender.tell({"run_id": f"run_{number}"})
    assert "one is dropped" in caplog.text
    receiver.hold.set()
    assert sender.flush(30) and MOST_WAITING <= len(receiver.heard) <= MOST_WAITING + 2
