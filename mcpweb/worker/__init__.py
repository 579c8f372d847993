"""The worker: claims jobs and does them, holds the sessions, watches the engine, keeps logs. One per data folder."""
from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mcpweb import clock, origin
from mcpweb.core import Core
from mcpweb.dao import jobs, observations
from mcpweb.dao.jobs import LEASE_S, Job
from mcpweb.db import driver
from mcpweb.errors import Cancelled, Failure, Interrupted, SchemaChanged, StorageFull, Unavailable, of_system
from mcpweb.events import JobFinished
from mcpweb.fitness import Fitness
from mcpweb.ids import new_id
from mcpweb.instance import worker_lock
from mcpweb.services import audit
from mcpweb.worker.doorway import Doorway
from mcpweb.worker.fleet import Fleet
from mcpweb.worker.handlers import HANDLERS
from mcpweb.worker.logs import LogBook
from mcpweb.worker.meter import Meter
from mcpweb.worker.turns import tell_waiting
from mcpweb.worker.watch import Watch
from mcpweb.worker.work import Work

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
LOOK_S = 0.5
FIRST_LOOK_S = 15.0  # how long the first jobs wait until it is known which containers an earlier worker left
JOB_THREADS = 8
FINISH_AGAIN_S = 0.5
BRIEF_TRIES = 20


