"""Containers from made to removed. Whatever fails on the way, nothing half-made remains."""
from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweb.plugin import (
    ContainerIntent,
    ContainerState,
    Failure,
    ImageMissing,
    Launched,
    NotFound,
    Progress,
    RuntimeConflict,
    RuntimeTimeout,
    StartFailed,
)

from . import faults, grounds, handshake, labels, policy, references, secretfiles, states
from .attach import attach
from .secretfiles import SecretFiles
from .shells import Shells, no_shell

if TYPE_CHECKING:
    from .engine import Engine
    from .transport import Client

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_ENDED = ("exited", "dead")
_TO_END_S = 2.0  # how long a container whose stream ended may take to be seen as ended
_BY_FILE = "If it happens again, bind the secrets with the delivery `file`."


class Containers:
    """The containers of one engine."""

    def __init__(self, engine: Engine, bind_roots: tuple[Path, ...], secrets_dir: str = "") -> None:
        self._engine = engine
        self._roots = bind_roots
        self._shells = Shells(engine)
        self._files = SecretFiles(secrets_dir)
        self._folders: dict[str, tuple[str, str]] = {}  # container: instance and folder of its secrets
        self._doubtful: set[str] = set()  # names the engine may have made although it did not answer
        self._guard = threading.Lock()
        self._calm = threading.Condition(self._guard)
        self._launching = 0
        self._cleaning = False

    @contextlib.contextmanager
    def calm(self) -> Iterator[bool]:
        """Tell whether no container is being made, and let none be made meanwhile: one may need what nobody uses yet."""
        with self._calm:
            mine = not self._launching and not self._cleaning
            self._cleaning = self._cleaning or mine
        try:
            yield mine
        finally:
            if mine:
                with self._calm:
                    self._cleaning = False
                    self._calm.notify_all()

    def check(self, intent: ContainerIntent) -> None:
        """Raise PolicyRefused if the policy would not build it."""
        policy.plan(intent, self._roots, self._engine.address)
        if any(secret.way == "file" for secret in intent.secrets):
            self._files.place(self._engine.address)

    def launch(self, intent: ContainerIntent, progress: Progress | None) -> Launched:
        """Create, attach, start. See ``Runtime.launch``."""
        with self._calm:
            self._calm.wait_for(lambda: not self._cleaning, self._engine.deadlines.cleanup)
            self._launching += 1
        try:
            return self._launch(intent, progress or (lambda fraction, sentence: None))
        finally:
            with self._guard:
                self._launching -= 1

    def _launch(self, intent: ContainerIntent, tell: Progress) -> Launched:
        left = _countdown(self._engine.deadlines.launch)
        plan = policy.plan(intent, self._roots, self._engine.address)
        tell(None, "Creating the container")
        plan, image = self._prepared(plan, intent, left)
        timings: dict[str, float] = {}
        sock = None
        made = None
        folder = ""
        by_stdin = policy.by_stdin(intent)
        with self._guard:
            self._doubtful.discard(intent.name)  # one that was made late is a leftover from here on
        try:
            if any(secret.way == "file" for secret in intent.secrets):
                written = self._files.write(intent, self._engine.address, self._owner(intent, image, left))
                folder, plan = written.folder, policy.with_files(plan, written)
            with _timed(timings, "create"):
                made = self._create(plan, intent, left)
            if folder:
                self._folders[made] = intent.instance, folder
            if by_stdin:
                self._shells.require(str(image["Id"]), intent.image, made, left)
            tell(None, "Starting the container")
            with _timed(timings, "attach"):
                sock = attach(
                    self._engine, made, stdin=by_stdin or intent.config.transport == "stdio", deadline_s=left()
                )
            with _timed(timings, "start"):
                self._start(made, plan, intent, left)
            if by_stdin:
                with _timed(timings, "secrets"):
                    self._hand_over(made, sock, intent, left, tell)
            endpoint = None
            if intent.config.transport == "http":
                endpoint = states.endpoint_of(self.inspect(made, deadline_s=left()), intent.config)
                if endpoint is None:
                    raise StartFailed(
                        "The container ended before its port was open.", next_step="Run the connection test."
                    )
            return Launched(made, sock, endpoint, timings)
        except BaseException as error:
            if sock is not None:
                sock.close()
            self._undo(made, intent, error)
            if folder and made is None:
                self._files.remove(intent.instance, folder)
            raise
        finally:
            self._files.settled(folder)

    def inspect(self, container_id: str, *, deadline_s: float | None = None) -> ContainerState:
        """Return the state of one container. Raises NotFound."""
        one = checked(container_id)
        return self._engine.call(
            "inspect a container", lambda client: states.inspected(client.inspect_container(one)), deadline_s=deadline_s
        )

    def listing(self, instance: str) -> list[ContainerState]:
        """List all containers of an instance; those that came to be behind our back are removed first."""
        folders = self._files.standing(instance)  # before the engine is asked: a container may be made meanwhile
        states = self._list({"label": f"{labels.INSTANCE}={instance}"})
        needed = {state.labels.get(labels.FILES) for state in states if state.status not in _ENDED}
        for folder in folders - needed:
            self._files.remove(instance, folder)
        with self._guard:
            doubtful = set(self._doubtful)
        for state in [s for s in states if s.name in doubtful]:
            with contextlib.suppress(Failure):
                self.remove(state.id)
                states.remove(state)
        with self._guard:
            self._doubtful -= doubtful
        return states

    def stop(self, container_id: str, grace_s: float) -> ContainerState | None:
        """Stop and return the last state, None if it was gone."""
        one = checked(container_id)
        seconds = math.ceil(max(grace_s, 0))
        try:
            self._engine.call(
                "stop a container",
                lambda client: client.stop(one, timeout=seconds),
                deadline_s=seconds + self._engine.deadlines.stop,
            )
            state = self.inspect(one)
        except NotFound:
            return None
        if state.status in _ENDED:
            self._forget_files(state.id, state)
        return state

    def remove(self, container_id: str, *, deadline_s: float | None = None) -> None:
        """Remove by force, with its anonymous volumes; one that is gone is fine."""
        one = checked(container_id)
        left = _countdown(self._engine.deadlines.remove if deadline_s is None else deadline_s)
        while True:
            try:
                self._engine.call(
                    "remove a container",
                    lambda client: client.send_empty("DELETE", f"/containers/{one}", v="true", force="true"),
                    deadline_s=left(),
                )
                self._forget_files(one)
                return
            except NotFound:
                self._forget_files(one)
                return
            except RuntimeConflict:  # the engine removes it already; wait for that to end
                if left() < 0.2:
                    raise
                time.sleep(0.1)

    def _prepared(
        self, plan: policy.Plan, intent: ContainerIntent, left: Callable[[], float]
    ) -> tuple[policy.Plan, dict[str, Any]]:
        """Find the image and make the grounds the container stands on; return the image's facts too."""
        references.check(intent.image)
        if intent.behind:
            labels.check_sinkhole(self.inspect(intent.behind, deadline_s=left()), intent)

        def prepare(client: Any) -> Any:
            image = client.inspect_image(intent.image)
            if plan.network is not None:
                grounds.ensure_network(client, plan.network, intent.instance)
            for name in plan.volumes:
                grounds.ensure_volume(client, name, intent.instance)
            for one in intent.planted:
                grounds.ensure_planted(client, one, intent.instance)
            return image

        try:
            image = self._engine.call("prepare a container", prepare, deadline_s=left())
            facts = image.get("Config") or {}
            plan = policy.with_image(plan, facts.get("Volumes"))
            return policy.through_shell(plan, facts) if policy.by_stdin(intent) else plan, image
        except ImageMissing:
            raise references.missing(intent.image) from None
        except NotFound as failure:
            raise StartFailed(failure.detail) from failure
        except faults.EngineRefused as refusal:
            raise faults.start_failure(refusal, intent.image) from refusal

    def _create(self, plan: policy.Plan, intent: ContainerIntent, left: Callable[[], float]) -> str:
        policy.check_again(plan, self._roots, self._engine.address)

        def create(client: Client) -> str:
            return str(client.send_json("POST", "/containers/create", plan.body, name=plan.name)["Id"])

        try:
            try:
                return self._engine.call("create a container", create, deadline_s=left())
            except RuntimeConflict as conflict:
                self._make_room(plan.name, intent, conflict)
                return self._engine.call("create a container", create, deadline_s=left())
        except (ImageMissing, NotFound):
            raise references.missing(intent.image) from None
        except faults.EngineRefused as refusal:
            folder = plan.body["Labels"].get(labels.FILES)
            if folder and folder in refusal.message:
                raise secretfiles.not_seen() from refusal
            raise faults.start_failure(refusal, intent.image) from refusal

    def _make_room(self, name: str, intent: ContainerIntent, conflict: RuntimeConflict) -> None:
        """Remove the container that has the name if it is a leftover of this very server. Raises RuntimeConflict."""
        try:
            state = self.inspect(name)
        except NotFound:
            return  # it went away by itself
        if state.name != name:
            raise conflict
        if not labels.same_owner(state.labels, intent):
            raise RuntimeConflict(
                f"The container name {name} is taken by {labels.owner(state.labels)}; "
                f"this is server {intent.server} of the instance {intent.instance}.",
                next_step=f"Rename the server, or have the owner remove the container {name}.",
            )
        log.info("removing the leftover container %s of server %s", state.id[:12], intent.server)
        self.remove(state.id)

    def _start(self, made: str, plan: policy.Plan, intent: ContainerIntent, left: Callable[[], float]) -> None:
        policy.check_again(plan, self._roots, self._engine.address)
        try:
            self._engine.call("start a container", lambda client: client.start(made), deadline_s=left())
        except faults.EngineRefused as refusal:
            raise faults.start_failure(refusal, intent.image) from refusal
        except (NotFound, RuntimeConflict) as failure:  # 404 is how a missing program is told, too
            raise faults.start_failure(faults.EngineRefused(404, failure.detail), intent.image) from failure

    def _hand_over(
        self, made: str, sock: socket.socket, intent: ContainerIntent, left: Callable[[], float], tell: Progress
    ) -> None:
        """Give the started container its secrets; for an http server that is all its input ever holds."""
        try:
            handshake.hand_over(sock, intent.secrets, left, tell)
            if intent.config.transport == "http":
                sock.shutdown(socket.SHUT_WR)
        except RuntimeTimeout:
            raise StartFailed(
                f"{handshake.SHELL} in the image {intent.image} did not take the secrets in time.", next_step=_BY_FILE
            ) from None
        except OSError:
            raise StartFailed("The container ended as soon as it had its secrets.", next_step=_BY_FILE) from None
        except handshake.NotTaken as failure:
            raise self._not_taken(made, intent, failure) from None

    def _not_taken(self, made: str, intent: ContainerIntent, failure: handshake.NotTaken) -> Failure:
        """Return why, by how the container ended. Nothing of what it said after it was given a secret is in it."""
        until = time.monotonic() + _TO_END_S
        state = self.inspect(made, deadline_s=self._engine.deadlines.call)
        while state.running and time.monotonic() < until:
            time.sleep(0.02)
            state = self.inspect(made, deadline_s=self._engine.deadlines.call)
        if state.running:
            return StartFailed(
                f"The container did not take its secrets from standard input: {failure.reason}.", next_step=_BY_FILE
            )
        if not failure.began and state.exit_code in (126, 127):
            return no_shell(intent.image)
        how = "was killed: it used more memory than its limit" if state.oom_killed else f"ended with exit code {state.exit_code}"
        said = f": {' '.join(failure.said.split())[:200]}" if failure.said else ""
        return StartFailed(
            f"The container {how} before it had taken its secrets{said}." if not failure.began
            else f"The container {how} while it took its secrets.",
            next_step=_BY_FILE,
        )

    def _owner(self, intent: ContainerIntent, image: Mapping[str, Any], left: Callable[[], float]) -> int | None:
        """Return which user of this machine the container's user is, None where that cannot be known or used."""
        if os.geteuid() != 0:
            return None  # we cannot give files away
        options = self._engine.call("describe itself", lambda client: client.info(), deadline_s=left()).get("SecurityOptions")
        if any(name in str(option) for option in options or () for name in ("name=userns", "name=rootless")):
            return None  # its users have other numbers here
        return policy.user_id(intent.config, image.get("Config") or {})

    def _forget_files(self, container_id: str, state: ContainerState | None = None) -> None:
        """Remove the files of a container that has ended."""
        instance, folder = self._folders.pop(container_id, ("", ""))
        if state is not None and not folder:
            instance, folder = state.labels.get(labels.INSTANCE, ""), state.labels.get(labels.FILES, "")
        if instance and folder:
            self._files.remove(instance, folder)

    def _undo(self, made: str | None, intent: ContainerIntent, error: BaseException) -> None:
        """Remove what was made. When the engine does not answer, the next listing removes it."""
        if made is None and isinstance(error, Failure) and not faults.means_away(error):
            return  # the engine said no: there is nothing
        with self._guard:
            self._doubtful.add(intent.name)
        try:
            name = made or self._ours_of(intent)
            if name is not None:
                self.remove(name, deadline_s=self._engine.deadlines.cleanup)
        except Failure as failure:
            log.warning("container %s may remain for now: %s", intent.name, failure.detail)
            return
        if made is not None:
            with self._guard:
                self._doubtful.discard(intent.name)

    def _ours_of(self, intent: ContainerIntent) -> str | None:
        try:
            state = self.inspect(intent.name, deadline_s=self._engine.deadlines.cleanup)
        except NotFound:
            return None
        return state.id if labels.same_owner(state.labels, intent) else None

    def _list(self, filters: Mapping[str, str]) -> list[ContainerState]:
        return self._engine.call(
            "list containers",
            lambda client: [states.listed(one) for one in client.containers(all=True, filters=dict(filters))],
        )


def checked(container_id: str) -> str:
    """Return an id or name that is safe in a path. Raises NotFound for anything else."""
    if not _ID.fullmatch(container_id):
        raise NotFound(f"{container_id[:80]!r} is not the id of a container.")
    return container_id


def _countdown(seconds: float) -> Callable[[], float]:
    """Return a function that tells what is left. Raises RuntimeTimeout when nothing is."""
    end = time.monotonic() + seconds

    def left() -> float:
        rest = end - time.monotonic()
        if rest <= 0:
            raise RuntimeTimeout(f"The container engine was not done within {seconds:g} s.")
        return rest

    return left


class _timed:
    def __init__(self, timings: dict[str, float], name: str) -> None:
        self._timings, self._name = timings, name

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._timings[self._name] = round((time.perf_counter() - self._began) * 1000, 2)


__all__ = ["Containers", "checked"]
