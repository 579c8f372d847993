"""What the worker watches: the engine, the containers of this instance, the health of sessions, the database's upkeep.

The sweep asks the engine once every 30 s, and at once when its event stream says something or breaks; rows are
written only when they change.
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from mcpweb import clock
from mcpweb.contracts import Actor, ContainerState
from mcpweb.dao import configurations, observations, servers
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.servers import Server
from mcpweb.db import driver
from mcpweb.errors import Failure, NotFound, ServerTimeout, VaultLocked
from mcpweb.schemas.configurations import load_config_data
from mcpweb.services import keeping, retention, rounds, schedules, storage
from mcpweb.services.configurations import config_hash, same_but_for_secrets
from mcpweb.worker.fleet import ENGINE_AWAY, LOCKED_OUT, exit_sentence

if TYPE_CHECKING:
    from mcpweb.worker import Worker

log = logging.getLogger(__name__)

SWEEP_S = 30.0
AWAY_S = 3.0  # how soon an absent engine is asked again
HEALTH_S = 60.0
HEALTH_DEADLINE_S = 10.0
UPKEEP_S = 300.0
SCHEDULES_S = 10.0
IMAGES_S = 300.0
STARTS_AT_ONCE = 4
SYSTEM = Actor(name="system:worker", role="admin", via="system")


class Watch:
    """Threads of a full worker; a brief one never starts them."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._core = worker.core
        self._look = threading.Event()
        self._starters = ThreadPoolExecutor(STARTS_AT_ONCE, thread_name_prefix="starter")
        self._booted = False
        self._reachable: bool | None = None
        self.listed = threading.Event()  # what an earlier worker left is known; jobs may make new containers

    def start(self) -> None:
        self._worker.spawn(self._sweeping, "sweep")
        self._worker.spawn(self._listening, "events")
        self._worker.spawn(self._checking, "health")
        self._worker.spawn(self._keeping_up, "upkeep")
        self._worker.spawn(self._scheduling, "schedules")

    def stop(self) -> None:
        self._look.set()
        self.listed.set()
        self._starters.shutdown(wait=False, cancel_futures=True)

    # Engine and containers

    def _sweeping(self) -> None:
        while not self._worker.stopping.is_set():
            self._guard(self.sweep)
            self.listed.set()
            self._look.wait(SWEEP_S if self._reachable else AWAY_S)
            self._look.clear()

    def sweep(self) -> None:
        """Ask the engine what is true and write it down."""
        health = self._core.runtime.health()
        with self._core.db.reading() as conn:
            known = observations.get(conn, "engine")
        state = "reachable" if health.reachable else "away"
        value = {"state": state, "version": health.version, "api": health.api_version,
                 "address": health.address, "detail": health.detail}
        if known is None or known.value != value:
            with self._core.db.writing() as conn:
                observations.put(conn, "engine", value)
        if not health.reachable:
            self._reachable = False
            self._nothing_is_known()
            return
        self._worker.fleet.bury_orphans()
        containers = self._core.runtime.containers(self._core.instance.id)
        planted = [] if self._booted else self._core.runtime.planted(self._core.instance.id)
        self.listed.set()
        if not self._booted:
            self._boot(containers, planted)
            self._booted = True
        else:
            self._compare(containers, returned=self._reachable is False)
        self._reachable = True

    def _nothing_is_known(self) -> None:
        """The engine does not answer: what ran is unknown now, not stopped."""
        with self._core.db.reading() as conn:
            running = servers.with_status(conn, "running")
        for server in running:
            self._worker.fleet.seen(
                server.id, "system:worker", "unknown", ENGINE_AWAY,
                server.container_id,
            )

    def _boot(self, containers: list[ContainerState], planted: list[str]) -> None:
        """After a start of the worker: adopt, remove what is half-made or nobody's, start what is wanted."""
        with self._core.db.reading() as conn:
            wanted = {server.id: server for server in servers.wanted_running(conn)}
        adopted: set[str] = set()
        ours = {member.container_id for member in self._worker.fleet.members()}
        for state in containers:
            if state.id in ours:
                continue
            server = wanted.get(state.labels.get("mcpweb.server_id", ""))
            if server is not None and server.id not in adopted and self._adopt(server, state):
                adopted.add(server.id)
            else:
                self._guard(partial(self._core.runtime.remove, state.id))
        for name in planted:
            self._guard(partial(self._core.runtime.remove_planted, self._core.instance.id, name))
        self._guard(partial(self._core.runtime.cleanup, self._core.instance.id))
        with self._core.db.reading() as conn:
            gone = [s for s in servers.with_status(conn, "running") if s.id not in wanted]
        for server in gone:
            self._worker.fleet.seen(server.id, "system:worker", "stopped", "", None)
        for server in wanted.values():
            if server.id not in adopted:
                self._start(server)

    def _adopt(self, server: Server, state: ContainerState) -> bool:
        if state.labels.get("mcpweb.role") != "server" or not state.running:
            return False
        with self._core.db.reading() as conn:
            configuration = self._active(conn, server)
        if configuration is None:
            return False
        config = load_config_data(configuration.config_data)
        runs = state.labels.get("mcpweb.config_hash", "")
        if config.transport != "http" or not same_but_for_secrets(runs, config_hash(server.image, config)):
            return False
        try:
            self._worker.fleet.adopt(server, configuration, state)
        except VaultLocked as failure:
            log.warning("the container of %s runs on but is not adopted: %s", server.name, failure.detail)
            self._worker.fleet.seen(server.id, "system:worker", "error", LOCKED_OUT, state.id)
            self._worker.fleet.locked_out.add(server.id)
        except Failure as failure:
            log.warning("the container of %s is not adopted: %s", server.name, failure.detail)
            return False
        return True

    @staticmethod
    def _active(conn: driver.Connection, server: Server) -> Configuration | None:
        try:
            return configurations.active(conn, server.id)
        except NotFound:
            return None

    def _start(self, server: Server) -> None:
        """Start it in the background, if it is still wanted by then: nobody's stop is undone."""

        def start() -> None:
            try:
                with self._worker.fleet.changing(server.id):
                    with self._core.db.reading() as conn:
                        wanted = servers.get(conn, server.id).wanted
                    if wanted == "running":
                        self._worker.fleet.start(server.id, "system:worker", lambda fraction, message: None)
            except Failure as failure:
                log.warning("%s is wanted but does not start: %s", server.name, failure.detail)
            finally:
                self._core.db.close()

        if not self._worker.stopping.is_set():
            self._starters.submit(start)

    def _compare(self, containers: list[ContainerState], *, returned: bool) -> None:
        by_id = {state.id: state for state in containers}
        for member in self._worker.fleet.members():
            state = by_id.get(member.container_id)
            if state is None or not state.running:
                if state is not None:  # the list does not tell how it ended
                    state = self._core.runtime.inspect(state.id)
                sentence = exit_sentence(state) or "Its container is gone; somebody removed it."
                if self._worker.fleet.member(member.server_id) is member or returned:
                    self._worker.fleet.drop(member.server_id, sentence)
        self.tell_drift()
        self._retry_locked_out(containers)
        with self._core.db.reading() as conn:
            lost = [s for s in servers.with_status(conn, "unknown") if s.seen_at is not None]
        for server in lost:
            alive = self._worker.fleet.member(server.id)
            if alive is not None:
                sentence = self._worker.fleet.drift(alive)
                self._worker.fleet.seen(server.id, "system:worker", "running", sentence, alive.container_id)
            elif server.wanted == "running":
                self._start(server)
            else:
                self._worker.fleet.seen(server.id, "system:worker", "stopped", "", None)

    def tell_drift(self) -> None:
        """Write down which running servers would be started differently now."""
        if not self._worker.fleet.members():
            return
        with self._core.db.reading() as conn:
            running = {server.id: server for server in servers.with_status(conn, "running")}
        for member in self._worker.fleet.members():
            row = running.get(member.server_id)
            sentence = self._worker.fleet.drift(member)
            if row is not None and row.status_detail != sentence and self._worker.fleet.member(row.id) is member:
                self._worker.fleet.seen(row.id, "system:worker", "running", sentence, member.container_id)

    def _retry_locked_out(self, containers: list[ContainerState]) -> None:
        """Take over or start what could not be while the vault was locked."""
        fleet = self._worker.fleet
        waiting = set(fleet.locked_out)
        if not waiting:
            return
        with self._core.db.reading() as conn:
            if self._core.vault.state(conn).locked:
                return
            wanted = [server for server in servers.wanted_running(conn) if server.id in waiting]
        fleet.locked_out -= waiting
        for server in wanted:
            own = [state for state in containers if state.labels.get("mcpweb.server_id") == server.id]
            if fleet.member(server.id) is None and not any(self._adopt(server, state) for state in own):
                self._start(server)

    def _listening(self) -> None:
        while not self._worker.stopping.is_set():
            try:
                for event in self._core.runtime.events(self._core.instance.id, self._worker.stopping.is_set):
                    if event.action in ("die", "destroy", "oom", "kill"):
                        self._look.set()
            except Failure:
                self._look.set()
            self._worker.stopping.wait(2.0)

    # Sessions

    def _checking(self) -> None:
        while not self._worker.stopping.wait(HEALTH_S):
            for member in self._worker.fleet.members():
                self._guard(partial(self._check, member.server_id))

    def _check(self, server_id: str) -> None:
        member = self._worker.fleet.member(server_id)
        if member is None:
            return
        try:
            member.session.ping(deadline_s=HEALTH_DEADLINE_S)
        except ServerTimeout:
            sentence = f"It did not answer a ping within {HEALTH_DEADLINE_S:.0f} s."
            self._worker.fleet.seen(server_id, "system:worker", "error", sentence, member.container_id)
            return
        with self._core.db.writing() as conn:
            servers.set_health_check(conn, server_id, clock.now())
        sentence = self._worker.fleet.drift(member)
        self._worker.fleet.seen(server_id, "system:worker", "running", sentence, member.container_id)
        self._worker.fleet.lookout.soon(member)

    # Upkeep

    def _keeping_up(self) -> None:
        while not self._worker.stopping.wait(UPKEEP_S):
            self._guard(lambda: storage.maintain(self._core.db))
            self._guard(lambda: keeping.request(self._core, SYSTEM))
            self._guard(lambda: retention.request(self._core, SYSTEM))
            self._guard(lambda: rounds.request(self._core, SYSTEM))

    # Schedules

    def _scheduling(self) -> None:
        looked = time.monotonic()
        while not self._worker.stopping.is_set():
            self._guard(lambda: schedules.due(self._core))
            if time.monotonic() - looked >= IMAGES_S and self._reachable:
                looked = time.monotonic()
                self._guard(lambda: schedules.look_at_images(self._core))
            self._worker.stopping.wait(SCHEDULES_S)

    @staticmethod
    def _guard(action: Callable[[], object]) -> None:
        try:
            action()
        except (Failure, driver.DatabaseError) as failure:
            log.warning("the watch could not do its round: %s", failure)
        except Exception:
            log.exception("the watch could not do its round")
            time.sleep(1.0)
