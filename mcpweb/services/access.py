"""Who may do what: any denial wins, silence means no."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mcpweb import origin
from mcpweb.contracts import Actor, Role
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.db import Connection
from mcpweb.errors import Failure, Forbidden, StepUpNeeded

# The least role that may use each permission. A route or service that names another permission fails a test.
PERMISSIONS: dict[str, Role] = {
    "server.view": "viewer",
    "test.view": "viewer",
    "job.view": "viewer",
    "plugin.view": "viewer",
    "settings.view": "viewer",
    "secret.view": "viewer",
    "token.own": "viewer",
    "session.own": "viewer",
    "metrics.view": "viewer",
    "server.operate": "operator",
    "server.edit": "operator",
    "test.run": "operator",
    "finding.accept": "operator",
    "pin.approve": "operator",
    "test.edit": "operator",
    "job.cancel": "operator",
    "secret.edit": "operator",
    "key.view": "operator",
    "secret.reveal": "admin",
    "key.manage": "admin",
    "audit.view": "admin",
    "audit.manage": "admin",
    "user.manage": "admin",
    "plugin.manage": "admin",
    "settings.edit": "admin",
}


def may(core: Core, actor: Actor, permission: str, **resource: str) -> bool:
    """Tell whether the actor may; plugins can deny what the role allows and allow what it does not."""
    if permission not in PERMISSIONS:
        raise KeyError(f"{permission} is not a permission")
    if actor.via in ("cli", "system"):
        return True
    return core.plugins.vote("mcpweb_authorize", actor=actor, action=permission, resource=resource)


def by_role(actor: Actor, permission: str) -> bool:
    """Tell whether the role alone allows it."""
    least = PERMISSIONS.get(permission)
    return least is not None and actor.has(least)


def require(core: Core, actor: Actor, permission: str, **resource: str) -> None:
    """Raise Forbidden unless the actor may; the denial is audited."""
    if may(core, actor, permission, **resource):
        return
    with core.db.writing() as conn:
        note(conn, actor, "access.denied", next(iter(resource.values()), ""), {"permission": permission})
    refusal = Forbidden(f"{actor.label or actor.name} may not do this ({permission}).")
    if not by_role(actor, permission):
        refusal.needed = PERMISSIONS[permission]
    raise refusal


@contextmanager
def attempt(core: Core, actor: Actor, action: str, target: str) -> Iterator[None]:
    """Audit a failure of what is tried inside, in a transaction of its own: ``<action>.refused`` with the failure's code.

    A denial has its row already, and a password that is asked for again is no failure.
    """
    try:
        yield
    except (Forbidden, StepUpNeeded):
        raise
    except Failure as failure:
        with suppress(Failure), core.db.writing() as conn:  # nothing was done, so nothing is to be taken back
            note(conn, actor, f"{action}.refused", target, {"code": failure.code})
        raise


def note(
    conn: Connection, actor: Actor, action: str, target: str, detail: dict[str, object] | None = None
) -> None:
    """Append the audit row of a change, in the transaction of the change."""
    where = origin.current()
    audit.append(
        conn, actor=actor.name, actor_kind=actor.via, action=action, target=target, detail=detail or {},
        ip=where.ip, request_id=where.request_id,
    )
