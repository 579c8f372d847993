"""One job being done: what a handler gets, and how its end is written down."""
from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs
from mcpweb.dao.jobs import Job
from mcpweb.db.driver import Connection
from mcpweb.errors import Cancelled

if TYPE_CHECKING:
    from mcpweb.worker import Worker

_LOOK_EVERY_S = 0.25
_NUMBERS = re.compile(r"\d[\d.,]*")  # who counts on does no other step


@dataclass
class Work:
    """A claimed job with its worker. ``progress`` and ``cancelled`` are the handler's only ties to the row."""

    core: Core
    worker: Worker
    job: Job
    cancel: threading.Event = field(default_factory=threading.Event)
    _written: float = 0.0
    _last: str = ""
    _shape: str = ""

    @property
    def actor(self) -> Actor:
        """Who asked for the job, for audit rows of what it does."""
        return Actor(name=self.job.created_by, role="admin", via="system")

    def progress(self, fraction: float | None, message: str) -> None:
        """Write progress, at most four times a second for the same sentence. Raises Cancelled."""
        now = time.monotonic()
        shape = _NUMBERS.sub("#", message)
        if message != self._last or now - self._written >= _LOOK_EVERY_S:
            self._written, self._last = now, message
            with self.core.db.writing() as conn:
                if jobs.progress(conn, self.job.id, self.worker.id, fraction, message, is_step=shape != self._shape):
                    self.cancel.set()
            self._shape = shape
        if self.cancel.is_set():
            raise Cancelled("It was cancelled.")

    def ends_with(self, conn: Connection, result: dict[str, Any]) -> None:
        """End the job as succeeded in the transaction that did it, so that no kill comes between the two."""
        jobs.finish(conn, self.job.id, self.worker.id, state="succeeded", result=result)

    def cancelled(self) -> bool:
        """Tell whether somebody asked this job to stop."""
        return self.cancel.is_set()


@dataclass(frozen=True)
class Handler:
    """How a kind of job is done. ``when_lost`` says what becomes of one whose worker died."""

    run: Callable[[Work], Any]
    when_lost: Literal["rerun", "fail"]
    lost_sentence: str = "The worker ended in the middle."
    clean_up: Callable[[Core, Job], None] | None = None
