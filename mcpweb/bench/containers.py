"""The containers of one run: what a run child may ask for, checked, started, and all removed at the end."""
from __future__ import annotations

import contextlib
import logging
import secrets as randomness
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from mcpweb.bench import sinkhole
from mcpweb.bench.feeds import Feeds
from mcpweb.bench.planting import Planting, fill, planned
from mcpweb.bench.rows import RunRequest
from mcpweb.contracts import (
    ConfigData,
    ContainerIntent,
    ContainerState,
    ImageFacts,
    Launched,
    Limits,
    Progress,
    Runtime,
    SecretDelivery,
    Sensitive,
)
from mcpweb.errors import Failure, NotFound, PolicyRefused, Unavailable
from mcpweb.ids import new_id
from mcpweb.instance import Instance
from mcpweb.schemas.configurations import load_config_data
from mcpweb.services.configurations import config_hash

log = logging.getLogger(__name__)

MOST_CONTAINERS = 64
MOST_GRACE_S = 30.0
MOST_CHANGES = 10_000
MOST_PROCESSES = 500
_NAME_BASELINE = 'Give the run the parameter {"baseline": {"image": …}} or {"baseline": {"configuration": …}}.'
_CHANGEABLE = frozenset(ConfigData.__dataclass_fields__) - {"mounts", "capabilities", "network", "user", "active_probes"}


@dataclass(frozen=True)
class Subject:
    """What a container of a run can be one of: the server as it is tested, or what it is compared with."""

    reference: str
    image: ImageFacts
    config: ConfigData
    secrets: tuple[SecretDelivery, ...]


