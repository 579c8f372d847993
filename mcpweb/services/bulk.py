"""The same request for many servers: a job for each, and a sentence for each that could not be asked."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.errors import Failure, InvalidInput
from mcpweb.services import access, servers, test_runs

ACTIONS = ("start", "stop", "restart", "test")
MOST = 200


@dataclass(frozen=True)
class Asked:
    """What became of the request for one server; ``failure`` is None where it was taken."""

    server_id: str
    name: str
    failure: Failure | None


def each(
    core: Core, actor: Actor, ids: Sequence[str], action: str, *, before_each: Callable[[], None] = lambda: None
) -> list[Asked]:
    """Ask for an action of each of these servers, in their order; one that fails does not keep the others from it.

    ``before_each`` may refuse the next one, as a limit of jobs does. Raises InvalidInput for an action there is not, or
    no or too many servers, Forbidden for who may not act at all.
    """
    if action not in ACTIONS:
        raise InvalidInput(f"An action for several servers is one of {', '.join(ACTIONS)}.")
    access.require(core, actor, "test.run" if action == "test" else "server.operate")
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        raise InvalidInput("Choose at least one server.")
    if len(wanted) > MOST:
        raise InvalidInput(f"At most {MOST} servers are asked at once.")
    names = servers.names_of(core, wanted)
    return [Asked(one, names.get(one, one), _ask(core, actor, one, action, before_each)) for one in wanted]


def _ask(core: Core, actor: Actor, server_id: str, action: str, before_each: Callable[[], None]) -> Failure | None:
    try:
        before_each()
        if action == "test":
            test_runs.request(core, actor, server_id, types=None, profile="quick")
        else:
            servers.request(core, actor, server_id, action)
    except Failure as failure:
        return failure
    return None
