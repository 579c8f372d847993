"""Containers from made to removed. Whatever fails on the way, nothing half-made remains."""
from __future__ import annotations

import contextlib
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweb.plugin import (
    ConfigData,
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

from . import faults, grounds, labels, policy, references
from .attach import attach

if TYPE_CHECKING:
    from .engine import Engine
    from .transport import Client

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_EXIT = re.compile(r"Exited \((\d+)\)")
_NEVER = "0001-01-01T00:00:00Z"


class Containers:
    """The containers of one engine."""

    def __init__(self, engine: Engine, bind_roots: tuple[Path, ...]) -> None:
        self._engine = engine
        self._roots = bind_roots
        self._doubtful: set[str] = set()  # names the engine may have made although it did not answer
        self._guard = threading.Lock()
        self._launching = 0

    @property
    def launching(self) -> bool:
        """Whether a container is being made right now; it may need a network it does not use yet."""
        return self._launching > 0

    def check(self, intent: ContainerIntent) -> None:
        """Raise PolicyRefused if the policy would not build it."""
        policy.plan(intent, self._roots, self._engine.address)

    def launch(self, intent: ContainerIntent, progress: Progress | None) -> Launched:
        """Create, attach, start. See ``Runtime.launch``."""
        with self._guard:
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
        plan = self._prepared(plan, intent, left)
        timings: dict[str, float] = {}
        sock = None
        made = None
        with self._guard:
            self._doubtful.discard(intent.name)  # one that was made late is a leftover from here on
        try:
            with _timed(timings, "create"):
                made = self._create(plan, intent, left)
            tell(None, "Starting the container")
            with _timed(timings, "attach"):
                sock = attach(
                    self._engine, made, stdin=intent.config.transport == "stdio", deadline_s=left()
                )
            with _timed(timings, "start"):
                self._start(made, plan, intent, left)
            endpoint = None
            if intent.config.transport == "http":
                endpoint = endpoint_of(self.inspect(made, deadline_s=left()), intent.config)
                if endpoint is None:
                    raise StartFailed(
                        "The container ended before its port was open.", next_step="Run the connection test."
                    )
            return Launched(made, sock, endpoint, timings)
        except BaseException as error:
            if sock is not None:
                sock.close()
            self._undo(made, intent, error)
            raise

    def inspect(self, container_id: str, *, deadline_s: float | None = None) -> ContainerState:
        """Return the state of one container. Raises NotFound."""
        one = checked(container_id)
        return self._engine.call(
            "inspect a container", lambda client: _inspected(client.inspect_container(one)), deadline_s=deadline_s
        )

    def listing(self, instance: str) -> list[ContainerState]:
        """List all containers of an instance; those that came to be behind our back are removed first."""
        states = self._list({"label": f"{labels.INSTANCE}={instance}"})
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
            return self.inspect(one)
        except NotFound:
            return None

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
                return
            except NotFound:
                return
            except RuntimeConflict:  # the engine removes it already; wait for that to end
                if left() < 0.2:
                    raise
                time.sleep(0.1)

    def _prepared(self, plan: policy.Plan, intent: ContainerIntent, left: Callable[[], float]) -> policy.Plan:
        """Find the image and make the grounds the container stands on."""
        references.check(intent.image)

        def prepare(client: Any) -> Any:
            image = client.inspect_image(intent.image)
            if plan.network is not None:
                grounds.ensure_network(client, plan.network, intent.instance)
            for name in plan.volumes:
                grounds.ensure_volume(client, name, intent.instance)
            return (image.get("Config") or {}).get("Volumes")

        try:
            return policy.with_image(plan, self._engine.call("prepare a container", prepare, deadline_s=left()))
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
            lambda client: [_listed(one) for one in client.containers(all=True, filters=dict(filters))],
        )


def checked(container_id: str) -> str:
    """Return an id or name that is safe in a path. Raises NotFound for anything else."""
    if not _ID.fullmatch(container_id):
        raise NotFound(f"{container_id[:80]!r} is not the id of a container.")
    return container_id


def endpoint_of(state: ContainerState, config: ConfigData) -> str | None:
    """Return the URL of an http server, None for stdio and while no port is published."""
    if config.transport != "http":
        return None
    port = _host_port((state.raw.get("NetworkSettings") or {}).get("Ports"), config.port) or state.published_port
    return None if port is None else f"http://127.0.0.1:{port}{config.path}"


def _inspected(facts: Mapping[str, Any]) -> ContainerState:
    state = facts["State"]
    status = str(state["Status"])
    ended = status in ("exited", "dead")
    return ContainerState(
        id=str(facts["Id"]),
        name=str(facts["Name"]).removeprefix("/"),
        status=status,
        labels=dict(facts["Config"].get("Labels") or {}),
        image_id=str(facts["Image"]),
        exit_code=int(state["ExitCode"]) if ended else None,
        oom_killed=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or "") or _not_run(facts, int(state["ExitCode"]) if ended else 0),
        started_at=_time(state.get("StartedAt")),
        finished_at=_time(state.get("FinishedAt")) if ended else None,
        published_port=_host_port((facts.get("NetworkSettings") or {}).get("Ports"), None),
        raw=facts,
    )


def _not_run(facts: Mapping[str, Any], exit_code: int) -> str:
    """Return what an exit code of the init program means; the engine itself counts such a start as a success."""
    meaning = {126: "cannot be executed", 127: "was not found in the image"}.get(exit_code)
    return f"exit code {exit_code}, a program {meaning}; the command is `{facts.get('Path', '')}`" if meaning else ""


def _listed(facts: Mapping[str, Any]) -> ContainerState:
    exited = _EXIT.match(str(facts.get("Status", "")))
    ports = [p["PublicPort"] for p in facts.get("Ports") or () if p.get("IP") == "127.0.0.1" and p.get("PublicPort")]
    return ContainerState(
        id=str(facts["Id"]),
        name=str(next(iter(facts.get("Names") or ()), "")).removeprefix("/"),
        status=str(facts["State"]),
        labels=dict(facts.get("Labels") or {}),
        image_id=str(facts.get("ImageID", "")),
        exit_code=int(exited[1]) if exited else None,
        published_port=int(ports[0]) if ports else None,
    )


def _host_port(ports: Mapping[str, Any] | None, wanted: int | None) -> int | None:
    for name, hosts in (ports or {}).items():
        if wanted is not None and name != f"{wanted}/tcp":
            continue
        for host in hosts or ():
            if host.get("HostIp") == "127.0.0.1":
                return int(host["HostPort"])
    return None


def _time(text: str | None) -> str | None:
    """Return the engine's time as rows hold it."""
    if not text or text == _NEVER:
        return None
    head, _, rest = text.partition(".")
    digits = re.match(r"\d*", rest)
    return f"{head.removesuffix('Z').replace('T', ' ')}.{((digits[0] if digits else '') + '000')[:3]}"


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


__all__ = ["Containers", "checked", "endpoint_of"]