class RunContainers:
    """Starts containers for one run and owns them until they are gone."""

    def __init__(
        self, runtime: Runtime, instance: Instance, request: RunRequest, image: ImageFacts, progress: Progress,
        secrets: tuple[SecretDelivery, ...], baseline: Subject | None = None,
    ) -> None:
        self._runtime = runtime
        self._instance = instance
        self._request = request
        self._progress = progress
        self._candidate = Subject(request.server["image"], image, request.config, secrets)
        self._baseline = baseline
        self._containers: set[str] = set()
        self._sinks: set[str] = set()
        self.canaries: list[Sensitive] = []  # all that stood in the place of secrets
        self._count = 0
        self._in_use: dict[str, str] = {}  # sinkholes an HTTP server stands behind
        self._volumes: set[str] = set()
        self._plantings: dict[tuple[tuple[str, str], ...], Planting] = {}
        self._feeds = Feeds(runtime)

    def do(self, verb: str, message: dict[str, Any], fds: list[int]) -> Any:
        """Do what the child asks for; descriptors for it go into ``fds``. Raises Failure, KeyError, TypeError, ValueError."""
        if verb == "launch":
            return self._launch(message, fds)
        if verb == "sink":
            return self._sink(fds)
        if verb == "running":
            return self._running()
        if verb == "image_files":
            fds.append(self._feeds.archive(self._candidate.image.id))
            return None
        container_id = str(message["container_id"])
        if container_id not in self._containers:
            raise NotFound("This container does not belong to the run.")
        if verb == "inspect":
            return self._masked(_state(self._runtime.inspect(container_id)))
        if verb == "watch":
            fds.append(self._feeds.stats(container_id))
            return None
        if verb == "resident":
            return self._runtime.resident(container_id)
        if verb == "changes":
            return [asdict(change) for change in self._runtime.changes(container_id)[:MOST_CHANGES]]
        if verb == "processes":
            return [line[:4096] for line in self._runtime.processes(container_id)[:MOST_PROCESSES]]
        if verb == "stop":
            grace_s = min(max(float(message.get("grace_s", 5.0)), 0.0), MOST_GRACE_S)
            return self._masked(_state(self._runtime.stop(container_id, grace_s)))
        if verb == "remove":
            self._remove(container_id)
            return None
        raise Failure(f"The run child asked for {verb!r}.")

    def _launch(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        changes, sink = message.get("changes") or {}, str(message.get("sink") or "")
        subject = self._baseline if message.get("of") == "baseline" else self._candidate
        if subject is None:
            raise Unavailable("This run has no baseline.", code="no_baseline", next_step=_NAME_BASELINE)
        foreign = set(changes) - _CHANGEABLE
        if foreign:
            raise Failure(f"A test may not change {', '.join(sorted(foreign))}.", code="not_changeable")
        config = load_config_data(subject.config.to_json() | changes)
        intent, canaries = self._intent(config, subject), {}
        if sink or message.get("canaries"):
            canaries = {secret.variable: f"canary_{randomness.token_hex(16)}" for secret in subject.secrets}
            planted = tuple(replace(secret, value=Sensitive(canaries[secret.variable])) for secret in subject.secrets)
            self.canaries += [secret.value for secret in planted]
            # published is a port to be reached at, and no way out
            kept: Literal["none", "published"] = "none" if config.transport == "stdio" else "published"
            intent = replace(intent, config=replace(intent.config, network=kept), secrets=planted)
        if message.get("planted"):
            intent = self._with_files(intent, dict(message["planted"]))
        if sink:
            if sink not in self._sinks:
                raise NotFound("This sinkhole does not belong to the run.")
            if config.transport == "http":
                return {"canaries": canaries, **self._behind(intent, sink, fds)}
            intent = replace(intent, behind=sink)
        launched = self._launched_one(intent, fds)
        return {
            "container_id": launched.container_id, "endpoint": launched.endpoint, "timings_ms": launched.timings_ms,
            "canaries": canaries,
        }

    def _behind(self, intent: ContainerIntent, sink: str, fds: list[int]) -> dict[str, Any]:
        """Start a server that speaks HTTP behind a sinkhole, and the relay beside it by which it is reached."""
        from mcpweb.bench.sinkhole import relay  # brings the MCP SDK, which a worker without sessions does without

        config = intent.config
        if config.port is None or config.port != self._candidate.config.port:
            raise Failure("Behind a sinkhole the server keeps its port.", code="sinkhole_port")
        if self._in_use.get(sink) in self._containers:
            raise Unavailable(
                "Another HTTP server stands behind this sinkhole and has its port.", code="sinkhole_taken",
                next_step="Close its session first.",
            )
        closed = replace(config, network="none", transport="stdio", port=None)  # nobody talks to it over its input
        launched = self._launched_one(replace(intent, config=closed, behind=sink), fds)
        self._in_use[sink] = launched.container_id
        beside = replace(self._intent(relay.config(config.port), self._candidate), secrets=(), behind=sink)
        try:
            carrier = self._launched_one(self._helper(beside), fds)
        except Failure:
            self._remove(launched.container_id)  # its place is for the next one
            raise
        return {
            "container_id": launched.container_id, "endpoint": config.path, "timings_ms": launched.timings_ms,
            "relay": carrier.container_id,
        }

    def _remove(self, container_id: str) -> None:
        self._runtime.remove(container_id)
        self._containers.discard(container_id)

    def _with_files(self, intent: ContainerIntent, files: Mapping[str, str]) -> ContainerIntent:
        """Return the intent with volumes that hold these files, filled once in a run.

        Raises Unavailable where they cannot be had, InvalidInput for what is no place for a file.
        """
        key = tuple(sorted(files.items()))
        planting = self._plantings.get(key) or planned(files, f"mcpweb-{self._instance.short}-planted-")
        intent = replace(intent, planted=planting.volumes)
        try:
            self._runtime.check(intent)
        except PolicyRefused as failure:
            raise Unavailable(failure.detail, code="cannot_plant", next_step="Choose another folder.") from None
        if key not in self._plantings:
            helper = replace(self._intent(planting.config, self._candidate), role="helper", secrets=(), planted=planting.writable)
            self._volumes |= {one.name for one in planting.volumes}
            fill(self._launched(self._helper(helper)), planting)
            self._plantings[key] = planting
        return intent

    def _running(self) -> list[dict[str, Any]]:
        """Return what people use of this server; of its environment only what is known to be no secret."""
        found = []
        for state in self._runtime.containers(self._instance.id):
            if state.labels.get("mcpweb.server_id") == self._request.server["id"] and state.labels.get("mcpweb.role") == "server":
                with contextlib.suppress(NotFound):
                    found.append(self._known_only(asdict(self._runtime.inspect(state.id))))
        return found

    def _known_only(self, state: dict[str, Any]) -> dict[str, Any]:
        config = state["raw"].get("Config") or {}
        known = {f"{name}={value}" for name, value in self._request.config.environment.items()}
        known |= set((self._candidate.image.raw.get("Config") or {}).get("Env") or [])
        told = [line if line in known else f"{line.partition('=')[0]}=<sensitive>" for line in config.get("Env") or []]
        return {**state, "raw": {**state["raw"], "Config": {**config, "Env": told}}}

    def _sink(self, fds: list[int]) -> dict[str, Any]:
        """Start a sinkhole; the child reads its log from the stream."""
        secret = randomness.token_hex(16)
        own = self._candidate.config
        words = (secret, str(own.port)) if own.transport == "http" else (secret,)
        config = ConfigData(command=words, limits=Limits(memory_mb=96, cpus=1, pids=512), tmpfs={})
        intent = replace(self._intent(config, self._candidate), role="helper", sinkhole=True, secrets=(), config=config)
        launched = self._launched_one(self._helper(intent), fds)
        self._sinks.add(launched.container_id)
        return {"container_id": launched.container_id, "secret": secret}

    def _helper(self, intent: ContainerIntent) -> ContainerIntent:
        """Return the intent with the image of our helpers, made first where the engine lacks it.

        Raises Unavailable with the next step where it cannot be had, or the runtime has no such helpers.
        """
        try:
            self._runtime.check(intent)
        except PolicyRefused as failure:
            raise Unavailable(failure.detail, code="sinkhole_unavailable", next_step=failure.next_step) from None
        return replace(intent, image=sinkhole.ensure_image(self._runtime, lambda sentence: self._progress(None, sentence)))

    def _launched_one(self, intent: ContainerIntent, fds: list[int]) -> Launched:
        launched = self._launched(intent)
        fds.append(launched.socket.detach())
        return launched

    def _launched(self, intent: ContainerIntent) -> Launched:
        self._count += 1
        if self._count > MOST_CONTAINERS:
            raise Failure(f"A run starts at most {MOST_CONTAINERS} containers.", code="too_many_containers")
        launched = self._runtime.launch(intent)
        self._containers.add(launched.container_id)
        return launched

    def _intent(self, config: ConfigData, subject: Subject) -> ContainerIntent:
        """Return what to run: mounts read-only, volumes replaced by memory, so that a test leaves nothing behind."""
        binds = tuple(replace(mount, read_only=True) for mount in config.mounts if mount.type == "bind")
        memory = {mount.target: "64m" for mount in config.mounts if mount.type == "volume"}
        safe = replace(config, mounts=binds, tmpfs={**config.tmpfs, **memory})
        server = self._request.server
        return ContainerIntent(
            name=f"mcpweb-{server['name']}-{self._instance.short}-{new_id('t')[-8:]}",
            instance=self._instance.id, server_id=server["id"], server=server["name"], role="test",
            image=subject.image.id, config=safe, config_hash=config_hash(subject.reference, config), secrets=subject.secrets,
        )

    def _masked(self, state: dict[str, Any] | None) -> dict[str, Any] | None:
        """Take out what the engine shows of secrets that were given in the environment."""
        secrets = (*self._candidate.secrets, *(self._baseline.secrets if self._baseline else ()))
        shown = {secret.variable for secret in secrets if secret.way == "environment"}
        config = (state or {}).get("raw", {}).get("Config") or {}
        if state is None or not shown or not config.get("Env"):
            return state
        told = [f"{name}=<sensitive>" if (name := line.partition("=")[0]) in shown else line for line in config["Env"]]
        return {**state, "raw": {**state["raw"], "Config": {**config, "Env": told}}}

    def clean_up(self, on_orphan: Callable[[str], None]) -> None:
        """End what flows, and remove every container of the run; what cannot be removed now is told."""
        self._feeds.close()
        for container_id in self._containers:
            try:
                self._runtime.remove(container_id)
            except Failure as failure:
                log.warning("container %s of run %s stays: %s", container_id[:12], self._request.run_id, failure.detail)
                on_orphan(container_id)
        for name in self._volumes:
            try:
                self._runtime.remove_planted(self._instance.id, name)
            except Failure as failure:  # the next start of the worker takes it away
                log.warning("the volume %s of run %s stays: %s", name, self._request.run_id, failure.detail)


def _state(state: ContainerState | None) -> dict[str, Any] | None:
    return None if state is None else asdict(state)
