"""The servers we run: a container and a session each, held until they are stopped.

A stdio session is its container's life. An http server's container lives on without us and is adopted again.
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mcpweb import clock
from mcpweb.contracts import ContainerState, ImageFacts, Launched, Progress
from mcpweb.core import Core
from mcpweb.dao import configurations, servers
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.servers import Server
from mcpweb.errors import Conflict, Failure, ImageMissing, NotFound, RuntimeUnavailable, SecretMissing, ServerExited, VaultLocked
from mcpweb.events import ServerChanged
from mcpweb.redaction import Redactor
from mcpweb.schemas.configurations import load_config_data
from mcpweb.services import bindings
from mcpweb.services.configurations import config_hash, same_but_for_secrets
from mcpweb.worker.logs import LogBook
from mcpweb.worker.lookout import Lookout
from mcpweb.worker.member import Member, Wanted, delivered, exit_sentence, hush, intent_for

if TYPE_CHECKING:
    from mcpweb.db import Connection

log = logging.getLogger(__name__)

HANDSHAKE_S = 30.0
ENGINE_AWAY = "The engine does not answer; it was last seen running."
OTHER_SECRETS = "Its secrets changed since it was started; restart it to give it the new ones."
LOCKED_OUT = "It runs on, but the vault is locked; it is taken over again when the vault is unlocked."
OTHER_CONFIGURATION = "Its configuration changed since it was started; restart it to apply the change."


class Fleet:
    """All running servers of this instance. Methods are safe from any thread; one server changes at a time."""

    def __init__(self, core: Core, book: LogBook) -> None:
        self._core = core
        self._book = book
        self.lookout = Lookout(core, book)
        self._members: dict[str, Member] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()
        self.closing = False
        self.used = False  # the engine, by a server or a test run: what nobody needs any more goes at the end
        self.orphans: set[str] = set()  # containers that could not be removed when their work was over
        self.locked_out: set[str] = set()  # servers that did not start because the vault was locked

    def member(self, server_id: str) -> Member | None:
        """Return the running member, None when it is not running here."""
        member = self._members.get(server_id)
        return member if member is not None and member.session.ended is None else None

    def members(self) -> list[Member]:
        return list(self._members.values())

    @contextmanager
    def changing(self, server_id: str) -> Iterator[None]:
        """Let one start, stop or adoption of a server happen at a time."""
        with self._guard:
            lock = self._locks.setdefault(server_id, threading.RLock())
        with lock:
            yield

    # Start and stop

    def start(self, server_id: str, actor: str, progress: Progress) -> Member:
        """Start a server and open its session; a running one is returned. Raises the failure that stopped it.

        *Started* means that the MCP handshake was answered. On failure nothing of it keeps running and the row says
        why.
        """
        with self.changing(server_id):
            running = self.member(server_id)
            if running is not None:
                return running
            server, configuration = self._read(server_id)
            self.locked_out.discard(server.id)
            try:
                member = self._open(server, configuration, progress)
            except Failure as failure:
                if isinstance(failure, VaultLocked):
                    self.locked_out.add(server.id)
                # an engine that does not answer says nothing about the server
                word = "unknown" if isinstance(failure, RuntimeUnavailable) else "error"
                self.seen(server_id, actor, word, failure.sentence, None)
                self._book.event(server_id, f"start failed: {failure.detail}")
                raise
            self._members[server_id] = member
            member.session.on_end(lambda: self._ended(member))
            self._record(server, member)
            self.seen(server_id, actor, "running", "", member.container_id)
            self._book.event(server_id, f"started, MCP {member.session.protocol}, container {member.container_id[:12]}")
            for secret in member.secrets:
                self._book.event(server_id, delivered(secret))
            return member

    def stop(self, server_id: str, actor: str, progress: Progress, grace_s: float = 5.0) -> None:
        """Stop a server and remove its container; one that does not run is only looked for."""
        with self.changing(server_id):
            progress(None, "Stopping")
            self.used = True
            member = self._members.pop(server_id, None)
            if member is not None:
                member.session.close()
            for state in self._core.runtime.containers(self._core.instance.id):
                if _belongs(state, server_id, "server"):
                    self._core.runtime.stop(state.id, grace_s)
                    self._core.runtime.remove(state.id)
            self.seen(server_id, actor, "stopped", "", None)
            self._book.event(server_id, "stopped")

    @contextmanager
    def session(self, server_id: str, progress: Progress) -> Iterator[Member]:
        """Give the running member, or one in a throw-away container for a server that is stopped.

        What its session says is to be shown through its redactor only; failures inside come out redacted.
        """
        member = self.member(server_id)
        if member is not None:
            with _hushed(member.redactor):
                yield member
            return
        server, configuration = self._read(server_id)
        throw_away = self._open(server, configuration, progress, role="helper")
        try:
            with _hushed(throw_away.redactor):
                yield throw_away
        finally:
            throw_away.session.close()
            self._discard(throw_away.container_id)

    def _discard(self, container_id: str) -> None:
        try:
            self._core.runtime.remove(container_id)
        except Failure:
            self.orphans.add(container_id)

    def bury_orphans(self) -> None:
        """Remove what could not be removed before. Raises what the runtime raises."""
        for container_id in list(self.orphans):
            self._core.runtime.remove(container_id)
            self.orphans.discard(container_id)

    # Adoption and loss

    def adopt(self, server: Server, configuration: Configuration, state: ContainerState) -> None:
        """Take over a running http container of ours after a restart. Raises when it does not answer MCP.

        Raises Conflict when it holds other secrets than it would be given now, and VaultLocked: without the values it has,
        nobody could keep them out of what it says. One whose secrets expired meanwhile is taken over; its row says so.
        """
        self.used = True
        with self.changing(server.id):
            with self._core.db.reading() as conn:
                try:
                    wanted = self._wanted(conn, server, configuration)
                    if wanted.config_hash != state.labels.get("mcpweb.config_hash"):
                        raise Conflict("It holds other secrets than it would be given now.")
                except SecretMissing:  # it was started when it had what it required
                    wanted = self._known(conn, server, configuration)
                    wanted = replace(wanted, hidden=bindings.values(self._core, conn, configuration))
            image = self._core.runtime.image(state.image_id or server.image)
            endpoint = self._core.runtime.endpoint(state, wanted.config)
            launched = Launched(state.id, self._core.runtime.attach(state.id), endpoint)
            wanted = replace(wanted, config_hash=state.labels.get("mcpweb.config_hash", ""))
            member = self._member(wanted, image, launched)
            self._members[server.id] = member
            member.session.on_end(lambda: self._ended(member))
            self.seen(server.id, "system:worker", "running", self.drift(member), state.id)
            self._book.event(server.id, f"adopted container {state.id[:12]}")
            self.lookout.attend(member)
            self.lookout.soon(member)

    def drift(self, member: Member) -> str:
        """Return in what a running member differs from what would be started now; empty when in nothing."""
        try:
            with self._core.db.reading() as conn:
                server = servers.get(conn, member.server_id)
                now = self._known(conn, server, configurations.active(conn, server.id)).config_hash
        except NotFound:
            return ""
        if now == member.config_hash:
            return ""
        return OTHER_SECRETS if same_but_for_secrets(now, member.config_hash) else OTHER_CONFIGURATION

    def close(self) -> None:
        """End all sessions: stdio containers go, http ones stay and are adopted by the next worker."""
        self.closing = True
        self.lookout.close()
        for member in self.members():
            member.session.close()
            if member.config.transport == "stdio":
                try:
                    self._core.runtime.stop(member.container_id, 2.0)
                    self._core.runtime.remove(member.container_id)
                except Failure as failure:
                    log.warning("container %s stays: %s", member.container_id[:12], failure.detail)
        self._members.clear()
        if self.used:
            with suppress(Failure):  # what is left is taken away by the next worker
                self._core.runtime.cleanup(self._core.instance.id)

    def drop(self, server_id: str, sentence: str) -> None:
        """Note that a member's container is gone."""
        member = self._members.pop(server_id, None)
        if member is not None:
            member.session.close()
        self.seen(server_id, "system:worker", "error", sentence, None)

    def seen(self, server_id: str, actor: str, status: str, detail: str, container_id: str | None) -> None:
        """Write what was last seen of a server; tells plugins when it changed."""
        with self._core.db.writing() as conn:
            changed = servers.set_seen(
                conn, server_id, status=status, detail=detail, container_id=container_id, at=clock.now()
            )
        if changed:
            self._core.announce(ServerChanged(actor, server_id, "status"))

    # Inside

    def _ended(self, member: Member) -> None:
        """A session is over: say why, unless we ended it."""
        if self.closing or self._members.get(member.server_id) is not member:
            return
        threading.Thread(target=self._bury, args=(member,), name="bury", daemon=True).start()

    def _bury(self, member: Member) -> None:
        with self.changing(member.server_id):
            if self._members.get(member.server_id) is not member:
                return
            del self._members[member.server_id]
            sentence = "The session ended."
            try:
                state = self._last_state(member.container_id)
                ended = member.session.ended
                if ended is not None:
                    sentence = ended.sentence
                if ended is None or ended.reason == "exited":
                    sentence = exit_sentence(state) or sentence
                sentence = member.redactor.text(sentence)
                member.session.close()
                if member.config.transport == "stdio" or not (state and state.running):
                    self._discard(member.container_id)
                word = "error"
                if member.container_id in self.orphans:  # the engine went away, and with it what we could know
                    word, sentence = "unknown", ENGINE_AWAY
                self.seen(member.server_id, "system:worker", word, sentence, None)
                self._book.event(member.server_id, sentence)
            except Failure as failure:
                log.warning("after the end of %s: %s", member.name, failure.detail)
            finally:
                self._core.db.close()

    def _last_state(self, container_id: str) -> ContainerState | None:
        for _ in range(20):
            try:
                state = self._core.runtime.inspect(container_id)
            except Failure:
                return None
            if not state.running:
                return state
            time.sleep(0.05)
        return state

    def _read(self, server_id: str) -> tuple[Server, Configuration]:
        with self._core.db.reading() as conn:
            server = servers.get(conn, server_id)
            return server, configurations.active(conn, server.id)

    def _known(self, conn: Connection, server: Server, configuration: Configuration) -> Wanted:
        """Return what is wanted without opening a secret."""
        config = load_config_data(configuration.config_data)
        fingerprint = bindings.fingerprint(conn, configuration)
        return Wanted(server, config, config_hash(server.image, config, fingerprint))

    def _wanted(self, conn: Connection, server: Server, configuration: Configuration) -> Wanted:
        """Return what is wanted, secrets opened. Raises SecretMissing, VaultLocked, Tampered."""
        return replace(
            self._known(conn, server, configuration), secrets=bindings.deliveries(self._core, conn, configuration)
        )

    def _open(self, server: Server, configuration: Configuration, progress: Progress, role: str = "server") -> Member:
        self.used = True
        runtime = self._core.runtime
        with self._core.db.reading() as conn:
            wanted = self._wanted(conn, server, configuration)
        progress(0.1, "Looking for the image")
        try:
            image = runtime.image(server.image)
        except ImageMissing as missing:
            raise ImageMissing(missing.detail, next_step=f"Run `mcpweb servers pull {server.name}`.") from None
        intent = intent_for(self._core, wanted, role=role)
        progress(0.3, "Starting the container")
        launched = runtime.launch(replace(intent, image=image.id))
        progress(0.6, "Waiting for the MCP handshake")
        try:
            return self._member(wanted, image, launched)
        except BaseException as error:
            state = self._last_state(launched.container_id)
            self._discard(launched.container_id)
            sentence = exit_sentence(state)
            # after any other failure it was our hanging up that ended it
            if sentence and isinstance(error, ServerExited):
                raise ServerExited(
                    sentence, next_step=f"See `mcpweb servers logs {server.name}`; run the connection test."
                ) from error
            raise

    def _member(self, wanted: Wanted, image: ImageFacts, launched: Launched) -> Member:
        from mcpweb.mcp import session as sessions

        server, redactor = wanted.server, wanted.redactor()
        stream, guard = redactor.stream(), threading.Lock()

        def on_stderr(data: bytes) -> None:
            with guard:
                self._book.feed(server.id, "stderr", stream.feed(data))

        def at_end() -> None:
            with guard:
                self._book.feed(server.id, "stderr", stream.flush())

        try:
            with _hushed(redactor):
                if launched.endpoint is None:
                    session = sessions.open_stdio(launched.socket, era="auto", deadline_s=HANDSHAKE_S, on_stderr=on_stderr)
                else:
                    session = sessions.open_http(
                        launched.endpoint, launched.socket, era="auto", deadline_s=HANDSHAKE_S, on_stderr=on_stderr
                    )
        except BaseException:
            at_end()
            raise
        session.on_end(at_end)
        return Member(
            server_id=server.id, name=server.name, container_id=launched.container_id, config=wanted.config,
            config_hash=wanted.config_hash, image=image, session=session, redactor=redactor,
            known=wanted.known(), secrets=wanted.secrets, endpoint=launched.endpoint,
        )

    def _record(self, server: Server, member: Member) -> None:
        with self._core.db.writing() as conn:
            if server.image_id is None:
                servers.record_image(
                    conn, server.id, image_id=member.image.id, image_digest=member.image.digest,
                    protocol=member.session.protocol,
                )
            servers.set_health_check(conn, server.id, clock.now())
        try:
            self.lookout.begin(member)
        except Failure as failure:
            hush(failure, member.redactor)
            self._book.event(server.id, f"the tools could not be listed: {failure.detail}")


@contextmanager
def _hushed(redactor: Redactor) -> Iterator[None]:
    try:
        yield
    except Failure as failure:
        hush(failure, redactor)
        raise


def _belongs(state: ContainerState, server_id: str, role: str) -> bool:
    return state.labels.get("mcpweb.server_id") == server_id and state.labels.get("mcpweb.role") == role


__all__ = ["Fleet", "Member", "Wanted", "exit_sentence", "intent_for"]
