"""A bounded queue and one thread that posts what is in it: signed, a few times, and never to where no address may lead."""
from __future__ import annotations

import atexit
import hashlib
import hmac
import json
import logging
import queue
import threading
import time
from collections.abc import Mapping

from mcpweb.plugin import Unavailable, clock, fetch

log = logging.getLogger("mcpweb.notifier_webhook")
MOST_WAITING = 100
MOST_ATTEMPTS = 5
LAST_WORDS_S = 10.0


class Sender:
    """``tell`` never waits and never raises; what finds no room is dropped and said so."""

    def __init__(
        self, url: str, secret: str, public_url: str, trusted: tuple[str, ...], attempts: int, pause_s: float = 1.0
    ) -> None:
        self._url, self._secret, self._public_url, self._trusted = url, secret.encode(), public_url, trusted
        self._attempts, self._pause_s = max(1, min(attempts, MOST_ATTEMPTS)), pause_s
        self._waiting: queue.Queue[bytes] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()

    def tell(self, message: Mapping[str, str]) -> None:
        body = {**message, "at": clock.rfc3339(clock.now()), "url": f"{self._public_url}/test-runs/{message['run_id']}"}
        try:
            self._waiting.put_nowait(json.dumps(body, sort_keys=True).encode())
        except queue.Full:
            log.warning("the webhook is behind by %d messages; one is dropped", MOST_WAITING)
            return
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
                self._thread.start()
                atexit.register(self.flush)

    def flush(self, timeout_s: float = LAST_WORDS_S) -> bool:
        """Wait until everything was sent or given up; a command that ends gives it this long."""
        until = time.monotonic() + timeout_s
        while self._waiting.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.02)
        return not self._waiting.unfinished_tasks

    def _run(self) -> None:
        while True:
            body = self._waiting.get()
            try:
                self._send(body)
            except Exception:
                log.exception("a message could not be sent")
            finally:
                self._waiting.task_done()

    def _send(self, body: bytes) -> None:
        said = ""
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(self._pause_s * 4 ** (attempt - 1))
            try:
                status, _ = fetch(self._url, body=body, headers=self._headers(body), trusted=self._trusted)
            except Unavailable as failure:
                said = failure.detail
                continue
            if 200 <= status < 300:
                return
            said = f"it answered {status}"
            if status < 500 and status not in (408, 425, 429):
                break  # it will not like it better the next time
        log.warning("the webhook was not told: %s", said)

    def _headers(self, body: bytes) -> dict[str, str]:
        at = str(int(time.time()))
        mark = hmac.new(self._secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Mcpweb-Signature": f"t={at},v1={mark}"}
