"""What a container of a server is to be, and what runs: the two ends of a start."""
from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweb.contracts import ConfigData, ContainerIntent, ContainerState, ImageFacts, SecretDelivery, Sensitive
from mcpweb.core import Core
from mcpweb.dao.servers import Server
from mcpweb.errors import Failure
from mcpweb.ids import new_id
from mcpweb.redaction import Redactor
from mcpweb.worker.lookout import Sight

if TYPE_CHECKING:
    from mcpweb.mcp.session import Session


@dataclass(frozen=True)
class Wanted:
    """What a container of a server is to be right now."""

    server: Server
    config: ConfigData
    config_hash: str
    secrets: tuple[SecretDelivery, ...] = ()
    hidden: tuple[Sensitive, ...] = ()  # values it may have beside these

    def redactor(self) -> Redactor:
        """Return what takes these secrets out of all that the server says."""
        return Redactor(self._values())

    def known(self) -> Redactor:
        """Return what takes these values out and nothing that only looks like one: what is hashed stays told apart."""
        return Redactor(self._values(), patterns=False)

    def _values(self) -> list[Sensitive]:
        return [*(secret.value for secret in self.secrets), *self.hidden]


@dataclass
class Member:
    """One running server: its container, its session and what it was started with."""

    server_id: str
    name: str
    container_id: str
    config: ConfigData
    config_hash: str
    image: ImageFacts
    session: Session
    redactor: Redactor
    known: Redactor
    secrets: tuple[SecretDelivery, ...] = ()
    endpoint: str | None = None
    started: float = field(default_factory=time.monotonic)
    sight: Sight = field(default_factory=Sight)


def intent_for(core: Core, wanted: Wanted, *, role: str) -> ContainerIntent:
    """Return what to run for a server; helpers and tests get a name of their own."""
    server = wanted.server
    name = f"mcpweb-{server.name}-{core.instance.short}"
    if role != "server":
        name += f"-{new_id('x')[-8:]}"
    return ContainerIntent(
        name=name, instance=core.instance.id, server_id=server.id, server=server.name, role=role,  # type: ignore[arg-type]
        image=server.image, config=wanted.config, config_hash=wanted.config_hash, secrets=wanted.secrets,
    )


def delivered(secret: SecretDelivery) -> str:
    """Return how a server was given a secret, for its log; the last resort says what it costs."""
    if secret.way == "environment":
        return (
            f"{secret.variable} was given in the environment, the last resort: `docker inspect` shows its secret to all who "
            "may use the engine, and the engine keeps it on its disk"
        )
    return f"{secret.variable} was given " + ("on standard input" if secret.way == "stdin" else "as a file in memory")


def hush(failure: Failure, redactor: Redactor) -> None:
    """Take secrets out of a failure that may repeat what a server said."""
    failure.detail, failure.next_step = redactor.text(failure.detail), redactor.text(failure.next_step)
    failure.args = tuple(redactor.text(one) if isinstance(one, str) else one for one in failure.args)


def exit_sentence(state: ContainerState | None) -> str:
    """Return how a container ended, empty when it still runs or is not known."""
    if state is None or state.running or state.exit_code is None:
        return ""
    if state.oom_killed:
        return "The server was killed: it used more memory than its limit."
    if state.error:
        return f"The container could not run: {state.error}"
    return f"The server ended with exit code {state.exit_code}."


__all__ = ["Member", "Wanted", "delivered", "exit_sentence", "hush", "intent_for"]