class Worker:
    """The elected worker of a data folder.

    A *brief* worker serves one command of the command line: it does jobs and answers the line, but neither starts
    wanted servers nor watches the engine.
    """

    def __init__(self, core: Core, *, brief: bool = False) -> None:
        self.core = core
        self.id = new_id("wrk")
        self.brief = brief
        self.book = LogBook(core.settings.logs_dir)
        self.fleet = Fleet(core, self.book)
        self.stopping = threading.Event()
        self._lock = worker_lock(core.settings)
        self.samples = Meter(core, self.fleet, self.stopping).samples
        self._doorway = Doorway(self)
        self._watch = Watch(self)
        self._pool = ThreadPoolExecutor(JOB_THREADS, thread_name_prefix="job")
        self._running: dict[str, Work] = {}
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []

    # Life

    def elect(self, *, wait: bool = False) -> bool:
        """Become the one worker; False when another process is."""
        return self._lock.acquire(wait=wait)

    def start(self) -> None:
        """Settle what the last worker left, open the doorway, begin to claim. ``elect`` first."""
        self._settle()
        self._doorway.open()
        self.spawn(self._heartbeat, "heartbeat")
        self.spawn(self._claim, "claim")
        if not self.brief:
            self._watch.start()

    def stop(self, grace_s: float = 20.0) -> None:
        """Stop claiming, let running jobs end (cancel them at half time), end sessions, give the lock back."""
        self.stopping.set()
        self._wake.set()
        self._doorway.close()
        deadline = time.monotonic() + grace_s
        while self._running and time.monotonic() < deadline:
            if time.monotonic() > deadline - grace_s / 2:
                for work in list(self._running.values()):
                    work.cancel.set()
            time.sleep(0.05)
        self._watch.stop()
        self._doorway.hang_up()
        self.fleet.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for thread in self._threads:
            thread.join(timeout=2.0)
        if not self.brief:
            self._observe("stopped")
        self.book.close()
        self._lock.release()

    def kick(self) -> None:
        """Look for jobs now."""
        self._wake.set()

    def request_cancel(self, job_id: str) -> None:
        """Tell a running job at once that it is to stop."""
        work = self._running.get(job_id)
        if work is not None:
            work.cancel.set()

    def spawn(self, target: Callable[[], None], name: str) -> None:
        """Run something on a thread of its own that gives its database connections back."""

        def run() -> None:
            try:
                target()
            finally:
                self.core.db.close()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    # Jobs

    def do_now(self, job: Job) -> Job:
        """Do one job on the caller's thread; one that is somebody else's or over is returned as it stands.

        Who stored it may have given it to us already. That was read by nobody, so it must have been a moment ago: with its lease
        about to end it is claimed like any other.
        """
        if job.worker == self.id and job.lease_until is not None and job.lease_until > clock.later(LEASE_S / 2):
            return self._do(job)
        with self.core.db.writing() as conn:
            claimed = jobs.claim(conn, worker=self.id, lease_s=LEASE_S, job_id=job.id, instead_of=job.worker)
        if claimed is None:
            with self.core.db.reading() as conn:
                return jobs.get(conn, job.id)
        return self._do(claimed)

    def _claim(self) -> None:
        seen = -1
        while not self.stopping.is_set():
            try:
                if self._wake.is_set() or seen != self.core.db.data_version():
                    self._wake.clear()
                    seen = self.core.db.data_version()
                    while len(self._running) < JOB_THREADS and self._claim_one():
                        pass
            except (Failure, driver.DatabaseError):
                log.exception("jobs cannot be claimed now")
                self.stopping.wait(1.0)
            self._wake.wait(LOOK_S)

    def _claim_one(self) -> bool:
        with self.core.db.reading() as conn:
            ready = jobs.any_to_claim(conn)
        if not ready:
            tell_waiting(self.core)
            return False
        with self.core.db.writing() as conn:
            job = jobs.claim(conn, worker=self.id, lease_s=LEASE_S)
        if job is None:
            return False
        self._running[job.id] = Work(self.core, self, job)
        self._pool.submit(self._do_pooled, job)
        return True

    def _do_pooled(self, job: Job) -> None:
        try:
            self._do(job)
        except Exception:
            log.exception("job %s could not be ended", job.id)
        finally:
            self._wake.set()

    def _do(self, job: Job) -> Job:
        with origin.doing(job.id, job.created_by):
            return self._done(job)

    def _done(self, job: Job) -> Job:
        work = self._running.setdefault(job.id, Work(self.core, self, job))
        state, result, error = "failed", None, None
        if not self.brief:
            self._watch.listed.wait(FIRST_LOOK_S)
        try:
            handler = HANDLERS[job.kind]
            result = handler.run(work)
            state = "succeeded"
        except Cancelled as failure:
            state, error = self._not_asked(job) or ("cancelled", failure.as_job_error())
        except Failure as failure:
            error = failure.as_job_error()
        except Exception as fault:
            log.exception("job %s (%s) failed", job.id, job.kind)
            known = of_system(fault)
            unknown = {"code": "internal", "detail": f"An internal error stopped this ({type(fault).__name__})."}
            error = known.as_job_error() if known else unknown
        finally:
            try:
                ended = self._finish(job, state, result, error)
            finally:
                self._running.pop(job.id, None)
        if ended.finished:
            self.core.announce(JobFinished(job.created_by, job.id, job.kind, ended.state))
        return ended

    def _not_asked(self, job: Job) -> tuple[str, dict[str, str] | None] | None:
        """Return how a job ends that only a stop of ours cancelled: what may be done again is done by the worker that follows."""
        with self.core.db.reading() as conn:
            if not self.stopping.is_set() or jobs.get(conn, job.id).cancel_requested:
                return None
        if HANDLERS[job.kind].when_lost == "rerun":
            return "queued", None
        return "cancelled", Cancelled("mcpweb was stopped before this was over.").as_job_error()

    def _finish(self, job: Job, state: str, result: object, error: dict[str, str] | None) -> Job:
        """Store how a job ended, or that it is to be done again.

        While the disk is full or the database cannot be written it is tried again; a stop gives up: the next worker settles it.
        """
        tried = 0
        while True:
            try:
                with self.core.db.writing() as conn:
                    if state == "queued":
                        jobs.requeue(conn, job.id)
                        return jobs.get(conn, job.id)
                    if not jobs.finish(conn, job.id, self.id, state=state, result=result, error=error):
                        return jobs.get(conn, job.id)
                    if error is not None and state == "failed":
                        audit.note_failed(conn, job, error)
                    done = 1.0 if state == "succeeded" else job.progress
                    return replace(
                        job, state=state, result=result, error=error, finished_at=clock.now(), lease_until=None, progress=done
                    )
            except (StorageFull, Unavailable):
                tried += 1
                if self.stopping.is_set() or (self.brief and tried == BRIEF_TRIES):
                    raise
                self.stopping.wait(FINISH_AGAIN_S)

    def _settle(self) -> None:
        """End or queue again what a worker left that is gone; its lease does not matter, we hold its lock."""
        with self.core.db.reading() as conn:
            lost = jobs.lost(conn, self.id)
        for job in lost:
            handler = HANDLERS.get(job.kind)
            with self.core.db.writing() as conn:
                if handler is not None and handler.when_lost == "rerun" and job.attempts < 3:
                    jobs.requeue(conn, job.id)
                else:
                    sentence = handler.lost_sentence if handler else "No plugin does this kind of job any more."
                    error = Interrupted(sentence).as_job_error()
                    jobs.finish(conn, job.id, None, state="failed", error=error)
                    audit.note_failed(conn, job, error)
            if handler is not None and handler.clean_up is not None:
                handler.clean_up(self.core, job)

    def end_lost_calls(self) -> None:
        """End calls that nobody does and nobody waits for."""
        with self.core.db.reading() as conn:
            lost = [job for job in jobs.lost_calls(conn) if job.id not in self._running]
        for job in lost:
            error = Interrupted("What asked for this call went away before it began; the tool was not called.").as_job_error()
            with self.core.db.writing() as conn:
                if jobs.finish(conn, job.id, job.worker, state="failed", error=error):
                    audit.note_failed(conn, job, error)

    # Heartbeat

    def _heartbeat(self) -> None:
        fitness = Fitness(self.core.db)
        while not self.stopping.is_set():
            try:
                if not self.brief:
                    fitness.check()
                    self._observe("running")
                    self._watch.tell_drift()
                    self._observe_vault()
                    if audit.due(self.core):
                        self.core.sign_audit()
                if self._running:
                    with self.core.db.writing() as conn:
                        jobs.renew(conn, list(self._running), self.id, LEASE_S)
                        asked = jobs.asked_to_stop(conn, self.id)
                    for job_id in asked:
                        self.request_cancel(job_id)
                self.end_lost_calls()
            except SchemaChanged as failure:
                log.warning("the worker leaves: %s", failure.detail)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            except (Failure, driver.DatabaseError):
                log.exception("the heartbeat cannot be written")
            self.stopping.wait(HEARTBEAT_S)

    def _observe(self, state: str) -> None:
        with self.core.db.writing() as conn:
            observations.put(
                conn, "worker", {"state": state, "worker": self.id, "pid": os.getpid(), "beat": clock.now()}
            )

    def _observe_vault(self) -> None:
        """Note whether keys can be had; pages read it there, so that none of them waits for a key source."""
        with self.core.db.reading() as conn:
            state = self.core.vault.state(conn)
        with self.core.db.writing() as conn:
            observations.put(
                conn, "vault",
                {"state": "locked" if state.locked else "open", "code": state.code, "detail": state.detail,
                 "next_step": state.next_step},
            )
