"""Settings of gunicorn: threads, preloaded and frozen before fork, nothing of ours open, no control socket."""
from __future__ import annotations

import gc
import os
import signal
import threading
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from mcpweb import logs
from mcpweb.processes import keep_memory_private
from mcpweb.settings import load
from mcpweb.supervisor import LIFELINE

gc.disable()  # nothing of what is loaded is garbage; see when_ready
_settings = load()
logs.set_up(_settings, role="web")


class Log(Logger):  # type: ignore[misc]
    """The web server's own log, written as ours is."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logs.cover(self.error_log)


worker_class = "gthread"
workers = _settings.web_workers
threads = 64
preload_app = True
control_socket_disable = True
graceful_timeout = 10
timeout = 60
keepalive = 5
max_requests = 0
limit_request_line = 8190
limit_request_fields = 60
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - gunicorn's heartbeat file
accesslog = None
loglevel = "warning"
logger_class = Log
proc_name = "mcpweb"


def when_ready(server: Any) -> None:
    """Freeze what is loaded, so that forks share it, and leave when the supervisor is gone."""
    keep_memory_private()
    server.app.wsgi().url_map.update()  # what the first request of each process would do for itself
    gc.collect()
    gc.freeze()
    gc.enable()
    given = os.environ.get(LIFELINE)
    if given is not None:

        def watch() -> None:
            os.read(int(given), 1)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, name="lifeline", daemon=True).start()


def post_worker_init(worker: Any) -> None:
    """Let log streams end as soon as the process is asked to leave, and give it numbers of its own to count in."""
    worker.wsgi.extensions["mcpweb.traffic"].slot = worker.age
    worker.wsgi.extensions["mcpweb.streams"].leaving = lambda: not worker.alive
